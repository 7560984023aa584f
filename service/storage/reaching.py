"""What it means that a server cannot be reached, and for how long it is not asked again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from service.analyses.errors import AnalysisError, QueueUnavailable

AWAY = "The queue cannot be reached. Try again later."


@contextmanager
def reachable() -> Iterator[None]:
    """Whatever the server of the queue fails to do becomes QueueUnavailable."""
    try:
        yield
    except RedisError as error:
        raise QueueUnavailable(AWAY) from error


class ServerSilent(Exception):
    """What an unavailable server has in its cause if it did not answer at all."""


def _is_silent(error: Exception) -> bool:
    return isinstance(error.__cause__, RedisConnectionError | RedisTimeoutError | ServerSilent)


class Absence:
    """What is known of a server that was away: within `absence_s` seconds it is not asked again.

    Then one call asks before the others: callers who share few threads would else all wait for it at the same time.

    Arguments: reached, which makes of what the server fails to do the error for it; refusal, the error for a call that
    does not ask.
    """

    def __init__(
        self,
        absence_s: float,
        reached: Callable[[], AbstractContextManager[None]] = reachable,
        refusal: Callable[[], AnalysisError] = lambda: QueueUnavailable(AWAY),
    ) -> None:
        self._absence_s, self._reached, self._refusal = absence_s, reached, refusal
        self._away_until: float | None = None

    @contextmanager
    def asked(self) -> Iterator[None]:
        """As `reached`; raises the refusal at once while the server is taken to be away."""
        now, away_until = time.monotonic(), self._away_until  # read once: other threads change it
        if away_until is not None:
            if now < away_until:
                raise self._refusal()
            self._away_until = now + self._absence_s  # this call finds out for the others
        try:
            with self._reached():
                yield
        except Exception as error:
            self._away_until = time.monotonic() + self._absence_s if _is_silent(error) else None
            raise
        self._away_until = None
