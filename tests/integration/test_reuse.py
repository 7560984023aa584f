"""A report that is there already is not made again, and never one of another tenant, version or other input."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from service.analyses import execution, lifecycle, reuse
from service.analyses.analysis import State
from service.analyses.errors import ReportAltered, StoreUnavailable
from service.analyses.ports import Stores
from service.analyses.submission import submit, submit_upload
from service.analyses.tenancy import DEFAULT_TENANT
from service.estimation.labels import LabelType
from service.estimation.options import Options
from service.estimation.terms import Method, Scaling
from service.storage.measures import read_measures
from service.storage.redis_queue import RedisQueue
from tests.places import DiskPlace

WEEK = timedelta(days=7)
QUICK = Options(method=Method.REFERENCE)


def part(values) -> io.BytesIO:
    file = io.BytesIO()
    np.save(file, values)
    file.seek(0)
    return file


def an_upload(**changed) -> dict[str, io.BytesIO]:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((60, 3)), rng.standard_normal((60, 5))
    beside = {"groups": part(np.arange(60) // 3), "covariates": part(np.arange(60) % 4)}
    sent = {"x": part(x), "y": part(y), "labels": part(x[:, 0] + y[:, 0]), "rows": part(np.arange(60))}
    return {**sent, **beside, **{name: part(values) for name, values in changed.items()}}


def submitted(store, queue, options=QUICK, covariate_types=LabelType.CATEGORICAL, within=WEEK, **changed):
    upload = an_upload(**changed)
    return submit_upload(store, queue, upload, options, None, covariate_types, retention=WEEK, reuse_within=within)


@pytest.fixture
def stores(place) -> Stores:
    return place.open()


@pytest.fixture
def store(stores):
    return stores.of(DEFAULT_TENANT)


@pytest.fixture
def queue(connection) -> RedisQueue:
    return RedisQueue(connection, time_limit_s=60)


@pytest.fixture
def first(store, queue) -> str:
    """An analysis with a report; nothing like it was there."""
    analysis = submitted(store, queue)
    assert (analysis.state, analysis.reused) == (State.QUEUED, False)
    ran(store, queue, analysis.submission.id)
    return analysis.submission.id


def ran(store, queue, analysis_id: str) -> None:
    execution.run(store, queue, analysis_id, lambda progress: None)
    queue.forget(analysis_id)
    assert lifecycle.describe(store, queue, analysis_id).state is State.SUCCEEDED


def test_the_same_again_is_answered_from_the_stored_report(store, queue, connection, first):
    again = submitted(store, queue)
    assert (again.state, again.reused, again.started_at) == (State.SUCCEEDED, True, None)
    assert again.finished_at >= again.submission.submitted_at
    assert again.submission.id != first
    assert lifecycle.report(store, again.submission.id) == lifecycle.report(store, first)
    assert not lifecycle.describe(store, queue, first).reused
    assert queue.waiting() == 0
    counts = read_measures(connection).counts
    assert (counts.analyses["succeeded", ""], counts.reused) == (2, 1)
    assert sum(counts.regimes.values()) == sum(counts.runs.counts.values()) == 1, "a report is counted once"


def test_a_report_that_cannot_be_found_again_is_stored_and_counted_all_the_same(
    store, queue, connection, place, monkeypatch
):
    analysis_id = submitted(store, queue).submission.id
    with monkeypatch.context() as patched:
        place.break_index(patched)
        ran(store, queue, analysis_id)
    assert lifecycle.report(store, analysis_id)
    assert read_measures(connection).counts.analyses["succeeded", ""] == 1
    assert submitted(store, queue).state is State.QUEUED


def test_a_stored_dataset_is_found_by_its_content_too(store, queue, first):
    subject = store.analyses.find(first).subject
    stored = submit(store, queue, subject.dataset.id, subject.label_set.id, QUICK, {"run": "2"}, reuse_within=WEEK)
    assert (stored.state, stored.reused) == (State.SUCCEEDED, True)
    assert stored.submission.metadata == {"run": "2"}


@pytest.mark.parametrize(
    "changed",
    [
        {"x": np.random.default_rng(1).standard_normal((60, 3))},
        {"y": np.random.default_rng(1).standard_normal((60, 5))},
        {"labels": np.random.default_rng(1).standard_normal(60)},
        {"rows": np.arange(60)[::-1]},
        {"groups": np.arange(60) // 2},
        {"covariates": np.arange(60) % 5},
        {"covariate_types": LabelType.NUMERIC},
        {"options": Options(method=Method.REFERENCE, seed=1)},
        {"options": Options(method=Method.REFERENCE, n_components=3)},
        {"options": Options()},
        {"within": None},
        {"within": timedelta(0)},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_anything_else_runs(store, queue, first, changed):
    analysis = submitted(store, queue, **changed)
    assert (analysis.state, analysis.reused) == (State.QUEUED, False)


def test_types_and_scalings_and_version_decide(store, queue, first, monkeypatch):
    subject = store.analyses.find(first).subject
    known = reuse.fingerprint_of(subject)
    assert known == store.analyses.find(first).fingerprint
    others = {
        reuse.fingerprint_of(
            reuse.Estimation(subject.dataset, subject.label_set, Options(**{"method": Method.REFERENCE, **options}))
        )
        for options in ({"scaling": type(QUICK.scaling)(x=Scaling.STANDARDIZE)}, {"alpha": 0.01}, {"seed": 2})
    }
    monkeypatch.setattr(reuse, "__version__", "another")
    others.add(reuse.fingerprint_of(subject))
    assert len(others) == 4
    assert known not in others


def test_another_tenant_gets_nothing_of_it(stores, queue, first):
    other = submitted(stores.of("other"), queue)
    assert (other.state, other.reused) == (State.QUEUED, False)


def test_a_deleted_report_is_not_reused_and_a_copy_of_it_is(store, queue, first):
    copy = submitted(store, queue).submission.id
    lifecycle.delete(store, queue, first)
    assert submitted(store, queue).reused
    for analysis_id in store.analyses.ids():
        lifecycle.delete(store, queue, analysis_id)
    assert copy not in store.analyses.ids()
    assert not submitted(store, queue).reused


def test_failures_are_not_reused(store, queue):
    ended = submitted(store, queue, x=np.ones((60, 3))).submission.id
    execution.run(store, queue, ended, lambda progress: None)
    assert lifecycle.describe(store, queue, ended).state is State.FAILED
    assert submitted(store, queue, x=np.ones((60, 3))).state is State.QUEUED


def test_a_report_that_cannot_be_copied_is_made_anew(store, queue, first, monkeypatch):
    def full(*arguments):
        raise StoreUnavailable("full")

    with monkeypatch.context() as patched:
        patched.setattr(store.analyses, "settle", full)
        analysis = submitted(store, queue)
    assert (analysis.state, analysis.queue_position) == (State.QUEUED, 0)
    ran(store, queue, analysis.submission.id)


def test_what_leads_nowhere_on_a_disk_is_swept(tmp_path, queue):
    disk = DiskPlace(tmp_path / "data", max_label_bytes=1_000_000)
    stores = disk.open()
    store = stores.of(DEFAULT_TENANT)
    first = submitted(store, queue).submission.id
    ran(store, queue, first)
    place = tmp_path / "data" / "fingerprints" / store.analyses.find(first).fingerprint
    stores.sweep()
    assert place.read_text() == first
    for text in (f"an-{'0' * 32}", "", "../../etc/passwd"):
        place.write_text(text)
        assert store.analyses.find_report(place.name) is None
        assert not submitted(store, queue, within=WEEK).reused
        stores.sweep()
        assert not place.exists()
    assert store.analyses.find_report(place.name) is None


def test_one_whose_time_is_over_is_not_reused(store, queue, first):
    finished_at = store.analyses.outcome(first).finished_at
    age = datetime.now(UTC) - finished_at
    assert not submitted(store, queue, within=age / 2).reused
    assert submitted(store, queue, within=age + timedelta(hours=1)).reused


def test_a_report_that_has_been_altered_is_neither_answered_nor_reused(store, queue, place):
    first = submitted(store, queue).submission.id
    execution.run(store, queue, first, lambda progress: None)
    place.write_record("report", first, lifecycle.report(store, first)[:-40])
    with pytest.raises(ReportAltered):
        lifecycle.report(store, first)
    assert submitted(store, queue).state is State.QUEUED


def test_a_report_is_known_again_in_its_copies(store, queue, place):
    first = submitted(store, queue).submission.id
    execution.run(store, queue, first, lambda progress: None)
    copy = submitted(store, queue)
    assert copy.reused
    place.write_record("report", copy.submission.id, b"{}")
    with pytest.raises(ReportAltered):
        lifecycle.report(store, copy.submission.id)
    assert lifecycle.report(store, first)


def test_a_report_whose_record_cannot_be_read_is_not_reused(store, queue, place):
    first = submitted(store, queue).submission.id
    execution.run(store, queue, first, lambda progress: None)
    place.write_record("outcome", first, b"")
    assert submitted(store, queue).state is State.QUEUED
