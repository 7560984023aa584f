"""What it means that the server of the queue cannot be reached, and for how long it is not asked again."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from service.analyses.errors import QueueUnavailable

AWAY = "The queue cannot be reached. Try again later."


@contextmanager
def reachable() -> Iterator[None]:
    """Whatever the server fails to do becomes QueueUnavailable."""
    try:
        yield
    except RedisError as error:
        raise QueueUnavailable(AWAY) from error


class Absence:
    """What is known of a server that was away: within `absence_s` seconds it is not asked again.

    Then one call asks before the others: callers who share few threads would else all wait for it at the same time.
    """

    def __init__(self, absence_s: float) -> None:
        self._absence_s = absence_s
        self._away_until: float | None = None

    @contextmanager
    def asked(self) -> Iterator[None]:
        """As `reachable`; raises QueueUnavailable at once while the server is taken to be away."""
        now = time.monotonic()
        if self._away_until is not None:
            if now < self._away_until:
                raise QueueUnavailable(AWAY)
            self._away_until = now + self._absence_s  # this call finds out for the others
        try:
            with reachable():
                yield
        except QueueUnavailable as error:
            is_away = isinstance(error.__cause__, RedisConnectionError | RedisTimeoutError)
            self._away_until = time.monotonic() + self._absence_s if is_away else None
            raise
        self._away_until = None
