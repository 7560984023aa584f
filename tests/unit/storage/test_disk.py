import errno
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event

import numpy as np
import pytest

from service.analyses.analysis import RECORD_VERSION
from service.analyses.dataset import Dataset, StoredArray
from service.analyses.errors import DatasetInUse, DatasetNotFound, StoreUnavailable
from service.analyses.identity import Kind, new_id
from service.analyses.tenancy import DEFAULT_TENANT
from service.storage.disk import DiskStore, DiskStores
from service.storage.disk_files import locked
from tests.unit.storage.samples import (
    FAILURE,
    NOW,
    REPORT,
    a_dataset,
    an_upload,
    committed,
    kept,
    npy,
    received,
)


@pytest.fixture
def stores(tmp_path) -> DiskStores:
    stores = DiskStores(tmp_path / "data", max_label_bytes=10_000)
    stores.prepare()
    return stores


@pytest.fixture
def store(stores) -> DiskStore:
    return stores.of(DEFAULT_TENANT)


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_part_that_is_sent_again_takes_the_place_of_the_other_with_its_record_or_not_at_all(
    store, tmp_path, monkeypatch
):
    opened = Dataset(RECORD_VERSION, new_id(Kind.DATASET), NOW, NOW + timedelta(days=1), ("x", "y"))
    with store.datasets.stage() as staged:
        staged.keep(opened)

    def sent(values, fails: bool = False) -> Dataset:
        with store.datasets.stage() as staged, monkeypatch.context() as patched:
            file = staged.receive("x", npy(values))
            changed = replace(opened, x=StoredArray(**vars(file), shape=values.shape, dtype="float64"))
            if fails:
                patched.setattr("service.storage.disk_keeping.replace_file", no_space)
            staged.add_parts(changed)
        return changed

    first = sent(np.zeros((20, 3)))
    with pytest.raises(StoreUnavailable):
        sent(np.zeros((30, 3)), fails=True)
    assert store.datasets.find(opened.id) == first
    folder = tmp_path / "data" / "datasets" / opened.id
    assert np.load(folder / first.x.name).shape == (20, 3)
    second = sent(np.zeros((40, 3)))
    assert store.datasets.find(opened.id) == second
    assert sorted(path.name for path in folder.iterdir()) == ["dataset.json", "lock", second.x.name]


def test_a_new_dataset_is_held_until_its_staging_ends(store):
    with ThreadPoolExecutor(1) as pool:
        with store.datasets.stage() as staged:
            received(staged)
            dataset = a_dataset(staged)
            staged.keep(dataset)
            removal = pool.submit(removed, store, dataset.id)
            with pytest.raises(TimeoutError):
                removal.result(0.2)
            assert store.datasets.find(dataset.id) == dataset
        removal.result(10)
    assert store.datasets.find(dataset.id) is None


def removed(store: DiskStore, dataset_id: str) -> None:
    with store.datasets.hold(dataset_id, alone=True):
        store.datasets.remove(dataset_id)


def no_space(*arguments) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_an_outcome_that_cannot_be_written_leaves_nothing(store, tmp_path, monkeypatch):
    submission = committed(store)
    before = files_below(tmp_path / "data" / "analyses")
    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", no_space)
        with pytest.raises(StoreUnavailable):
            store.analyses.settle(submission.id, *FAILURE)
    assert [name for name in files_below(tmp_path / "data" / "analyses") if "lock" not in name] == before
    assert store.analyses.settle(submission.id, *FAILURE)


def test_a_dataset_that_is_held_waits_to_be_removed(store):
    dataset, _ = kept(store)
    trying = Event()

    def remove() -> None:
        trying.set()
        with store.datasets.hold(dataset.id, alone=True):
            store.datasets.remove(dataset.id)

    with ThreadPoolExecutor(1) as pool:
        with store.datasets.hold(dataset.id, alone=False), store.datasets.hold(dataset.id, alone=False):
            removal = pool.submit(remove)
            trying.wait(10)
            assert store.datasets.find(dataset.id) == dataset
            assert not removal.done()
        removal.result(10)
    with pytest.raises(DatasetNotFound), store.datasets.hold(dataset.id, alone=False):
        pass


def test_what_an_interrupted_settlement_left_counts_for_nothing(store, tmp_path):
    submission = committed(store)
    folder = tmp_path / "data" / "analyses" / submission.id
    (folder / "outcome.json").write_text("{")
    (folder / ".report.json").write_text("{")
    assert store.analyses.outcome(submission.id) is None
    assert store.analyses.settle(submission.id, *REPORT) is True
    assert store.analyses.outcome(submission.id) == REPORT[0]


def aged(path: Path) -> None:
    """As if it had been left two hours ago."""
    moment = datetime.now().timestamp() - 7200
    os.utime(path, (moment, moment), follow_symlinks=False)


