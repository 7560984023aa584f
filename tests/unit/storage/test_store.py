"""What every store promises, whatever it keeps its things on."""

import hashlib
import io
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from service.analyses.analysis import RECORD_VERSION, Outcome, State
from service.analyses.dataset import Dataset, DatasetState, StoredArray
from service.analyses.errors import DatasetNotFound, InvalidArrayFile, InvalidTable, LabelsTooLarge
from service.analyses.identity import Kind, new_id
from service.analyses.ports import Store, Stores
from service.analyses.tenancy import DEFAULT_TENANT
from tests.places import Place
from tests.unit.storage.samples import (
    FAILURE,
    NOW,
    REPORT,
    a_label_set,
    an_upload,
    committed,
    kept,
    kind_of,
    npy,
    received,
)


@pytest.fixture
def small_place(place) -> Place:
    return replace(place, max_label_bytes=10_000)


@pytest.fixture
def stores(small_place) -> Stores:
    return small_place.open()


@pytest.fixture
def store(stores) -> Store:
    return stores.of(DEFAULT_TENANT)


def test_what_is_kept_is_read_back_on_another_host(store, small_place):
    submission = committed(store)
    other = small_place.open("elsewhere").of(DEFAULT_TENANT)
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
def test_every_part_that_is_read_whole_is_bounded(store, place, part):
    with (
        pytest.raises(LabelsTooLarge, match=f"{part} is larger than 10000 bytes") as caught,
        store.datasets.stage() as staged,
    ):
        staged.receive(part, io.BytesIO(b"a\n" * 5001))
    assert caught.value.part == part
    assert place.contents() == []


def test_digests_are_those_of_the_bytes_received_however_they_come(store):
    content = an_upload()["x"].getvalue()
    with store.datasets.stage() as staged:
        receiver = staged.begin("x")
        for start in range(0, len(content), 7):
            receiver.write(content[start : start + 7])
        file = receiver.finish()
        assert file.sha256 == hashlib.sha256(content).hexdigest()
        assert file.name.startswith(f"x-{file.sha256[:16]}")
        assert (kind_of(file), file.size_bytes) == ("x npy", len(content))
        np.testing.assert_array_equal(staged.array("x"), np.arange(60.0).reshape(20, 3))


def test_an_upload_that_is_not_kept_leaves_nothing(store, place):
    with store.datasets.stage() as staged:
        received(staged)
        assert staged.features().x.shape == (20, 3)
        staged.begin("groups").write(b"half")
    assert place.contents() == []


def test_parts_are_told_apart_by_content(store):
    with store.datasets.stage() as staged:
        received(staged, labels=npy(np.arange(20.0)), rows=io.BytesIO(b"3\n4\n"))
        assert [kind_of(file) for file in staged.files.values()] == ["x npy", "y npy", "labels npy", "rows csv"]
        np.testing.assert_array_equal(staged.labels().columns["label_0"], np.arange(20.0))
        np.testing.assert_array_equal(staged.labels().rows, [3, 4])


@pytest.mark.parametrize(("part", "kind"), [("y", InvalidArrayFile), ("labels", InvalidTable)])
def test_empty_parts_are_refused(store, place, part, kind):
    with pytest.raises(kind, match=f"{part} is empty"), store.datasets.stage() as staged:
        staged.receive(part, io.BytesIO())
    assert place.contents() == []


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
            staged.bring(opened.id)
            staged.add_parts(dataset)
    assert store.datasets.find(opened.id) == dataset
    assert (dataset.state, dataset.n_pairs) == (DatasetState.READY, 20)
    assert store.datasets.features_of(dataset).x.shape == (20, 3)


def test_a_dataset_has_several_label_sets_newest_first_and_takes_them_with_it(store, place):
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
    assert place.contents() == []


@pytest.mark.parametrize(("first", "second"), [(REPORT, FAILURE), (FAILURE, REPORT), (REPORT, REPORT)])
def test_an_outcome_is_written_once(store, place, first, second):
    submission = committed(store)
    assert store.analyses.outcome(submission.id) is None
    assert store.analyses.settle(submission.id, *first) is True
    written = place.contents()
    assert store.analyses.settle(submission.id, replace(second[0], version=99), second[1]) is False
    assert store.analyses.outcome(submission.id) == first[0]
    assert place.contents() == written
    if first is REPORT:
        assert store.analyses.report(submission.id) == REPORT[1].encode()


def test_a_cancelled_analysis_has_an_outcome_without_report_or_failure(store):
    submission = committed(store)
    outcome = Outcome(RECORD_VERSION, None, NOW, None, cancelled=True)
    assert store.analyses.settle(submission.id, outcome, None)
    assert store.analyses.outcome(submission.id) == outcome
    assert list(store.analyses.unsettled()) == []


def test_a_removed_analysis_cannot_be_settled(store, place):
    submission = committed(store)
    store.analyses.remove(submission.id)
    assert store.analyses.find(submission.id) is None
    assert store.analyses.settle(submission.id, *REPORT) is False
    assert store.analyses.ids() == []
    store.datasets.remove(submission.subject.dataset.id)
    assert place.contents() == []


