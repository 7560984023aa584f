"""Popping jobs from the queue, and refusing those that are not analyses, before RQ has looked at them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

import structlog
from redis import Redis
from redis.exceptions import ResponseError
from rq.exceptions import DequeueTimeout
from rq.job import Job
from rq.queue import Queue
from rq.serializers import JSONSerializer

from service.storage import keys, queue_scripts
from service.storage.queue_jobs import UnfitJob, job_fields, read_call

log = structlog.get_logger("phasegate.worker")


class AnalysisQueue(Queue):
    """RQ's queue, except that a popped job is checked on its raw bytes and reaches RQ as nothing but an id.

    RQ's own `dequeue_any` loads the whole hash into a job: names to import, webhooks, pickles; and a hash or an id that
    it cannot read raises out of the worker's loop, at every restart again.
    """

    functions: Mapping[str, Any] = {}
    """The functions that the worker of this process runs, by bare name; set by `QueueWorker`."""

    time_limit_s: int = 0

    @classmethod
    def dequeue_any(  # type: ignore[override]
        cls, queues: Iterable[Queue], timeout: int | None, connection: Redis, **_unused: object
    ) -> tuple[Job, Queue] | None:
        """The next analysis.  Raises DequeueTimeout without one, and after a refusal, so that heartbeats go on."""
        (queue,) = queues
        popped = cls.lmove(connection, queue.key, timeout)
        if popped is None:
            return None
        job_id = cast(bytes, popped[1])
        try:
            text = job_id.decode("ascii", "replace")
            if not keys.is_analysis_id(text):
                raise UnfitJob("not an analysis id")
            if not _is_waiting(connection, text):
                connection.lrem(keys.INTERMEDIATE, 1, text)  # done or forgotten meanwhile, or in the list twice
                raise DequeueTimeout(timeout, queue.key)
            fields = cast(dict[bytes, bytes], connection.hgetall(keys.job_key(text)))
            if read_call(text, fields) not in cls.functions:
                raise UnfitJob("unknown function")
        except UnfitJob as refusal:
            _refuse(connection, job_id, str(refusal), cls.time_limit_s)
            raise DequeueTimeout(timeout, queue.key) from refusal
        return Job(text, connection=connection, serializer=JSONSerializer), queue


def _is_waiting(connection: Redis, analysis_id: str) -> bool:
    try:
        status = cast(bytes | None, connection.hget(keys.job_key(analysis_id), "status"))
    except ResponseError as error:
        raise UnfitJob("not a hash") from error
    if status is None and connection.exists(keys.job_key(analysis_id)):
        raise UnfitJob("no status")
    return status == b"queued"


def _refuse(connection: Redis, job_id: bytes, reason: str, time_limit_s: int) -> None:
    text = job_id[:64].decode("ascii", "backslashreplace")
    log.warning("job_refused", job_id=text, reason=reason)
    fields = job_fields(connection, text, time_limit_s) if keys.is_analysis_id(text) else None
    queue_scripts.refuse(connection, job_id, fields)
