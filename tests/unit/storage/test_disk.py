import errno
import hashlib
import io
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event

import numpy as np
import pytest

from service.analyses.analysis import RECORD_VERSION, Estimation, Failure, Outcome, Submission
from service.analyses.dataset import Dataset, DatasetState, LabelSet, StoredArray
from service.analyses.errors import DatasetNotFound, InvalidArrayFile, InvalidTable, LabelsTooLarge, StoreUnavailable
from service.analyses.identity import Kind, new_id
from service.analyses.tenancy import DEFAULT_TENANT
from service.estimation.labels import LabelType
from service.estimation.options import Options
from service.storage.disk import DiskStore, DiskStores

NOW = datetime(2026, 11, 26, tzinfo=UTC)


def npy(values) -> io.BytesIO:
    buffer = io.BytesIO()
    np.save(buffer, values)
    buffer.seek(0)
    return buffer


@pytest.fixture
def stores(tmp_path) -> DiskStores:
    stores = DiskStores(tmp_path / "data", max_label_bytes=10_000)
    stores.prepare()
    return stores


@pytest.fixture
def store(stores) -> DiskStore:
    return stores.of(DEFAULT_TENANT)


def an_upload(**parts) -> dict[str, io.BytesIO]:
    x, y = np.arange(60.0).reshape(20, 3), np.arange(80.0).reshape(20, 4)
    return {"x": npy(x), "y": npy(y), "labels": io.BytesIO(b"kind\n" + b"a\nb\n" * 10), **parts}


def received(staged, **parts) -> None:
    for part, source in an_upload(**parts).items():
        if source is not None:
            staged.receive(part, source)


def a_dataset(staged, **changed) -> Dataset:
    files = staged.files
    arrays = {
        part: StoredArray(**vars(files[part]), shape=(20, d), dtype="float64") for part, d in (("x", 3), ("y", 4))
    }
    beside = {part: files.get(part) for part in ("groups", "covariates")}
    parts = ("x", "y", *(part for part in beside if part in files))
    expires_at = NOW + timedelta(days=7)
    return Dataset(RECORD_VERSION, new_id(Kind.DATASET), NOW, expires_at, parts, **arrays, **beside, **changed)


def a_label_set(staged, dataset_id: str) -> LabelSet:
    return LabelSet(
        version=RECORD_VERSION,
        id=new_id(Kind.LABEL_SET),
        dataset_id=dataset_id,
        created_at=NOW,
        labels=staged.files["labels"],
        rows=staged.files.get("rows"),
        label_types={"kind": LabelType.CATEGORICAL},
        n_labeled=20,
    )


def kind_of(file) -> str:
    """Part and kind by the name of a stored file."""
    return f"{file.name.partition('-')[0]} {file.name.rpartition('.')[2]}"


def kept(store: DiskStore, **parts) -> tuple[Dataset, LabelSet]:
    with store.datasets.stage() as staged:
        received(staged, **parts)
        dataset = a_dataset(staged)
        label_set = a_label_set(staged, dataset.id)
        staged.keep(dataset, label_set)
    return dataset, label_set


def committed(store: DiskStore) -> Submission:
    dataset, label_set = kept(store)
    submission = Submission(
        RECORD_VERSION, new_id(Kind.ANALYSIS), NOW, Estimation(dataset, label_set, Options(seed=7)), {"team": "vision"}
    )
    store.analyses.add(submission)
    return submission


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


REPORT = (Outcome(RECORD_VERSION, datetime.now(UTC), datetime.now(UTC), None), '{"regime": "both"}')
FAILURE = (Outcome(RECORD_VERSION, None, datetime.now(UTC), Failure("worker_lost", "It died.", None)), None)


def test_what_is_kept_is_read_back_by_another_store(store, tmp_path):
    submission = committed(store)
    other = DiskStores(tmp_path / "data", max_label_bytes=10_000).of(DEFAULT_TENANT)
    assert other.analyses.find(submission.id) == submission
    assert other.datasets.find(submission.subject.dataset.id) == submission.subject.dataset
    assert other.datasets.find_label_set(submission.subject.label_set.id) == submission.subject.label_set
    features = other.datasets.features_of(submission.subject.dataset)
    np.testing.assert_array_equal(features.x, np.arange(60.0).reshape(20, 3))
    assert features.y.shape == (20, 4)
    assert (features.groups, features.covariates) == (None, None)
    labels = other.datasets.labels_of(submission.subject.label_set)
    assert list(labels.columns) == ["kind"]
    assert labels.rows is None


def test_groups_and_covariates_are_stored_and_read(store):
    groups = io.BytesIO(b"subject\n" + b"s1\ns2\n" * 10)
    dataset, _ = kept(store, groups=groups, covariates=npy(np.ones((20, 2))))
    assert [kind_of(dataset.groups), kind_of(dataset.covariates)] == ["groups csv", "covariates npy"]
    features = store.datasets.features_of(store.datasets.find(dataset.id))
    assert features.groups.tolist() == ["s1", "s2"] * 10
    assert list(features.covariates) == ["covariate_0", "covariate_1"]