def test_sweeping_removes_what_nobody_receives_any_more(stores, store, tmp_path):
    submission = committed(store)
    tmp = tmp_path / "data" / "tmp"
    (tmp / "upload-left").mkdir()
    (tmp / "upload-left" / "x.part").write_bytes(b"half")
    for name in ("new-old", "removed-old", "new-fresh"):
        (tmp / name).mkdir()
    for name in ("new-old", "removed-old"):
        aged(tmp / name)
    with store.datasets.stage() as staged:
        staged.receive("x", an_upload()["x"])
        stores.sweep()
        assert staged.array("x").shape == (20, 3)
        assert sorted(path.name.partition("-")[0] for path in tmp.iterdir()) == ["new", "upload"]
    stores.sweep()
    assert [path.name for path in tmp.iterdir()] == ["new-fresh"]
    assert store.analyses.find(submission.id) == submission


def test_sweeping_removes_marks_and_links_that_lead_nowhere(stores, store, tmp_path):
    submission = committed(store)
    data = tmp_path / "data"
    mark, link = data / "unsettled" / new_id(Kind.ANALYSIS), data / "label-sets" / new_id(Kind.LABEL_SET)
    mark.touch()
    link.symlink_to("../datasets/gone/label-sets/gone")
    stores.sweep()
    assert (mark.exists(), link.is_symlink()) == (True, True), "they may be about to lead somewhere"
    aged(mark)
    aged(link)
    for kept_mark in (data / "unsettled" / submission.id, data / "label-sets" / submission.subject.label_set.id):
        aged(kept_mark)
    stores.sweep()
    assert [path.name for path in (data / "unsettled").iterdir()] == [submission.id]
    assert [path.name for path in (data / "label-sets").iterdir()] == [submission.subject.label_set.id]


def test_a_mark_that_was_left_behind_is_no_unsettled_analysis(store, tmp_path):
    submission = committed(store)
    marks = tmp_path / "data" / "unsettled"
    store.analyses.settle(submission.id, *REPORT)
    assert list(marks.iterdir()) == []
    (marks / submission.id).touch()  # as if the worker had died in between
    never_added = new_id(Kind.ANALYSIS)
    (marks / never_added).touch()
    assert list(store.analyses.unsettled()) == []
    assert [mark.name for mark in marks.iterdir()] == [never_added]


def test_a_store_that_is_gone_is_reported(store, tmp_path):
    store.check()
    (tmp_path / "data" / "tmp").rmdir()
    with pytest.raises(StoreUnavailable):
        store.check()
    with pytest.raises(StoreUnavailable), store.datasets.stage():
        pass


def test_the_store_is_its_owners_alone(store, tmp_path):
    submission = committed(store)
    data = tmp_path / "data"
    folders = [data, *(data / name for name in ("tmp", "tenants", "datasets", "label-sets", "analyses"))]
    folders += [data / "datasets" / submission.subject.dataset.id, data / "analyses" / submission.id]
    for folder in folders:
        assert folder.stat().st_mode & 0o777 == 0o700, folder


def test_an_empty_mark_is_of_the_time_before_tenants(stores, store, tmp_path):
    submission = committed(store)
    (tmp_path / "data" / "unsettled" / submission.id).write_bytes(b"")
    assert list(stores.unsettled()) == [submission]
    assert stores.holder_of(submission.id).analyses.find(submission.id) == submission


def test_a_store_that_is_not_mounted_is_not_made_anew(stores, tmp_path):
    (tmp_path / "data").rename(tmp_path / "elsewhere")
    with pytest.raises(StoreUnavailable):
        stores.of("acme")
    assert not (tmp_path / "data").exists()


def test_an_analysis_that_lost_its_mark_is_marked_again(stores, store, tmp_path):
    waiting, theirs, ended = committed(store), committed(stores.of("acme")), committed(store)
    store.analyses.settle(ended.id, *REPORT)
    marks = tmp_path / "data" / "unsettled"
    for mark in marks.iterdir():
        mark.unlink()
    assert list(stores.unsettled()) == []
    stores.mend()
    assert {s.id for s in stores.unsettled()} == {waiting.id, theirs.id}
    assert stores.holder_of(theirs.id).analyses.find(theirs.id) == theirs
    assert sorted(mark.name for mark in marks.iterdir()) == sorted((waiting.id, theirs.id))


def test_sweeping_leaves_what_is_being_named_alone(stores, tmp_path):
    young, old = (tmp_path / "data" / "fingerprints" / name for name in (".young", ".old"))
    for draft in (young, old):
        draft.write_text("an-")
    os.utime(old, (0, 0))
    stores.sweep()
    assert (young.exists(), old.exists()) == (True, False)


def test_an_empty_failure_is_a_failure(store, tmp_path):
    submission = committed(store)
    store.analyses.settle(submission.id, *FAILURE)
    (tmp_path / "data" / "analyses" / submission.id / "failure.json").write_bytes(b"")
    assert store.analyses.outcome(submission.id).failure.code == "record_unreadable"


