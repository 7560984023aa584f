"""Leases in Redis: of several processes that could do the same, one does."""

from __future__ import annotations

from redis import Redis

from service.storage.keys import LEASE_PREFIX
from service.storage.reaching import Absence

_LET_GO = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


class RedisLeases:
    """Leases by name; each ends by itself after `ttl_s` seconds.  Every call raises QueueUnavailable."""

    def __init__(self, connection: Redis, *, ttl_s: int, absence_s: float = 0.0) -> None:
        self._connection, self._ttl_s = connection, ttl_s
        self._reachable = Absence(absence_s).asked

    def take(self, name: str, holder: str) -> bool:
        """Whether the lease is this holder's now; False while it is another's."""
        with self._reachable():
            return bool(self._connection.set(f"{LEASE_PREFIX}{name}", holder, nx=True, ex=self._ttl_s))

    def let_go(self, name: str, holder: str) -> None:
        """End a lease, if it is this holder's still."""
        with self._reachable():
            self._connection.eval(_LET_GO, 1, f"{LEASE_PREFIX}{name}", holder)
