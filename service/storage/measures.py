"""What a scrape reads of the queue: how much waits and for how long, who works, what has been counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from redis import Redis

from service.analyses.identity import made_at_s
from service.storage import keys
from service.storage.counters import Counts, parse_counts

LOOKED_AT = 1000
"""The oldest of so many that are next is looked for: one that is tried again stands at the end, however old it is."""


@dataclass(frozen=True)
class Measures:
    """The queue at one moment."""

    waiting: int
    running: int
    workers_alive: int
    oldest_made_at_s: float | None  # when the oldest that waits was submitted, since 1970; None if none waits
    counts: Counts


def read_measures(connection: Redis) -> Measures:
    """Read everything in two round trips.  Raises RedisError."""
    with connection.pipeline(transaction=True) as pipeline:
        pipeline.llen(keys.QUEUE)
        pipeline.lrange(keys.QUEUE, 0, LOOKED_AT - 1)
        pipeline.lrange(keys.INTERMEDIATE, 0, LOOKED_AT - 1)
        pipeline.zrange(keys.DELAYED, 0, LOOKED_AT - 1)
        pipeline.zcard(keys.STARTED)
        pipeline.smembers(keys.WORKERS)
        pipeline.hgetall(keys.COUNTERS)
        queued, following, popped, delayed, running, registered, stored = pipeline.execute()
    workers = [name for name in cast(set[bytes], registered) if name.startswith(keys.WORKER_PREFIX.encode())]
    return Measures(
        waiting=queued + len(popped) + len(delayed),
        running=running,
        workers_alive=connection.exists(*workers) if workers else 0,
        oldest_made_at_s=_oldest([*popped, *delayed, *following]),
        counts=parse_counts(stored),
    )


def _oldest(members: Sequence[bytes]) -> float | None:
    names = [member.decode("ascii", "replace") for member in members]
    return min((made_at_s(name) for name in names if keys.is_analysis_id(name)), default=None)
