"""The queue of analyses, over RQ on Redis or Valkey."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, cast

import structlog
from redis import Redis
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.retry import Retry
from rq.command import send_command

from service.analyses.analysis import Progress
from service.analyses.counting import EndedAnalysis
from service.analyses.identity import stem_of
from service.analyses.ports import QueueEntry, QueueState
from service.storage import counters, keys, queue_scripts
from service.storage.idempotency import forget_calls
from service.storage.kernel_kills import kernel_kills
from service.storage.measures import Measures, read_measures
from service.storage.queue_jobs import decode_loss, decode_progress, decode_signal, encode_progress, job_fields
from service.storage.reaching import Absence, reachable

log = structlog.get_logger("phasegate.queue")

MEASURE_TIMEOUT_S = 1.0
BRIEF_TIMEOUT_S = 1.0

_TIMESTAMP = "%Y-%m-%dT%H:%M:%S.%fZ"


def open_connection(url: str, *, timeout_s: float = 5.0, retries: int = 6) -> Redis:
    """A connection pool for `redis://`, `rediss://` or `unix://`; nothing is sent before the first command.

    With the defaults a command outlives an absence of the server of about 3 s (a restart), then raises
    `redis.exceptions.ConnectionError`.  Every change in `queue_scripts` may be sent twice without harm.
    """
    return Redis.from_url(
        url,
        socket_timeout=timeout_s,
        socket_connect_timeout=min(2.0, timeout_s),
        retry=Retry(ExponentialBackoff(cap=1.0, base=0.05), retries),
    )


def open_brief_connection(url: str) -> Redis:
    """A connection pool for those whom somebody waits for: a command gives up within about a second.

    It outlives a restart of the server that takes no longer than 0.7 s.  A server that is there and silent (stopped,
    swapping, behind a network that drops packets) is not asked a second time.
    """
    return Redis.from_url(
        url,
        socket_timeout=BRIEF_TIMEOUT_S,
        socket_connect_timeout=BRIEF_TIMEOUT_S,
        retry=Retry(ExponentialBackoff(cap=0.4, base=0.05), 3, supported_errors=(RedisConnectionError,)),
    )


class RedisQueue:
    """`service.analyses.ports.Queue` over RQ; the id of the RQ job is the id of the analysis.

    An analysis is enqueued once however often and from however many processes: an entry in any place, given up ones
    included, is left alone until `forget`.  Every call raises QueueUnavailable when the server cannot do its part.

    With `absence_s`, one that was away is not asked again for so many seconds, and then by one call before the others:
    callers who share few threads would else all wait for it at the same time.
    """

    def __init__(self, connection: Redis, *, time_limit_s: int, absence_s: float = 0.0) -> None:
        self._connection = connection
        self._time_limit_s = time_limit_s
        self._reachable = Absence(absence_s).asked

    def enqueue(self, analysis_id: str) -> None:
        """Add an analysis; one that the queue has already is left alone."""
        if not keys.is_analysis_id(analysis_id):
            raise ValueError(f"not an analysis id: {analysis_id!r}")
        with self._reachable():
            fields = job_fields(self._connection, analysis_id, self._time_limit_s)
            queue_scripts.enqueue(self._connection, analysis_id, fields)

    def find(self, analysis_id: str) -> QueueEntry | None:
        """The entry of an analysis, or None if the queue does not know it."""
        if not keys.is_analysis_id(analysis_id):
            return None
        return self.find_many([analysis_id])[0]

    def find_many(self, analysis_ids: Sequence[str]) -> Sequence[QueueEntry | None]:
        """The entries of many analyses, in one step."""
        with self._reachable():
            return self._find_many(analysis_ids)

    def exhausted(self) -> Sequence[QueueEntry]:
        """All entries the queue has given up on."""
        with self._reachable():
            members = cast(list[bytes], self._connection.zrange(keys.FAILED, 0, -1))
            names = [member.decode("utf-8", "replace") for member in members]
            found = self._find_many([name for name in names if keys.is_analysis_id(name)])
            return [entry for entry in found if entry and entry.state is QueueState.EXHAUSTED]

    def running(self) -> Sequence[str]:
        """Ids of all analyses that have a running attempt."""
        with self._reachable():
            members = cast(list[bytes], self._connection.zrange(keys.STARTED, 0, -1))
        names = [member.decode("utf-8", "replace").partition(":")[0] for member in members]
        return [name for name in names if keys.is_analysis_id(name)]

    def forget(self, analysis_id: str) -> None:
        """Remove every trace of an analysis; an attempt that is running is stopped.

        Its worker is told at once, and sees for itself within `keys.LEASE_CHECK_S` should the message be lost.
        """
        with self._reachable():
            worker_name = queue_scripts.forget(self._connection, analysis_id)
            if worker_name:
                send_command(self._connection, worker_name, "stop-job", job_id=analysis_id)

    def erase(self, an_id: str) -> None:
        """Remove every trace of what is on the store no longer."""
        if keys.is_analysis_id(an_id):
            self.forget(an_id)
        with self._reachable():
            self._connection.delete(keys.counted_key(an_id))
            forget_calls(self._connection, stem_of(an_id))

    def waiting(self) -> int:
        """How many analyses wait for a worker."""
        with self._reachable(), self._connection.pipeline(transaction=True) as pipeline:
            pipeline.llen(keys.QUEUE)
            pipeline.llen(keys.INTERMEDIATE)
            pipeline.zcard(keys.DELAYED)
            return int(sum(pipeline.execute()))

    def requeue_lost(self) -> None:
        """Put back the analyses whose worker has died, or give them up when no attempt is left; end pauses."""
        with self._reachable():
            queue_scripts.recover(self._connection, kernel_kills())

    def workers_alive(self) -> int:
        """How many workers have sent a heartbeat within `keys.WORKER_TTL_S` seconds."""
        with self._reachable():
            members = cast(set[bytes], self._connection.smembers(keys.WORKERS))
            names = [member for member in members if member.startswith(keys.WORKER_PREFIX.encode())]
            return self._connection.exists(*names) if names else 0

    def worker_hosts(self) -> frozenset[str]:
        """Names of the hosts on which workers are alive, as `workers_alive` has it."""
        with self._reachable():
            members = cast(set[bytes], self._connection.smembers(keys.WORKERS))
            with self._connection.pipeline(transaction=False) as pipeline:
                for member in members:
                    pipeline.hget(member.decode("utf-8", "replace"), "hostname")
                answers: list[Any] = pipeline.execute(raise_on_error=False)
        return frozenset(answer.decode("utf-8", "replace") for answer in answers if isinstance(answer, bytes))

    def announce(self, analysis_id: str) -> None:
        """Tell whoever waits for this analysis that its outcome is stored; a lost announcement is found by looking."""
        with self._reachable():
            self._connection.publish(keys.ANNOUNCED, analysis_id)

    def count(self, ended: EndedAnalysis) -> None:
        """Count an analysis that has just ended."""
        with self._reachable():
            counters.count(self._connection, ended)

    def _find_many(self, analysis_ids: Sequence[str]) -> list[QueueEntry | None]:
        if not analysis_ids:
            return []
        with self._connection.pipeline(transaction=True) as pipeline:
            for analysis_id in analysis_ids:
                pipeline.hmget(keys.job_key(analysis_id), "status", "started_at", "meta", "loss", "signal")
                pipeline.lpos(keys.QUEUE, analysis_id)
                pipeline.lpos(keys.INTERMEDIATE, analysis_id)
                pipeline.zscore(keys.DELAYED, analysis_id)
            # A key of another type, which only a stranger can have written, is an entry that is not there.
            answers: list[Any] = pipeline.execute(raise_on_error=False)
        rows = zip(analysis_ids, answers[0::4], answers[1::4], answers[2::4], answers[3::4], strict=True)
        return [_entry(*row) for row in rows]


def publish_progress(connection: Redis, analysis_id: str, progress: Progress) -> None:
    """Store how far a running analysis is.  Never raises for the server's sake.

    Called in the child that computes: open its connection there with a short timeout and `retries=0`, for the
    analysis waits as long as the connection does.
    """
    try:
        queue_scripts.store_progress(connection, analysis_id, encode_progress(progress))
    except (RedisError, OSError) as error:
        log.debug("progress_not_published", analysis_id=analysis_id, reason=str(error))


def open_measure(url: str) -> Callable[[], Measures]:
    """A function that reads the queue's measures or raises QueueUnavailable, within about a second: a scrape must not
    wait for a server that is away.
    """
    connection = open_connection(url, timeout_s=MEASURE_TIMEOUT_S, retries=0)

    def measure() -> Measures:
        with reachable():
            return read_measures(connection)

    return measure


def timestamp(moment: datetime) -> str:
    """A moment in the format of RQ's job hashes."""
    return moment.astimezone(UTC).strftime(_TIMESTAMP)


def _entry(analysis_id: str, fields: object, place: object, handover: object, due: object) -> QueueEntry | None:
    if not isinstance(fields, list):
        return None
    status, started_at, meta, loss, signal = fields
    if status == b"queued" and isinstance(place, int):
        return QueueEntry(analysis_id, QueueState.WAITING, place, None, None, None)
    if status == b"queued" and (isinstance(handover, int) or isinstance(due, float)):
        return QueueEntry(analysis_id, QueueState.WAITING, 0, None, None, None)
    if status == b"started":
        moment = _moment(started_at)
        return QueueEntry(analysis_id, QueueState.STARTED, None, moment, decode_progress(meta), None)
    if status == b"failed":
        moment = _moment(started_at)
        return QueueEntry(
            analysis_id, QueueState.EXHAUSTED, None, moment, None, decode_loss(loss), decode_signal(signal)
        )
    return None


def _moment(text: bytes | None) -> datetime | None:
    try:
        return datetime.strptime((text or b"").decode(), _TIMESTAMP).replace(tzinfo=UTC)
    except ValueError:
        return None