@pytest.mark.parametrize("part", ["labels", "rows", "groups", "covariates"])
def test_every_part_that_is_read_whole_is_bounded(store, tmp_path, part):
    with (
        pytest.raises(LabelsTooLarge, match=f"{part} is larger than 10000 bytes") as caught,
        store.datasets.stage() as staged,
    ):
        staged.receive(part, io.BytesIO(b"a\n" * 5001))
    assert caught.value.part == part
    assert files_below(tmp_path) == []


def test_digests_are_those_of_the_bytes_received_however_they_come(store, tmp_path):
    content = an_upload()["x"].getvalue()
    with store.datasets.stage() as staged:
        receiver = staged.begin("x")
        for start in range(0, len(content), 7):
            receiver.write(content[start : start + 7])
        file = receiver.finish()
        assert file.sha256 == hashlib.sha256(content).hexdigest()
        assert (file.name, file.size_bytes) == (f"x-{file.sha256[:16]}.npy", len(content))
        np.testing.assert_array_equal(staged.array("x"), np.arange(60.0).reshape(20, 3))


def test_an_upload_that_is_not_kept_leaves_nothing(store, tmp_path):
    with store.datasets.stage() as staged:
        received(staged)
        assert staged.features().x.shape == (20, 3)
        staged.begin("groups").write(b"half")
    assert files_below(tmp_path) == []


def test_parts_are_told_apart_by_content(store):
    with store.datasets.stage() as staged:
        received(staged, labels=npy(np.arange(20.0)), rows=io.BytesIO(b"3\n4\n"))
        assert [kind_of(file) for file in staged.files.values()] == ["x npy", "y npy", "labels npy", "rows csv"]
        np.testing.assert_array_equal(staged.labels().columns["label_0"], np.arange(20.0))
        np.testing.assert_array_equal(staged.labels().rows, [3, 4])


@pytest.mark.parametrize(("part", "kind"), [("y", InvalidArrayFile), ("labels", InvalidTable)])
def test_empty_parts_are_refused(store, tmp_path, part, kind):
    with pytest.raises(kind, match=f"{part} is empty"), store.datasets.stage() as staged:
        staged.receive(part, io.BytesIO())
    assert files_below(tmp_path) == []


def test_a_dataset_is_filled_part_by_part(store):
    opened = Dataset(RECORD_VERSION, new_id(Kind.DATASET), NOW, NOW + timedelta(days=1), ("x", "y"))
    with store.datasets.stage() as staged:
        staged.keep(opened)
    assert store.datasets.find(opened.id).state is DatasetState.OPEN
    dataset = opened
    for part, d in (("y", 4), ("x", 3)):
        with store.datasets.stage() as staged:
            file = staged.receive(part, an_upload()[part])
            dataset = replace(dataset, **{part: StoredArray(**vars(file), shape=(20, d), dtype="float64")})
            if part == "x":
                assert staged.features_with(dataset).y.shape == (20, 4)
            staged.add_part(part, dataset)
    assert store.datasets.find(opened.id) == dataset
    assert (dataset.state, dataset.n_pairs) == (DatasetState.READY, 20)
    assert store.datasets.features_of(dataset).x.shape == (20, 3)


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
            staged.add_part("x", changed)
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


def test_a_dataset_has_several_label_sets_newest_first_and_takes_them_with_it(store, tmp_path):
    dataset, first = kept(store)
    with store.datasets.stage() as staged:
        staged.receive("labels", npy(np.arange(20.0)))
        second = a_label_set(staged, dataset.id)
        staged.add_label_set(second)
    newest_first = sorted([first.id, second.id], reverse=True)
    assert store.datasets.label_set_ids(dataset.id) == newest_first
    assert store.datasets.label_set_ids(dataset.id, newest_first[0]) == newest_first[1:]
    np.testing.assert_array_equal(store.datasets.labels_of(second).columns["label_0"], np.arange(20.0))
    store.datasets.remove_label_set(first)
    assert store.datasets.find_label_set(first.id) is None
    assert store.datasets.find_label_set(second.id) == second
    store.datasets.remove(dataset.id)
    assert store.datasets.find(dataset.id) is None
    assert store.datasets.find_label_set(second.id) is None
    assert files_below(tmp_path) == []
    assert list((tmp_path / "data" / "label-sets").iterdir()) == []


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


@pytest.mark.parametrize(("first", "second"), [(REPORT, FAILURE), (FAILURE, REPORT), (REPORT, REPORT)])
def test_an_outcome_is_written_once(store, tmp_path, first, second):
    submission = committed(store)
    assert store.analyses.outcome(submission.id) is None
    assert store.analyses.settle(submission.id, *first) is True
    written = files_below(tmp_path)
    assert store.analyses.settle(submission.id, replace(second[0], version=99), second[1]) is False
    assert store.analyses.outcome(submission.id) == first[0]
    assert files_below(tmp_path) == written
    if first is REPORT:
        assert store.analyses.report(submission.id) == REPORT[1].encode()