def test_one_record_that_is_no_file_keeps_no_other_from_a_list(store, tmp_path):
    damaged, whole = committed(store), committed(store)
    for name, folder in (("submission", "analyses"), ("dataset", "datasets")):
        an_id = damaged.id if name == "submission" else damaged.subject.dataset.id
        path = tmp_path / "data" / folder / an_id / f"{name}.json"
        path.unlink()
        path.mkdir()
    assert store.analyses.find_many([damaged.id, whole.id]) == [None, whole]
    datasets = [damaged.subject.dataset.id, whole.subject.dataset.id]
    assert store.datasets.find_many(datasets) == [None, whole.subject.dataset]


def test_one_record_that_the_disk_refuses_to_read_keeps_no_other_from_a_list(store, monkeypatch):
    damaged, whole = committed(store), committed(store)
    for submission in (damaged, whole):
        store.analyses.settle(submission.id, *REPORT)
    read_bytes = Path.read_bytes

    def failing(path: Path) -> bytes:
        if path.parent.name in (damaged.id, damaged.subject.dataset.id):
            raise OSError(errno.EIO, "Input/output error")
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", failing)
    assert store.analyses.find_many([damaged.id, whole.id]) == [None, whole]
    unreadable, read = store.analyses.outcomes([damaged.id, whole.id])
    assert (unreadable.failure.code, read) == ("record_unreadable", REPORT[0])
    datasets = [damaged.subject.dataset.id, whole.subject.dataset.id]
    assert store.datasets.find_many(datasets) == [None, whole.subject.dataset]


def test_a_data_directory_that_has_been_moved_away_is_out_of_reach_and_not_empty(stores, store, tmp_path):
    submission = committed(store)
    os.rename(tmp_path / "data", tmp_path / "elsewhere")
    looks = [
        lambda: store.analyses.find(submission.id),
        lambda: store.analyses.ids(),
        lambda: store.analyses.find_many([submission.id]),
        lambda: store.datasets.find(submission.subject.dataset.id),
        lambda: store.datasets.find_label_set(submission.subject.label_set.id),
        lambda: store.datasets.ids(),
        lambda: store.datasets.label_set_ids(submission.subject.dataset.id),
        lambda: stores.holder_of(submission.id),
        lambda: list(stores.unsettled()),
    ]
    for look in looks:
        with pytest.raises(StoreUnavailable):
            look()
    os.rename(tmp_path / "elsewhere", tmp_path / "data")
    assert store.analyses.find(submission.id) == submission


def test_what_was_being_removed_when_its_process_died_goes_at_once(stores, store, tmp_path, monkeypatch):
    submission = committed(store)
    with monkeypatch.context() as patched:
        patched.setattr("shutil.rmtree", lambda *arguments, **options: None)
        store.analyses.remove(submission.id)
    assert [path.name[:8] for path in (tmp_path / "data" / "tmp").iterdir()] == ["removed-"]
    stores.sweep()
    assert list((tmp_path / "data" / "tmp").iterdir()) == []


def test_a_dataset_that_somebody_keeps_for_long_is_in_use(store, monkeypatch):
    monkeypatch.setattr("service.storage.disk_files.LOCK_PATIENCE_S", 0.05)
    dataset, _ = kept(store)
    with (
        store.datasets.hold(dataset.id, alone=False),
        pytest.raises(DatasetInUse),
        store.datasets.hold(dataset.id, alone=True),
    ):
        pass
    with store.datasets.hold(dataset.id, alone=True), pytest.raises(DatasetInUse):
        store.datasets.hold(dataset.id, alone=False).__enter__()


def test_an_analysis_that_somebody_keeps_for_long_can_neither_be_settled_nor_removed(store, tmp_path, monkeypatch):
    monkeypatch.setattr("service.storage.disk_files.LOCK_PATIENCE_S", 0.05)
    submission = committed(store)
    with locked(tmp_path / "data" / "analyses" / submission.id, alone=True):
        with pytest.raises(StoreUnavailable, match="kept"):
            store.analyses.settle(submission.id, *FAILURE)
        with pytest.raises(StoreUnavailable, match="kept"):
            store.analyses.remove(submission.id)
    assert store.analyses.settle(submission.id, *FAILURE)


def test_what_the_disk_has_no_room_for_leaves_no_mark_and_no_link(store, tmp_path, monkeypatch):
    submission = committed(store)
    later = replace(submission, id=new_id(Kind.ANALYSIS))
    before = names_below(tmp_path / "data")

    def refused(source, target) -> None:
        if Path(target).parent.name in ("analyses", "datasets", "label-sets"):
            no_space()
        rename(source, target)

    rename = os.rename
    with monkeypatch.context() as patched:
        patched.setattr("os.rename", refused)
        with pytest.raises(StoreUnavailable):
            store.analyses.add(later)
        with pytest.raises(StoreUnavailable):
            kept(store)
    assert names_below(tmp_path / "data") == before


def names_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.name != "lock")
