"""Which callers the kept keys let in: keys are looked up, and remembered for a moment."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from threading import Lock

from service.access.callers import Caller, caller_of
from service.access.errors import Unauthenticated
from service.access.keys import Key, Keys, id_in, opens

REMEMBERED_S = 5.0
"""For so long a key that was revoked may still be let in.  A new key counts at once."""
REMEMBERED_KEYS = 1024

NO_KEY = (
    "This call needs a valid API key, sent as `Authorization: Bearer pg_...`. The operator makes one with "
    "`phasegate keys create`."
)
"""Said whatever is wrong with a key: missing, unknown, wrong, expired or revoked."""


class KeyRing:
    """The keys of a store, and those that were given at start.  May be used by several threads.

    Only keys that exist are remembered: who guesses ids neither fills the memory nor pushes others out of it.
    """

    def __init__(self, keys: Keys, given: Sequence[Key] = (), clock_s: Callable[[], float] = time.monotonic) -> None:
        self._keys = keys
        self._given = {key.id: key for key in given}
        self._clock_s = clock_s
        self._remembered: OrderedDict[str, tuple[Key, float]] = OrderedDict()
        self._lock = Lock()

    def authenticate(self, presented: str) -> Caller:
        """Who comes with what was presented.  Raises Unauthenticated, StoreUnavailable."""
        key_id = id_in(presented)
        return _caller(self._find(key_id) if key_id else None, presented)

    def recognize(self, presented: str) -> Caller | None:
        """`authenticate` as far as no store need be asked; None if it must be.  Raises Unauthenticated."""
        key_id = id_in(presented)
        key = self._remembered_key(key_id) if key_id else None
        return None if key_id and key is None else _caller(key, presented)

    def has_keys(self) -> bool:
        """Whether any kept key counts now.  Raises StoreUnavailable."""
        now = datetime.now(UTC)
        return any(key.counts_at(now) for key in self._keys.all())

    def _remembered_key(self, key_id: str) -> Key | None:
        if key_id in self._given:
            return self._given[key_id]
        with self._lock:
            known = self._remembered.get(key_id)
        return known[0] if known is not None and self._clock_s() < known[1] else None

    def _find(self, key_id: str) -> Key | None:
        if (known := self._remembered_key(key_id)) is not None:
            return known
        now_s = self._clock_s()
        key = self._keys.find(key_id)
        with self._lock:
            self._remembered.pop(key_id, None)
            if key is not None:
                self._remembered[key_id] = (key, now_s + REMEMBERED_S)
            if len(self._remembered) > REMEMBERED_KEYS:
                self._remembered.popitem(last=False)
        return key


def _caller(key: Key | None, presented: str) -> Caller:
    if not opens(key, presented, datetime.now(UTC)) or key is None:
        raise Unauthenticated(NO_KEY)
    return caller_of(key)