def test_what_an_interrupted_settlement_left_counts_for_nothing(store, tmp_path):
    submission = committed(store)
    folder = tmp_path / "data" / "analyses" / submission.id
    (folder / "outcome.json").write_text("{")
    (folder / ".report.json").write_text("{")
    assert store.analyses.outcome(submission.id) is None
    assert store.analyses.settle(submission.id, *REPORT) is True
    assert store.analyses.outcome(submission.id) == REPORT[0]


def test_a_cancelled_analysis_has_an_outcome_without_report_or_failure(store):
    submission = committed(store)
    outcome = Outcome(RECORD_VERSION, None, NOW, None, cancelled=True)
    assert store.analyses.settle(submission.id, outcome, None)
    assert store.analyses.outcome(submission.id) == outcome
    assert list(store.analyses.unsettled()) == []


def test_a_removed_analysis_cannot_be_settled(store, tmp_path):
    submission = committed(store)
    store.analyses.remove(submission.id)
    assert store.analyses.find(submission.id) is None
    assert store.analyses.settle(submission.id, *REPORT) is False
    assert store.analyses.ids() == []
    assert list((tmp_path / "data" / "tmp").iterdir()) == []


def test_a_record_that_cannot_be_read_hides_itself_and_nothing_else(store, tmp_path):
    damaged, whole = committed(store), committed(store)
    (tmp_path / "data" / "analyses" / damaged.id / "submission.json").write_text('{"version": 1}')
    (tmp_path / "data" / "datasets" / damaged.subject.dataset.id / "dataset.json").write_bytes(b"\xff")
    assert store.analyses.find(damaged.id) is None
    assert store.datasets.find(damaged.subject.dataset.id) is None
    assert list(store.analyses.unsettled()) == [whole]


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


def test_lists_are_newest_first_and_unsettled_analyses_oldest_first(store):
    submissions = sorted((committed(store) for _ in range(3)), key=lambda submission: submission.id)
    ids = [submission.id for submission in submissions]
    assert store.analyses.ids() == ids[::-1]
    assert store.analyses.ids(before=ids[1]) == ids[:1]
    assert store.datasets.ids() == sorted((s.subject.dataset.id for s in submissions), reverse=True)
    store.analyses.settle(ids[1], *REPORT)
    assert [s.id for s in store.analyses.unsettled()] == [ids[0], ids[2]]


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


def test_what_one_tenant_has_no_other_reaches(stores, store, tmp_path):
    other = stores.of("acme")
    submission = committed(other)
    dataset, label_set = submission.subject.dataset, submission.subject.label_set
    assert other.analyses.find(submission.id) == submission
    assert other.datasets.labels_of(label_set).rows is None
    assert other.datasets.find_label_set(label_set.id) == label_set
    for stranger in (store, stores.of("acme-2")):
        assert stranger.analyses.find(submission.id) is None
        assert stranger.datasets.find(dataset.id) is None
        assert stranger.datasets.find_label_set(label_set.id) is None
        assert [*stranger.analyses.ids(), *stranger.datasets.ids(), *stranger.analyses.unsettled()] == []
        assert stranger.analyses.settle(submission.id, *REPORT) is False
        with pytest.raises(DatasetNotFound), stranger.datasets.hold(dataset.id, alone=False):
            pass
    assert stores.tenants() == ["default", "acme", "acme-2"]
    assert (tmp_path / "data" / "tenants" / "acme").stat().st_mode & 0o777 == 0o700


def test_those_who_work_for_all_tenants_find_the_holder_of_an_analysis(stores, store):
    mine, theirs = committed(store), committed(stores.of("acme"))
    assert {s.id for s in stores.unsettled()} == {mine.id, theirs.id}
    for submission in (mine, theirs):
        holder = stores.holder_of(submission.id)
        assert holder.analyses.find(submission.id) == submission
        assert holder.analyses.settle(submission.id, *REPORT)
        assert stores.holder_of(submission.id) is None
    assert list(stores.unsettled()) == []


def test_an_empty_mark_is_of_the_time_before_tenants(stores, store, tmp_path):
    submission = committed(store)
    (tmp_path / "data" / "unsettled" / submission.id).write_bytes(b"")
    assert list(stores.unsettled()) == [submission]
    assert stores.holder_of(submission.id).analyses.find(submission.id) == submission


@pytest.mark.parametrize("name", ["", "..", "A", "a/b", "-a", "a" * 33, "a\n"])
def test_a_name_that_is_no_tenants_never_becomes_a_path(stores, name):
    with pytest.raises(ValueError, match="not a tenant"):
        stores.of(name)


def test_a_store_that_is_not_mounted_is_not_made_anew(stores, tmp_path):
    (tmp_path / "data").rename(tmp_path / "elsewhere")
    with pytest.raises(StoreUnavailable):
        stores.of("acme")
    assert not (tmp_path / "data").exists()