@pytest.mark.parametrize("content", [b"", b'{"version": 4, "started_'])
def test_an_end_whose_record_cannot_be_read_is_a_failure_and_can_be_removed(store, place, content):
    submission, other = committed(store), committed(store)
    store.analyses.settle(submission.id, *REPORT)
    place.write_record("outcome", submission.id, content)
    outcome = store.analyses.outcome(submission.id)
    assert (outcome.state, outcome.failure.code) == (State.FAILED, "record_unreadable")
    assert store.analyses.outcomes([other.id, submission.id]) == [None, outcome]
    assert store.analyses.settle(submission.id, *FAILURE) is False
    assert list(store.analyses.unsettled()) == [other]
    store.analyses.remove(submission.id)
    assert store.analyses.outcome(submission.id) is None


def test_a_record_that_cannot_be_read_hides_itself_and_nothing_else(store, place):
    damaged, whole = committed(store), committed(store)
    place.write_record("submission", damaged.id, b'{"version": 1}')
    place.write_record("dataset", damaged.subject.dataset.id, b"\xff")
    assert store.analyses.find(damaged.id) is None
    assert store.datasets.find(damaged.subject.dataset.id) is None
    assert list(store.analyses.unsettled()) == [whole]


def test_lists_are_newest_first_and_unsettled_analyses_oldest_first(store):
    submissions = sorted((committed(store) for _ in range(3)), key=lambda submission: submission.id)
    ids = [submission.id for submission in submissions]
    assert store.analyses.ids() == ids[::-1]
    assert store.analyses.ids(before=ids[1]) == ids[:1]
    assert store.analyses.ids(before=ids[2], at_most=1) == [ids[1]]
    assert store.analyses.find_many([ids[2], new_id(Kind.ANALYSIS), ids[0]]) == [submissions[2], None, submissions[0]]
    assert store.datasets.ids() == sorted((s.subject.dataset.id for s in submissions), reverse=True)
    store.analyses.settle(ids[1], *REPORT)
    assert store.analyses.outcomes(ids) == [None, REPORT[0], None]
    assert [s.id for s in store.analyses.unsettled()] == [ids[0], ids[2]]


def test_what_one_tenant_has_no_other_reaches(stores, store):
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
    committed(stores.of("acme-2"))
    assert stores.tenants() == ["default", "acme", "acme-2"]


def test_those_who_work_for_all_tenants_find_the_holder_of_an_analysis(stores, store):
    mine, theirs = committed(store), committed(stores.of("acme"))
    assert {s.id for s in stores.unsettled()} == {mine.id, theirs.id}
    for submission in (mine, theirs):
        holder = stores.holder_of(submission.id)
        assert holder.analyses.find(submission.id) == submission
        assert holder.analyses.settle(submission.id, *REPORT)
        assert stores.holder_of(submission.id) is None
    assert list(stores.unsettled()) == []


@pytest.mark.parametrize("name", ["", "..", "A", "a/b", "-a", "a" * 33, "a\n"])
def test_a_name_that_is_no_tenants_never_becomes_a_path(stores, name):
    with pytest.raises(ValueError, match="not a tenant"):
        stores.of(name)


def test_who_needs_a_dataset_or_a_label_set_is_found_until_it_has_an_outcome(store):
    submission, other = committed(store), committed(store)
    subject = submission.subject
    for stored_id in (subject.dataset.id, subject.label_set.id):
        assert store.analyses.user_of(stored_id) == submission.id
    assert store.analyses.settle(submission.id, *FAILURE)
    assert store.analyses.user_of(subject.dataset.id) is None
    assert store.analyses.user_of(other.subject.dataset.id) == other.id


def test_a_part_that_is_sent_again_takes_the_place_of_the_other(store, small_place):
    opened = Dataset(RECORD_VERSION, new_id(Kind.DATASET), NOW, NOW + timedelta(days=1), ("x", "y"))
    with store.datasets.stage() as staged:
        staged.keep(opened)
    for n in (20, 30, 30):
        with store.datasets.stage() as staged:
            file = staged.receive("x", npy(np.zeros((n, 3))))
            dataset = replace(opened, x=StoredArray(**vars(file), shape=(n, 3), dtype="float64"))
            staged.bring(opened.id)
            staged.add_parts(dataset)
    assert store.datasets.find(opened.id) == dataset
    assert [name for name in small_place.contents() if name.endswith(".npy")] != []
    assert len([name for name in small_place.contents() if name.endswith(".npy")]) == 1
    assert store.datasets.features_of(replace(dataset, parts=("x",), y=dataset.x)).x.shape == (30, 3)


def test_two_who_hold_a_dataset_alone_come_one_after_the_other(store):
    dataset, _ = kept(store)
    order: list[str] = []

    def remove() -> None:
        with store.datasets.hold(dataset.id, alone=True):
            order.append("second")
            store.datasets.remove(dataset.id)

    with ThreadPoolExecutor(1) as pool:
        with store.datasets.hold(dataset.id, alone=True):
            removal = pool.submit(remove)
            with pytest.raises(TimeoutError):
                removal.result(0.3)
            order.append("first")
        removal.result(10)
    assert order == ["first", "second"]
    with pytest.raises(DatasetNotFound), store.datasets.hold(dataset.id, alone=False):
        pass


def test_checking_a_store_leaves_nothing(stores, store, small_place):
    stores.check()
    store.check()
    assert small_place.contents() == []
