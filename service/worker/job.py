"""The one job that a worker does: run an analysis in its own process."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import structlog

from service.analyses.analysis import Progress
from service.analyses.execution import run
from service.analyses.ports import QueueState
from service.analyses.reconciliation import settle_exhausted
from service.settings import Settings
from service.storage.redis_queue import open_connection, publish_progress
from service.wiring import build, check_store
from service.worker.entry import run_worker
from service.worker.memory_limit import limited_memory

log = structlog.get_logger("phasegate.worker")

PROGRESS_TIMEOUT_S = 0.5  # an analysis never waits longer than this to say how far it is


def work(settings: Settings) -> None:
    """Take analyses from the queue until told to stop.  Raises QueueNotConfigured, StoreNotUsable.

    This process touches no store: a bucket can be used only by processes whose parent has not used it.
    """
    services = build(settings)
    check_store(settings)

    def bounded() -> AbstractContextManager[None]:
        limit_bytes = settings.analysis_memory_limit_bytes
        return nullcontext() if limit_bytes is None else limited_memory(limit_bytes)

    def run_analysis(analysis_id: str) -> None:
        connection = open_connection(services.redis_url, timeout_s=PROGRESS_TIMEOUT_S, retries=0)

        def publish(progress: Progress) -> None:
            publish_progress(connection, analysis_id, progress)

        store = services.stores.holder_of(analysis_id)
        submission = store.analyses.find(analysis_id) if store else None
        if store is None or submission is None:
            log.warning("analysis_skipped", analysis_id=analysis_id)  # settled or removed while it waited
            return
        with structlog.contextvars.bound_contextvars(analysis_id=analysis_id, request_id=submission.request_id):
            run(store, services.queue, analysis_id, publish, bounded)

    def settle(analysis_id: str) -> None:
        entry = services.queue.find(analysis_id)
        if entry is not None and entry.state is QueueState.EXHAUSTED:
            settle_exhausted(services.stores, services.queue, entry)

    run_worker(settings, run_analysis, settle)
