"""Processes on different hosts that share a bucket, and nothing else: no lock, no clock, no queue."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from threading import Barrier

import pytest

from service.analyses.analysis import RECORD_VERSION, Outcome
from service.analyses.ports import Store
from service.analyses.tenancy import DEFAULT_TENANT
from service.storage.bucket_layout import BucketLayout
from tests.places import BucketPlace
from tests.unit.storage.samples import NOW, committed, kept

ROUNDS = 40


class Rival:
    """A process that does what it is told, as soon as it is told."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        assert process.stdout.readline() == "ready\n"

    def tell(self, action: str, dataset_id: str, label_set_id: str = "") -> None:
        told = {"action": action, "dataset_id": dataset_id, "label_set_id": label_set_id}
        self._process.stdin.write(json.dumps(told) + "\n")
        self._process.stdin.flush()

    def answer(self) -> str:
        return json.loads(self._process.stdout.readline())


@contextmanager
def rival(place: BucketPlace, host: str) -> Iterator[Rival]:
    address = json.dumps(dataclasses.asdict(place.address))
    command = [sys.executable, "-m", "tests.integration.bucket_rival", address, str(place.folder / host)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Rival(process)
        process.stdin.close()


@pytest.fixture(scope="module")
def shared_place(bucket_server, tmp_path_factory) -> BucketPlace:
    return BucketPlace(bucket_server.address("rivals"), tmp_path_factory.mktemp("rivals"), max_label_bytes=1_000_000)


@pytest.fixture(scope="module")
def rivals(shared_place) -> Iterator[tuple[Rival, Rival]]:
    with ExitStack() as running:
        yield tuple(running.enter_context(rival(shared_place, host)) for host in ("one", "other"))


def test_a_dataset_is_analysed_or_removed_but_never_both(shared_place, rivals):
    store = shared_place.open().of(DEFAULT_TENANT)
    one, other = rivals
    seen = set()
    for number in range(ROUNDS):
        dataset, label_set = kept(store)
        first, second = ((one, "submit"), (other, "delete_dataset"))[:: 1 if number % 2 else -1]
        first[0].tell(first[1], dataset.id, label_set.id)
        second[0].tell(second[1], dataset.id, label_set.id)
        outcome = one.answer(), other.answer()
        seen.add(outcome)
        user = store.analyses.user_of(dataset.id)
        if outcome[0] == "done":
            assert outcome[1] == "dataset_in_use"
            assert store.datasets.find(dataset.id) == dataset
            assert store.datasets.find_label_set(label_set.id) == label_set
            assert user is not None
        else:
            assert outcome in {("dataset_not_found", "done"), ("label_set_not_found", "done")}
            assert (store.datasets.find(dataset.id), user) == (None, None)
    assert {deleted for _, deleted in seen} == {"done", "dataset_in_use"}, "both must come about, or nothing is shown"


def test_a_label_set_is_used_or_removed_but_never_both(shared_place, rivals):
    store = shared_place.open().of(DEFAULT_TENANT)
    one, other = rivals
    seen = set()
    for number in range(ROUNDS):
        dataset, label_set = kept(store)
        first, second = ((one, "submit"), (other, "delete_label_set"))[:: 1 if number % 2 else -1]
        first[0].tell(first[1], dataset.id, label_set.id)
        second[0].tell(second[1], dataset.id, label_set.id)
        outcome = one.answer(), other.answer()
        seen.add(outcome)
        assert store.datasets.find(dataset.id) == dataset
        if outcome[0] == "done":
            assert outcome[1] in {"label_set_in_use", "dataset_in_use"}
            assert store.datasets.find_label_set(label_set.id) == label_set
            assert store.analyses.user_of(label_set.id) is not None
        else:
            assert outcome in {("dataset_not_found", "done"), ("label_set_not_found", "done")}
            assert (store.datasets.find_label_set(label_set.id), store.analyses.user_of(label_set.id)) == (None, None)
    assert "done" in {deleted for _, deleted in seen}


def test_labels_come_to_a_dataset_or_go_with_it(shared_place, rivals):
    store = shared_place.open().of(DEFAULT_TENANT)
    one, other = rivals
    for number in range(ROUNDS // 2):
        records = list(shared_place.bucket.listed("label-sets"))
        dataset, _ = kept(store)
        first, second = ((one, "add_label_set"), (other, "delete_dataset"))[:: 1 if number % 2 else -1]
        first[0].tell(first[1], dataset.id)
        second[0].tell(second[1], dataset.id)
        added, deleted = one.answer(), other.answer()
        assert (added, deleted) in {("done", "done"), ("dataset_not_found", "done"), ("done", "dataset_in_use")}
        if deleted == "done":
            assert store.datasets.find(dataset.id) is None
            assert list(shared_place.bucket.listed(BucketLayout().dataset(dataset.id))) == []
            assert list(shared_place.bucket.listed("label-sets")) == records
        else:
            labels = store.datasets.find_label_sets(store.datasets.label_set_ids(dataset.id))
            assert len([label_set for label_set in labels if label_set is not None]) == 2


@pytest.mark.parametrize("number", range(10))
def test_an_outcome_that_two_write_at_once_is_that_of_one(shared_place, number):
    one, other = (shared_place.open(host).of(DEFAULT_TENANT) for host in ("one", "other"))
    submission = committed(one)
    reports = ['{"by": "one"}', '{"by": "other"}']
    both = Barrier(2)

    def settle(store: Store, report: str) -> bool:
        both.wait(10)
        return store.analyses.settle(submission.id, Outcome(RECORD_VERSION, NOW, datetime.now(UTC), None), report)

    with ThreadPoolExecutor(2) as pool:
        written = list(pool.map(settle, (one, other), reports))
    assert sorted(written) == [False, True]
    assert other.analyses.report(submission.id).decode() == reports[written.index(True)]
    folder = BucketLayout().analysis(submission.id)
    assert len([item for item in shared_place.bucket.listed(folder) if "/report-" in item.key]) == 1
