"""Calls that carry a key, so that a client may repeat them: the first answer is given again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from service.analyses.tenancy import DEFAULT_TENANT

CALL_LEASE_S = 6
"""A call with a key whose lease is not renewed for this long has lost the process that answered it."""


@dataclass(frozen=True)
class KeyedCall:
    """A call by its key: who made it and to what, and what was sent."""

    scope: str
    """Whose key it is, and for which kind of call; the same key in another scope is another key."""
    key: str
    fingerprint: str
    """Digest of what was sent, and to which address."""
    holder: str
    """Of this attempt to make the call, and of no other."""
    tenant: str = DEFAULT_TENANT
    """Whose keys go first when there are too many: those of whoever has most."""


@dataclass(frozen=True)
class Answer:
    """An answer as it was given first."""

    status: int
    headers: Mapping[str, str]
    body: str | None
    """None if it was not worth keeping: the call, made again under its stem, makes nothing new."""


@dataclass(frozen=True)
class Claim:
    """What a call finds under its key: an answer, or that it is the one to give it."""

    stem: str
    """What follows the kind in the ids of whatever the call makes: the one of the first attempt."""
    answer: Answer | None


class Claims(Protocol):
    """The keys of calls.  Every method raises QueueUnavailable when they cannot be reached."""

    def claim(self, call: KeyedCall, stem: str) -> Claim:
        """The answer that is kept under the call's key; without one, the key is this call's until its lease ends.

        An attempt whose process has died leaves its stem to the next one, so that what it has made is found again.
        Raises IdempotencyKeyReused for another fingerprint, IdempotencyKeyInUse while another attempt runs.
        """

    def renew(self, call: KeyedCall) -> None:
        """Begin the lease anew; to be called while the call is being answered."""

    def keep(self, call: KeyedCall, answer: Answer) -> None:
        """Keep the answer of a call that holds its key."""

    def let_go(self, call: KeyedCall, *, forget: bool) -> None:
        """The call has no answer that is kept: another attempt may follow at once.

        With `forget` the key is as good as new; else what was made under it stays its own.
        """

    def is_known(self, scope: str, key: str) -> bool:
        """Whether there is anything under a key."""
