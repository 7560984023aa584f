"""The worker process from start to end."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable

import structlog
from redis.exceptions import RedisError
from threadpoolctl import threadpool_info, threadpool_limits

from service.settings import Settings
from service.storage.queue_jobs import FUNCTION_NAME
from service.storage.redis_queue import open_connection
from service.wiring import queue_url
from service.worker.queue_worker import QueueWorker

log = structlog.get_logger("phasegate.worker")

PRELOADED = ("numpy", "scipy.linalg", "sklearn.linear_model")
"""Imported before the first fork, so that a child starts warm.  Only imported: used OpenMP does not survive a fork."""


def run_worker(
    settings: Settings, run_analysis: Callable[[str], None], settle_exhausted: Callable[[str], None] | None = None
) -> None:
    """Work until SIGTERM or SIGINT, then return; raises SystemExit(1) when the queue is lost for good.

    Raises QueueNotConfigured.

    `run_analysis` is called with an analysis id in a forked child.  It must store the outcome itself, analyses that
    fail for their own reasons included; an exception that escapes it counts as a dead child, and is retried.
    `settle_exhausted` is called likewise when the queue has given up on an analysis.
    """
    redis_url = queue_url(settings)
    for module in PRELOADED:
        importlib.import_module(module)
    # The libraries read OMP_NUM_THREADS and its like when they are loaded, which the process tree sets before Python
    # starts; this holds for a worker started by hand too.
    threadpool_limits(limits=settings.threads_per_worker)
    pools = {pool["prefix"]: pool["num_threads"] for pool in threadpool_info()}
    try:
        worker = QueueWorker(
            {FUNCTION_NAME: run_analysis},
            connection=open_connection(redis_url),
            lease_connection=open_connection(redis_url, timeout_s=1.0, retries=1),
            time_limit_s=settings.analysis_time_limit_s,
            stop_grace_s=settings.drain_s,
            memory_is_limited=settings.analysis_memory_limit_bytes is not None,
            settle_exhausted=settle_exhausted,
        )
        log.info("worker_started", pid=os.getpid(), threads=pools)
        worker.work(logging_level="WARNING")
    except RedisError as error:
        log.error("queue_lost", reason=str(error))
        raise SystemExit(1) from error
    if not worker.stop_was_requested:
        raise SystemExit(1)  # RQ's loop ends quietly on errors it does not know; the process tree starts a new worker
