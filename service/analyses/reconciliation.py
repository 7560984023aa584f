"""Store and queue are brought together again: what dead workers held, and what the queue has lost."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import structlog

from service.analyses.analysis import RECORD_VERSION, Outcome
from service.analyses.errors import (
    AnalysisLost,
    AnalysisStopped,
    JobRefused,
    OutOfMemory,
    TimeLimitExceeded,
    WorkerLost,
)
from service.analyses.execution import failure_of, settle
from service.analyses.ports import LossReason, Queue, QueueEntry, Stores

REQUEUE_AFTER = timedelta(seconds=10)  # longer than a submission takes from the store to the queue, by either clock

LOST: dict[LossReason, AnalysisLost] = {
    LossReason.TIME_LIMIT: TimeLimitExceeded(
        "The analysis was stopped at the time limit. Send fewer pairs or features, or ask the operator to raise "
        "PHASEGATE_ANALYSIS_TIME_LIMIT_S."
    ),
    LossReason.WORKER_LOST: WorkerLost(
        "The process that ran the analysis died in every attempt, most often for lack of memory. Send fewer pairs or "
        "features, or ask the operator for larger workers."
    ),
    LossReason.OUT_OF_MEMORY: OutOfMemory(
        "There was not enough memory: the process that ran the analysis could not go on, or was killed for it in every "
        "attempt. Send fewer pairs or features, or ask the operator for workers with more memory."
    ),
    LossReason.STOPPED: AnalysisStopped("The analysis was stopped by the operator. Submit it again if you need it."),
    LossReason.REFUSED: JobRefused("The queue held a job under this name that a worker must not run. Submit again."),
}

log = structlog.get_logger()


def reconcile_queue(stores: Stores, queue: Queue) -> None:
    """Put back what dead workers held, and settle what the queue has given up on."""
    queue.requeue_lost()
    for entry in queue.exhausted():
        settle_exhausted(stores, queue, entry)


def settle_exhausted(stores: Stores, queue: Queue, entry: QueueEntry) -> None:
    """Settle an analysis that the queue has given up on, unless it has ended otherwise."""
    store = stores.holder_of(entry.analysis_id)
    if store is not None:
        outcome = Outcome(RECORD_VERSION, entry.started_at, datetime.now(UTC), failure_of(_loss(entry)))
        settle(store, queue, entry.analysis_id, outcome)
    queue.forget(entry.analysis_id)


class EndedAttempts:
    """Stops the attempts at analyses that have ended: cancelled when the queue could not be told, or not any more.

    An attempt that has just stored its outcome is about to end by itself: only what was seen to have ended in the round
    before is stopped.
    """

    def __init__(self) -> None:
        self._seen: frozenset[str] = frozenset()

    def stop(self, stores: Stores, queue: Queue) -> None:
        """One round."""
        ended = frozenset(analysis_id for analysis_id in queue.running() if _has_ended(stores, analysis_id))
        for analysis_id in ended & self._seen:
            log.warning("ended_analysis_stopped", analysis_id=analysis_id)
            queue.forget(analysis_id)
        self._seen = ended


def _has_ended(stores: Stores, analysis_id: str) -> bool:
    store = stores.holder_of(analysis_id)
    return store is None or store.analyses.outcome(analysis_id) is not None


def _loss(entry: QueueEntry) -> AnalysisLost:
    """Why there is no report of what the queue has given up on."""
    reason = entry.loss or LossReason.WORKER_LOST
    if reason is LossReason.WORKER_LOST and entry.signal is not None:
        return WorkerLost(
            f"The analysis killed the process that ran it in every attempt, the last time by {entry.signal}. Tell the "
            "operator the id of the analysis, and do not send the same input again before the cause is found."
        )
    return LOST[reason]


def reconcile_store(stores: Stores, queue: Queue) -> None:
    """Queue every stored analysis that has neither outcome nor queue entry: the queue was lost, or never reached.

    The queue is asked first: what it has need not be read.
    """
    now = datetime.now(UTC)

    def lacking(analysis_ids: Sequence[str]) -> Sequence[str]:
        entries = zip(analysis_ids, queue.find_many(analysis_ids), strict=True)
        return [analysis_id for analysis_id, entry in entries if entry is None]

    for submission in stores.unsettled(lacking):
        # One that is from the future was submitted before the clock was set back: it must not wait until that comes
        # again.
        if abs(now - submission.submitted_at) > REQUEUE_AFTER:
            log.warning("analysis_requeued", analysis_id=submission.id)
            queue.enqueue(submission.id)
