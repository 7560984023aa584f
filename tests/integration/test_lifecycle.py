"""The life of an analysis on the real store and the real queue, one step at a time."""

from __future__ import annotations

import errno
import io
import json
from datetime import timedelta

import numpy as np
import pytest

from service.analyses import lifecycle
from service.analyses.analysis import State
from service.analyses.errors import AnalysisNotFound, NoReport, ReportNotReady, StoreUnavailable
from service.analyses.ports import LossReason, QueueState, Upload
from service.estimation.errors import InvalidOption, LabelTypeRequired, UnpairedRows
from service.estimation.labels import LabelType
from service.estimation.options import Options
from service.storage import queue_scripts
from service.storage.disk import DiskStore
from service.storage.measures import read_measures
from service.storage.queue_scripts import Ending
from service.storage.redis_queue import RedisQueue, open_connection


class Part:
    def __init__(self, values):
        self.file = io.BytesIO()
        np.save(self.file, values)
        self.file.seek(0)


def an_upload(**changed) -> Upload:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((60, 3)), rng.standard_normal((60, 5))
    parts = {"x": Part(x), "y": Part(y), "labels": Part(x[:, 0] + y[:, 0]), "rows": None}
    return Upload(**{**parts, **changed})


@pytest.fixture
def store(tmp_path) -> DiskStore:
    store = DiskStore(tmp_path / "data", max_label_bytes=1_000_000)
    store.prepare()
    return store


@pytest.fixture
def queue(connection) -> RedisQueue:
    return RedisQueue(connection, time_limit_s=60)


def unreachable(tmp_path) -> RedisQueue:
    return RedisQueue(open_connection(f"unix://{tmp_path}/nothing.sock", retries=0), time_limit_s=60)


def quiet(progress) -> None:
    """Take note of no progress."""


def submitted(store, queue) -> str:
    return lifecycle.submit(store, queue, an_upload(), Options(), None).submission.id


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
    execution = popped(connection, analysis_id)
    assert lifecycle.describe(store, queue, analysis_id).state is State.RUNNING
    stages: list[float] = []
    lifecycle.run(store, queue, analysis_id, lambda progress: stages.append(progress.fraction))
    queue_scripts.end(connection, analysis_id, execution, Ending.DONE)
    after = lifecycle.describe(store, queue, analysis_id)
    assert after.state is State.SUCCEEDED
    assert after.submission.submitted_at <= after.started_at <= after.finished_at
    assert stages == sorted(stages)
    assert stages[-1] == 1.0
    assert json.loads(lifecycle.report(store, analysis_id))["method"] == Options().method
    assert queue.find(analysis_id) is None


def test_running_twice_leaves_the_first_outcome(store, queue):
    analysis_id = submitted(store, queue)
    lifecycle.run(store, queue, analysis_id, quiet)
    first = lifecycle.report(store, analysis_id)
    lifecycle.run(store, queue, analysis_id, quiet)
    assert lifecycle.report(store, analysis_id) == first


def test_refused_input_is_not_queued(store, queue, connection):
    with pytest.raises(UnpairedRows):
        lifecycle.submit(store, queue, an_upload(y=Part(np.zeros((59, 5)))), Options(), None)
    with pytest.raises(LabelTypeRequired):
        lifecycle.submit(store, queue, an_upload(labels=Part(np.arange(60))), Options(), None)
    assert connection.llen("rq:queue:analyses") == 0
    assert list(store.unsettled()) == []


