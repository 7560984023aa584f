"""How many calls a caller has made within the last minute: counted in Redis, or here alone while that is away."""

from __future__ import annotations

import time

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import MovingWindowRateLimiter
from redis import Redis

from service.analyses.errors import QueueUnavailable
from service.storage.keys import RATE_PREFIX
from service.storage.reaching import Absence

WINDOW_S = 60.0


class CallRates:
    """A moving window of one minute for each caller; `per_minute` calls fit in, any number if it is 0."""

    def __init__(self, connection: Redis, *, per_minute: int, absence_s: float = 0.0) -> None:
        self._item = RateLimitItemPerMinute(per_minute) if per_minute else None
        # The connection is the one that is given: the address says nothing but which library that is of.
        self._shared = MovingWindowRateLimiter(
            RedisStorage("redis://", connection_pool=connection.connection_pool, key_prefix=RATE_PREFIX)
        )
        self._own = MovingWindowRateLimiter(MemoryStorage())
        self._reachable = Absence(absence_s).asked

    def take(self, caller: str) -> float | None:
        """Count a call; None if it fits in, else the seconds until one does, and then it is not counted."""
        if self._item is None:
            return None
        try:
            with self._reachable():
                return _taken(self._shared, self._item, caller)
        except QueueUnavailable:
            return _taken(self._own, self._item, caller)


def _taken(limiter: MovingWindowRateLimiter, item: RateLimitItemPerMinute, caller: str) -> float | None:
    if limiter.hit(item, caller):
        return None
    # Times are those of a wall clock, which may have been ahead.
    return min(max(0.0, limiter.get_window_stats(item, caller).reset_time - time.time()), WINDOW_S)
