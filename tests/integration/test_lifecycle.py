"""The life of an analysis on the real store and the real queue, one step at a time."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from service.analyses import execution, intake, lifecycle, reconciliation
from service.analyses.analysis import Estimation, State
from service.analyses.errors import (
    AnalysisActive,
    AnalysisNotFound,
    DatasetInUse,
    DatasetNotFound,
    MemoryLimitExceeded,
    NoReport,
    ReportNotReady,
    StoreUnavailable,
)
from service.analyses.identity import Kind, new_id, new_stem
from service.analyses.ports import LossReason, QueueState, Store, Stores
from service.analyses.submission import submit, submit_upload
from service.analyses.tenancy import DEFAULT_TENANT
from service.estimation.errors import InvalidOption, LabelTypeRequired, UnpairedRows
from service.estimation.labels import LabelType
from service.estimation.memory import Sizes, needed_bytes
from service.estimation.options import Options
from service.estimation.terms import Method
from service.storage import keys, queue_scripts
from service.storage.measures import read_measures
from service.storage.queue_scripts import Ending
from service.storage.redis_queue import RedisQueue, open_connection

ROOT = Path(__file__).parents[2]
RETENTION = timedelta(days=7)
QUICK = Options(method=Method.REFERENCE)


def part(values) -> io.BytesIO:
    file = io.BytesIO()
    np.save(file, values)
    file.seek(0)
    return file


def an_upload(**changed) -> dict[str, io.BytesIO]:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((60, 3)), rng.standard_normal((60, 5))
    return {"x": part(x), "y": part(y), "labels": part(x[:, 0] + y[:, 0]), **changed}


def submitted(store, queue, options=None, types=None, covariate_types=None, stem=None, **changed) -> str:
    upload, chosen = an_upload(**changed), options or QUICK
    analysis = submit_upload(store, queue, upload, chosen, types, covariate_types, retention=RETENTION, stem=stem)
    return analysis.submission.id


@pytest.fixture
def stores(place) -> Stores:
    return place.open()


@pytest.fixture
def store(stores) -> Store:
    return stores.of(DEFAULT_TENANT)


@pytest.fixture
def queue(connection) -> RedisQueue:
    return RedisQueue(connection, time_limit_s=60)


def unreachable(tmp_path) -> RedisQueue:
    return RedisQueue(open_connection(f"unix://{tmp_path}/nothing.sock", retries=0), time_limit_s=60)


def quiet(progress) -> None:
    """Take note of no progress."""


def subject_of(store, analysis_id: str) -> Estimation:
    return store.analyses.find(analysis_id).subject


def popped(connection, analysis_id: str) -> str:
    """Start an attempt as a worker does; returns its execution."""
    connection.lmove("rq:queue:analyses", "rq:queue:analyses:intermediate", "LEFT", "RIGHT")
    assert queue_scripts.start(connection, analysis_id, "execution", "2026-01-01T00:00:00.000000Z", "worker")
    return "execution"


def test_an_analysis_goes_from_queued_to_succeeded(store, queue, connection):
    analysis_id = submitted(store, queue)
    before = lifecycle.describe(store, queue, analysis_id)
    assert (before.state, before.queue_position, before.finished_at) == (State.QUEUED, 0, None)
    with pytest.raises(ReportNotReady):
        lifecycle.report(store, analysis_id)
    lease = popped(connection, analysis_id)
    assert lifecycle.describe(store, queue, analysis_id).state is State.RUNNING
    stages: list[float] = []
    execution.run(store, queue, analysis_id, lambda progress: stages.append(progress.fraction))
    queue_scripts.end(connection, analysis_id, lease, Ending.DONE)
    after = lifecycle.describe(store, queue, analysis_id)
    assert after.state is State.SUCCEEDED
    assert after.submission.submitted_at <= after.started_at <= after.finished_at
    assert stages == sorted(stages)
    assert stages[-1] == 1.0
    assert json.loads(lifecycle.report(store, analysis_id))["method"] == QUICK.method
    assert queue.find(analysis_id) is None


def test_running_twice_leaves_the_first_outcome(store, queue):
    analysis_id = submitted(store, queue)
    execution.run(store, queue, analysis_id, quiet)
    first = lifecycle.report(store, analysis_id)
    execution.run(store, queue, analysis_id, quiet)
    assert lifecycle.report(store, analysis_id) == first


def test_refused_input_is_not_queued(store, queue, connection):
    with pytest.raises(UnpairedRows):
        submitted(store, queue, y=part(np.zeros((59, 5))))
    with pytest.raises(LabelTypeRequired):
        submitted(store, queue, labels=part(np.arange(60)))
    assert connection.llen("rq:queue:analyses") == 0
    assert list(store.analyses.unsettled()) == []


def test_groups_and_covariates_are_kept_with_the_submission_and_used_when_it_runs(store, queue):
    types = {"covariate_0": LabelType.CATEGORICAL}
    beside = {"groups": part(np.arange(60) // 3), "covariates": part(np.arange(60) % 4)}
    analysis_id = submitted(store, queue, covariate_types=types, **beside)
    assert store.analyses.find(analysis_id).subject.dataset.covariate_types == types
    execution.run(store, queue, analysis_id, quiet)
    data = json.loads(lifecycle.report(store, analysis_id))["data"]
    assert data["n_groups"] == 20
    assert [c["count"] for c in data["covariates"][0]["classes"]] == [15, 15, 15, 15]


def test_types_of_covariates_that_were_not_sent_are_refused(store, queue):
    with pytest.raises(InvalidOption, match="none were sent"):
        submitted(store, queue, covariate_types={"depth": LabelType.NUMERIC})


def test_a_submission_stands_when_the_queue_is_away_and_is_queued_when_it_is_back(
    stores, store, queue, tmp_path, monkeypatch
):
    away = unreachable(tmp_path)
    analysis_id = submitted(store, away)
    assert lifecycle.describe(store, away, analysis_id).state is State.QUEUED
    reconciliation.reconcile_store(stores, queue)
    assert queue.find(analysis_id) is None  # too fresh: its submission may be on its way to the queue
    monkeypatch.setattr(reconciliation, "REQUEUE_AFTER", timedelta(0))
    reconciliation.reconcile_store(stores, queue)
    reconciliation.reconcile_store(stores, queue)
    assert queue.find(analysis_id).state is QueueState.WAITING


def test_each_outcome_is_counted_once_and_only_when_it_was_written(stores, store, queue, connection, place):
    lost, succeeding, failing, cancelled = (submitted(store, queue, Options()) for _ in range(4))
    execution.run(store, queue, succeeding, quiet)
    place.write_part(subject_of(store, failing), "x", b"no array")
    execution.run(store, queue, failing, quiet)
    queue_scripts.end(connection, lost, popped(connection, lost), Ending.GIVE_UP, LossReason.WORKER_LOST)
    reconciliation.reconcile_queue(stores, queue)
    lifecycle.cancel(store, queue, cancelled)
    for analysis_id in (succeeding, failing, lost, cancelled):
        connection.delete(keys.counted_key(analysis_id))
        execution.settle(store, queue, analysis_id, store.analyses.outcome(analysis_id))
    report = json.loads(lifecycle.report(store, succeeding))
    counts = read_measures(connection).counts
    assert counts.analyses == {
        ("succeeded", ""): 1,
        ("failed", "input_altered"): 1,
        ("failed", "worker_lost"): 1,
        ("cancelled", ""): 1,
    }
    assert counts.regimes == {(report["regime"], str(report["conclusive"]).lower()): 1}
    assert {stage: of.total_s for stage, of in counts.stages.items()} == pytest.approx(report["timings"]["stages_s"])
    assert sum(counts.runs.counts.values()) == sum(counts.waits.counts.values()) == 3, "the cancelled one never ran"


def test_an_outcome_that_cannot_be_counted_stands(store, queue, connection, place):
    analysis_id = submitted(store, queue)
    place.write_part(subject_of(store, analysis_id), "x", b"no array")
    connection.set(keys.COUNTERS, "in the way")
    execution.run(store, queue, analysis_id, quiet)
    assert lifecycle.describe(store, queue, analysis_id).failure.code == "input_altered"


def test_an_outcome_is_stored_when_the_queue_is_away(store, queue, tmp_path):
    analysis_id = submitted(store, queue)
    away = unreachable(tmp_path)
    execution.run(store, away, analysis_id, quiet)
    assert lifecycle.describe(store, away, analysis_id).state is State.SUCCEEDED


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        (LossReason.TIME_LIMIT, "time_limit_exceeded"),
        (LossReason.WORKER_LOST, "worker_lost"),
        (LossReason.OUT_OF_MEMORY, "out_of_memory"),
        (LossReason.REFUSED, "job_refused"),
    ],
)
def test_what_the_queue_gives_up_on_ends_failed(stores, store, queue, connection, reason, code):
    analysis_id = submitted(store, queue)
    queue_scripts.end(connection, analysis_id, popped(connection, analysis_id), Ending.GIVE_UP, reason)
    reconciliation.reconcile_queue(stores, queue)
    analysis = lifecycle.describe(store, queue, analysis_id)
    assert (analysis.state, analysis.failure.code) == (State.FAILED, code)
    assert queue.find(analysis_id) is None
    with pytest.raises(NoReport, match=code):
        lifecycle.report(store, analysis_id)


def test_what_kills_its_process_in_every_attempt_is_told_with_the_signal(stores, store, queue, connection):
    analysis_id = submitted(store, queue)
    execution_of_last = popped(connection, analysis_id)
    queue_scripts.end(connection, analysis_id, execution_of_last, Ending.GIVE_UP, LossReason.WORKER_LOST, "SIGSEGV")
    reconciliation.reconcile_queue(stores, queue)
    failure = lifecycle.describe(store, queue, analysis_id).failure
    assert failure.code == "worker_lost"
    assert "SIGSEGV" in failure.message


def test_a_defect_is_settled_and_does_not_leak(store, queue, monkeypatch):
    def broken(*arguments, **named):
        raise ZeroDivisionError("secret/path")

    monkeypatch.setattr(execution, "estimate", broken)
    analysis_id = submitted(store, queue)
    execution.run(store, queue, analysis_id, quiet)
    failure = lifecycle.describe(store, queue, analysis_id).failure
    assert failure.code == "internal_error"
    assert "secret" not in failure.message


def test_too_little_memory_is_said(store, queue, monkeypatch):
    def greedy(*arguments, **named):
        raise MemoryError

    monkeypatch.setattr(execution, "estimate", greedy)
    analysis_id = submitted(store, queue)
    execution.run(store, queue, analysis_id, quiet)
    assert lifecycle.describe(store, queue, analysis_id).failure.code == "out_of_memory"


def test_an_input_that_cannot_be_read_fails_that_analysis(store, queue, place):
    analysis_id = submitted(store, queue)
    place.remove_part(subject_of(store, analysis_id), "y")
    execution.run(store, queue, analysis_id, quiet)
    assert lifecycle.describe(store, queue, analysis_id).failure.code == "input_lost"


def test_a_store_that_is_away_is_left_to_another_attempt(store, queue, place, monkeypatch):
    analysis_id = submitted(store, queue)
    with monkeypatch.context() as patched:
        place.take_away(patched)
        with pytest.raises(StoreUnavailable):
            execution.run(store, queue, analysis_id, quiet)
    assert store.analyses.outcome(analysis_id) is None
    execution.run(store, queue, analysis_id, quiet)
    assert lifecycle.describe(store, queue, analysis_id).state is State.SUCCEEDED


@pytest.mark.parametrize("is_gone", [False, True])
def test_an_analysis_whose_last_step_failed_has_its_dataset_when_the_call_is_repeated(
    store, queue, place, monkeypatch, is_gone
):
    stem = new_stem()
    with monkeypatch.context() as patched:
        place.break_last_step(patched)
        for _ in range(2):
            with pytest.raises(StoreUnavailable):
                submitted(store, queue, stem=stem)
    if is_gone:
        store.datasets.remove(new_id(Kind.DATASET, stem))
    analysis_id = submitted(store, queue, stem=stem)
    execution.run(store, queue, analysis_id, quiet)
    assert lifecycle.describe(store, queue, analysis_id).state is State.SUCCEEDED
    store.datasets.remove(new_id(Kind.DATASET, stem))
    assert submitted(store, queue, stem=stem) == analysis_id, "it has ended, and needs no dataset any more"


def test_the_dataset_of_an_analysis_that_nobody_can_ask_for_is_left_to_expire(store, queue, place, monkeypatch):
    stem = new_stem()

    def away(*arguments):
        raise StoreUnavailable("The array store cannot be reached. Try again later.")

    with monkeypatch.context() as patched:
        place.break_last_step(patched)
        find = store.analyses.find
        answers = iter([find, away])
        patched.setattr(store.analyses, "find", lambda analysis_id: next(answers)(analysis_id))
        with pytest.raises(StoreUnavailable):
            submitted(store, queue, stem=stem)
    assert store.datasets.find(new_id(Kind.DATASET, stem)) is not None


def shortened(content: bytes) -> bytes:
    return content[:-8]


def changed_at_the_end(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


@pytest.mark.parametrize("alter", [shortened, changed_at_the_end])
@pytest.mark.parametrize("damaged_part", ["x", "y", "labels"])
def test_a_file_altered_on_the_store_fails_that_analysis_and_no_other(store, queue, place, damaged_part, alter):
    damaged, whole = submitted(store, queue), submitted(store, queue)
    subject = subject_of(store, damaged)
    place.write_part(subject, damaged_part, alter(place.read_part(subject, damaged_part)))
    for analysis_id in (damaged, whole):
        execution.run(store, queue, analysis_id, quiet)
    failure = lifecycle.describe(store, queue, damaged).failure
    assert (failure.code, failure.part) == ("input_altered", damaged_part)
    assert lifecycle.describe(store, queue, whole).state is State.SUCCEEDED


@pytest.mark.parametrize("leap", [timedelta(hours=1), timedelta(hours=-1)])
def test_a_clock_that_is_set_keeps_no_analysis_out_of_the_queue(stores, store, queue, monkeypatch, leap):
    """Submitted by one clock, looked at by another that is an hour ahead or behind."""
    analysis_id = submitted(store, queue)
    queue.forget(analysis_id)
    reconciliation.reconcile_store(stores, queue)
    assert queue.find(analysis_id) is None, "it may be on its way to the queue"

    class Clock(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) + leap

    monkeypatch.setattr(reconciliation, "datetime", Clock)
    reconciliation.reconcile_store(stores, queue)
    assert queue.find(analysis_id).state is QueueState.WAITING


def test_nothing_is_read_of_what_the_queue_has(stores, queue, monkeypatch):
    """On a bucket every look costs."""
    monkeypatch.setattr(reconciliation, "REQUEUE_AFTER", timedelta(seconds=-1))
    waiting, lost, theirs = (submitted(stores.of(tenant), queue) for tenant in ("default", "default", "acme"))
    for analysis_id in (lost, theirs):
        queue.forget(analysis_id)
    kind, read = type(stores.of(DEFAULT_TENANT).analyses), []
    find = kind.find_unsettled

    def counted(analyses, analysis_id):
        read.append(analysis_id)
        return find(analyses, analysis_id)

    monkeypatch.setattr(kind, "find_unsettled", counted)
    reconciliation.reconcile_store(stores, queue)
    assert sorted(read) == sorted([lost, theirs])
    assert [entry.state for entry in queue.find_many([waiting, lost, theirs])] == [QueueState.WAITING] * 3
    read.clear()
    reconciliation.reconcile_store(stores, queue)
    assert read == []


def test_what_needs_too_much_memory_is_refused_with_the_numbers_and_nothing_is_kept(store, queue):
    needed = needed_bytes(Sizes(60, 3, 5, 60, 1), QUICK)
    with pytest.raises(MemoryLimitExceeded) as refused:
        submit_upload(store, queue, an_upload(), QUICK, None, retention=RETENTION, memory_limit_bytes=needed)
    assert "PHASEGATE_ANALYSIS_MEMORY_LIMIT_BYTES" in refused.value.message
    assert str(needed) in refused.value.message
    assert list(store.datasets.ids()) == list(store.analyses.ids()) == []
    accepted = submit_upload(store, queue, an_upload(), QUICK, None, retention=RETENTION, memory_limit_bytes=2 * needed)
    dataset, label_set = accepted.submission.subject.dataset, accepted.submission.subject.label_set
    with pytest.raises(MemoryLimitExceeded):
        submit(store, queue, dataset.id, label_set.id, QUICK, memory_limit_bytes=needed)
    assert submit(store, queue, dataset.id, label_set.id, QUICK, memory_limit_bytes=2 * needed)


@pytest.mark.parametrize("analysis_id", ["an-" + "0" * 32, "", "../../etc/passwd", "an-" + "0" * 32 + "\n"])
def test_unknown_analyses_are_not_found(store, queue, analysis_id):
    with pytest.raises(AnalysisNotFound):
        lifecycle.describe(store, queue, analysis_id)
    with pytest.raises(AnalysisNotFound):
        lifecycle.report(store, analysis_id)


def test_what_is_cancelled_stays_cancelled_whatever_its_attempt_finds_out(store, queue, connection):
    analysis_id = submitted(store, queue)
    popped(connection, analysis_id)
    assert lifecycle.cancel(store, queue, analysis_id).state is State.CANCELLED
    assert queue.find(analysis_id) is None
    execution.run(store, queue, analysis_id, quiet)
    assert lifecycle.describe(store, queue, analysis_id).state is State.CANCELLED
    with pytest.raises(NoReport, match="cancelled"):
        lifecycle.report(store, analysis_id)


def test_an_outcome_that_comes_during_a_cancellation_wins(store, queue):
    analysis_id = submitted(store, queue)
    execution.run(store, queue, analysis_id, quiet)
    assert lifecycle.cancel(store, queue, analysis_id).state is State.SUCCEEDED
    assert lifecycle.report(store, analysis_id)


def test_an_analysis_is_cancelled_while_the_queue_is_away_and_skipped_when_it_is_back(store, queue, tmp_path):
    analysis_id = submitted(store, queue)
    assert lifecycle.cancel(store, unreachable(tmp_path), analysis_id).state is State.CANCELLED
    assert queue.find(analysis_id) is not None
    execution.run(store, queue, analysis_id, quiet)
    assert lifecycle.describe(store, queue, analysis_id).state is State.CANCELLED
    lifecycle.cancel(store, queue, analysis_id)
    assert queue.find(analysis_id) is None


def test_an_attempt_at_what_was_cancelled_while_the_queue_was_away_is_stopped_later(
    stores, store, queue, connection, tmp_path
):
    cancelled, running = submitted(store, queue), submitted(store, queue)
    popped(connection, cancelled)
    popped(connection, running)
    lifecycle.cancel(store, unreachable(tmp_path), cancelled)
    attempts = reconciliation.EndedAttempts()
    attempts.stop(stores, queue)
    assert set(queue.running()) == {cancelled, running}, "it may be about to end by itself"
    attempts.stop(stores, queue)
    assert queue.running() == [running]


def test_a_deleted_analysis_is_not_brought_back_by_its_attempt(store, queue):
    analysis_id = submitted(store, queue)
    with pytest.raises(AnalysisActive):
        lifecycle.delete(store, queue, analysis_id)
    lifecycle.cancel(store, queue, analysis_id)
    lifecycle.delete(store, queue, analysis_id)
    execution.run(store, queue, analysis_id, quiet)
    with pytest.raises(AnalysisNotFound):
        lifecycle.describe(store, queue, analysis_id)
    assert store.analyses.ids() == []


def test_datasets_are_swept_when_their_time_is_over_and_nobody_uses_them(store, queue):
    used, unused = submitted(store, queue), submitted(store, queue)
    execution.run(store, queue, unused, quiet)
    opened = intake.open_dataset(store, (), None)
    datasets = {name: store.analyses.find(name).subject.dataset for name in (used, unused)}
    intake.sweep_datasets(store, opened.expires_at, RETENTION)
    assert set(store.datasets.ids()) == {dataset.id for dataset in datasets.values()}
    intake.sweep_datasets(store, datasets[unused].expires_at, RETENTION)
    assert store.datasets.ids() == [datasets[used].id]
    execution.run(store, queue, used, quiet)
    intake.sweep_datasets(store, datasets[unused].expires_at, RETENTION)
    assert store.datasets.ids() == []
    assert store.datasets.find_label_set(store.analyses.find(used).subject.label_set.id) is None
    assert lifecycle.report(store, used)


def test_a_submission_that_cannot_be_stored_leaves_no_dataset(store, queue, monkeypatch, place):
    def full(submission):
        raise StoreUnavailable("full")

    monkeypatch.setattr(store.analyses, "add", full)
    with pytest.raises(StoreUnavailable):
        submitted(store, queue)
    assert store.datasets.ids() == []
    assert place.contents() == []


def test_a_list_looks_at_the_queue_once(store, queue, monkeypatch):
    ids = [submitted(store, queue) for _ in range(3)]
    calls = []
    find_many = queue.find_many
    monkeypatch.setattr(queue, "find_many", lambda names: calls.append(names) or find_many(names))
    page = lifecycle.list_analyses(store, queue, states={State.QUEUED}, limit=10)
    assert [analysis.submission.id for analysis in page.items] == sorted(ids, reverse=True)
    assert sorted(analysis.queue_position for analysis in page.items) == [0, 1, 2]
    assert len(calls) == 1


def test_a_dataset_that_has_become_ready_meanwhile_is_not_swept(store, monkeypatch):
    opened = intake.open_dataset(store, (), None)
    find = store.datasets.find
    looks = []

    def looked(dataset_id):
        found = find(dataset_id)
        looks.append(found)
        if len(looks) == 1:  # between the sweeper's first look and its lock
            for name in ("x", "y"):
                with store.datasets.stage() as staged:
                    staged.receive(name, an_upload()[name])
                    intake.put_part(store, dataset_id, name, staged, RETENTION)
        return found

    monkeypatch.setattr(store.datasets, "find", looked)
    intake.sweep_datasets(store, opened.expires_at, RETENTION)
    assert find(opened.id).n_pairs == 60


def test_what_is_deleted_between_two_looks_is_not_found(store, queue, monkeypatch):
    analysis_id = submitted(store, queue)
    execution.run(store, queue, analysis_id, quiet)

    def deleted(name):
        store.analyses.remove(name)

    for call in (lifecycle.report, lambda store, name: lifecycle.delete(store, queue, name)):
        with monkeypatch.context() as patched:
            patched.setattr(store.analyses, "outcome", deleted)
            with pytest.raises(AnalysisNotFound):
                call(store, analysis_id)
        analysis_id = submitted(store, queue)
        execution.run(store, queue, analysis_id, quiet)
    queue.forget(analysis_id)
    with monkeypatch.context() as patched:
        patched.setattr(store.analyses, "outcome", deleted)
        with pytest.raises(AnalysisNotFound):
            lifecycle.describe(store, queue, analysis_id)


def test_a_dataset_is_removed_or_analysed_but_never_both(store, queue, place, monkeypatch):
    add = store.analyses.add
    with ThreadPoolExecutor(1) as pool:
        removals = []

        def add_late(submission):
            removals.append(pool.submit(intake.delete_dataset, store, submission.subject.dataset.id))
            wait(removals, 0.3)  # on a directory it waits in turn, on a bucket it does not
            add(submission)

        monkeypatch.setattr(store.analyses, "add", add_late)
        try:
            analysis_id = submitted(store, queue)
        except DatasetNotFound:
            removals[0].result(10)
            assert place.contents() == []
        else:
            with pytest.raises(DatasetInUse):
                removals[0].result(10)
            execution.run(store, queue, analysis_id, quiet)
            assert lifecycle.describe(store, queue, analysis_id).state is State.SUCCEEDED


@pytest.mark.parametrize("method", list(Method))
def test_an_analysis_takes_no_more_memory_than_it_may_and_says_so(store, queue, place, method):
    """Refused to numpy, LAPACK or Python itself, wherever it is asked for: the analysis ends, and the process lives."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2000, 60)), rng.standard_normal((2000, 40))
    upload = {"x": x, "y": y, "labels": x[:, 0] + y[:, 0]}
    limits = [0, 2_000_000, 4_000_000, 6_000_000, 2**29]
    ids = [submitted(store, queue, Options(method=method), **{n: part(v) for n, v in upload.items()}) for _ in limits]
    command = [sys.executable, "-m", "tests.integration.memory_stand_in", json.dumps(asdict(place), default=str)]
    command += [f"{analysis_id}:{limit}" for analysis_id, limit in zip(ids, limits, strict=True)]
    # OpenBLAS with several threads ends the process when it is refused memory; a worker has one unless it is told.
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    ran = subprocess.run(command, cwd=ROOT, env=one_thread, capture_output=True, text=True, check=True, timeout=60)
    endings = ran.stderr
    assert endings.split() == [*["out_of_memory"] * 4, "succeeded"]