def test_groups_and_covariates_are_kept_with_the_submission_and_used_when_it_runs(store, queue):
    upload = an_upload(groups=Part(np.arange(60) // 3), covariates=Part(np.arange(60) % 4))
    types = {"covariate_0": LabelType.CATEGORICAL}
    analysis_id = lifecycle.submit(store, queue, upload, Options(), None, types).submission.id
    assert store.submission(analysis_id).covariate_types == types
    lifecycle.run(store, queue, analysis_id, quiet)
    data = json.loads(lifecycle.report(store, analysis_id))["data"]
    assert data["n_groups"] == 20
    assert [c["count"] for c in data["covariates"][0]["classes"]] == [15, 15, 15, 15]


def test_types_of_covariates_that_were_not_sent_are_refused(store, queue):
    with pytest.raises(InvalidOption, match="none were sent"):
        lifecycle.submit(store, queue, an_upload(), Options(), None, {"depth": LabelType.NUMERIC})


def test_a_submission_stands_when_the_queue_is_away_and_is_queued_when_it_is_back(store, queue, tmp_path, monkeypatch):
    away = unreachable(tmp_path)
    analysis_id = submitted(store, away)
    assert lifecycle.describe(store, away, analysis_id).state is State.QUEUED
    lifecycle.reconcile_store(store, queue)
    assert queue.find(analysis_id) is None  # too fresh: its submission may be on its way to the queue
    monkeypatch.setattr(lifecycle, "REQUEUE_AFTER", timedelta(0))
    lifecycle.reconcile_store(store, queue)
    lifecycle.reconcile_store(store, queue)
    assert queue.find(analysis_id).state is QueueState.WAITING


def test_each_outcome_is_counted_once_and_only_when_it_was_written(store, queue, connection):
    lost, succeeding, failing = (submitted(store, queue) for _ in range(3))
    for _ in range(2):
        lifecycle.run(store, queue, succeeding, quiet)
    (store._analyses / failing / "x.npy").write_bytes(b"no array")
    lifecycle.run(store, queue, failing, quiet)
    queue_scripts.end(connection, lost, popped(connection, lost), Ending.GIVE_UP, LossReason.WORKER_LOST)
    for _ in range(2):
        lifecycle.reconcile_queue(store, queue)
    report = json.loads(lifecycle.report(store, succeeding))
    counts = read_measures(connection).counts
    assert counts.analyses == {("succeeded", ""): 1, ("failed", "invalid_npy"): 1, ("failed", "worker_lost"): 1}
    assert counts.regimes == {(report["regime"], str(report["conclusive"]).lower()): 1}
    assert {stage: of.total_s for stage, of in counts.stages.items()} == pytest.approx(report["timings"]["stages_s"])
    assert sum(counts.runs.counts.values()) == sum(counts.waits.counts.values()) == 3


def test_an_outcome_is_stored_when_the_queue_is_away(store, queue, tmp_path):
    analysis_id = submitted(store, queue)
    away = unreachable(tmp_path)
    lifecycle.run(store, away, analysis_id, quiet)
    assert lifecycle.describe(store, away, analysis_id).state is State.SUCCEEDED


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        (LossReason.TIME_LIMIT, "time_limit_exceeded"),
        (LossReason.WORKER_LOST, "worker_lost"),
        (LossReason.REFUSED, "job_refused"),
    ],
)
def test_what_the_queue_gives_up_on_ends_failed(store, queue, connection, reason, code):
    analysis_id = submitted(store, queue)
    queue_scripts.end(connection, analysis_id, popped(connection, analysis_id), Ending.GIVE_UP, reason)
    lifecycle.reconcile_queue(store, queue)
    analysis = lifecycle.describe(store, queue, analysis_id)
    assert (analysis.state, analysis.failure.code) == (State.FAILED, code)
    assert queue.find(analysis_id) is None
    with pytest.raises(NoReport, match=code):
        lifecycle.report(store, analysis_id)


def test_a_defect_is_settled_and_does_not_leak(store, queue, monkeypatch):
    def broken(*arguments, **named):
        raise ZeroDivisionError("secret/path")

    monkeypatch.setattr(lifecycle, "estimate", broken)
    analysis_id = submitted(store, queue)
    lifecycle.run(store, queue, analysis_id, quiet)
    failure = lifecycle.describe(store, queue, analysis_id).failure
    assert failure.code == "internal_error"
    assert "secret" not in failure.message


def test_too_little_memory_is_said(store, queue, monkeypatch):
    def greedy(*arguments, **named):
        raise MemoryError

    monkeypatch.setattr(lifecycle, "estimate", greedy)
    analysis_id = submitted(store, queue)
    lifecycle.run(store, queue, analysis_id, quiet)
    assert lifecycle.describe(store, queue, analysis_id).failure.code == "out_of_memory"


def test_an_input_that_cannot_be_read_fails_that_analysis(store, queue, tmp_path):
    analysis_id = submitted(store, queue)
    (tmp_path / "data" / "analyses" / analysis_id / "y.npy").unlink()
    lifecycle.run(store, queue, analysis_id, quiet)
    assert lifecycle.describe(store, queue, analysis_id).failure.code == "input_lost"


def test_a_store_that_is_away_is_left_to_another_attempt(store, queue, tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    analysis_id = submitted(store, queue)
    with monkeypatch.context() as patched:
        patched.setattr("service.storage.disk._write", full)
        with pytest.raises(StoreUnavailable):
            lifecycle.run(store, queue, analysis_id, quiet)
    assert store.outcome(analysis_id) is None
    lifecycle.run(store, queue, analysis_id, quiet)
    assert lifecycle.describe(store, queue, analysis_id).state is State.SUCCEEDED


def test_a_file_damaged_on_the_store_fails_that_analysis(store, queue, tmp_path):
    damaged, whole = submitted(store, queue), submitted(store, queue)
    path = tmp_path / "data" / "analyses" / damaged / "x.npy"
    path.write_bytes(path.read_bytes()[:-8])
    for analysis_id in (damaged, whole):
        lifecycle.run(store, queue, analysis_id, quiet)
    assert lifecycle.describe(store, queue, damaged).failure.code == "invalid_npy"
    assert lifecycle.describe(store, queue, whole).state is State.SUCCEEDED


@pytest.mark.parametrize("analysis_id", ["an-" + "0" * 32, "", "../../etc/passwd", "an-" + "0" * 32 + "\n"])
def test_unknown_analyses_are_not_found(store, queue, analysis_id):
    with pytest.raises(AnalysisNotFound):
        lifecycle.describe(store, queue, analysis_id)
    with pytest.raises(AnalysisNotFound):
        lifecycle.report(store, analysis_id)
