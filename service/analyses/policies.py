"""Named policies: store one, find one by its name, list them.  The presets are there from the start, for everybody."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import structlog

from service.analyses.analysis import RECORD_VERSION
from service.analyses.errors import InvalidCursor, PolicyNotFound, StoreUnavailable, TooManyPolicies
from service.analyses.pages import Page
from service.analyses.policy import StoredPolicy
from service.analyses.ports import PolicyStore, Store
from service.gating.checking import check_policy
from service.gating.digests import sha256_of
from service.gating.policy import Policy
from service.gating.presets import PRESETS
from service.gating.references import Reference, check_new_name, is_name

MAX_VERSIONS = 1000
"""Of all named policies of one tenant together."""
ATTEMPTS = 20  # of whoever finds the next number taken by another call
PRESET_NUMBER = 1

log = structlog.get_logger()


def create(store: Store, name: str, policy: Policy) -> tuple[StoredPolicy, bool]:
    """Keep a policy under a name, as the next version of that; one that equals the latest version is that version.

    Returns: the version, and whether it is new.

    Raises: InvalidPolicyName, InvalidPolicy, TooManyPolicies, StoreUnavailable.
    """
    check_new_name(name)
    check_policy(policy)
    sha256 = sha256_of(policy)
    for _ in range(ATTEMPTS):
        numbers = store.policies.numbers(name)
        latest = store.policies.find(name, numbers[-1]) if numbers else None
        if latest is not None and latest.sha256 == sha256:
            return latest, False
        _check_room(store.policies)
        number = numbers[-1] + 1 if numbers else 1
        new = StoredPolicy(RECORD_VERSION, name, number, datetime.now(UTC), sha256, policy)
        if store.policies.add(new):
            log.info("policy_stored", policy=str(new.reference), sha256=sha256)
            return new, True
    raise StoreUnavailable("The policy is being changed by other calls all the time. Try again later.")


def find(store: Store, reference: Reference) -> StoredPolicy:
    """The policy that is named so, in the latest version unless one is named.  Raises PolicyNotFound."""
    found: StoredPolicy | None
    if reference.name in PRESETS:
        found = preset(reference.name) if reference.version in (None, PRESET_NUMBER) else None
    elif not is_name(reference.name):
        found = None
    elif reference.version is None:
        found = _latest(store.policies, reference.name)
    else:
        found = store.policies.find(reference.name, reference.version)
    if found is None:
        raise PolicyNotFound(
            f"There is no policy {str(reference)[:80]!r}. Store it first, or name a preset: {', '.join(PRESETS)}."
        )
    return found


def preset(name: str) -> StoredPolicy:
    """The preset with this name."""
    policy = PRESETS[name]
    return StoredPolicy(RECORD_VERSION, name, PRESET_NUMBER, None, sha256_of(policy), policy)


def list_policies(store: Store, *, cursor: str | None = None, limit: int) -> Page[StoredPolicy]:
    """A page of policies in their latest version: the presets, then the others by name.  Raises InvalidCursor."""
    if cursor is not None and not is_name(cursor):
        raise InvalidCursor("This is no cursor of this list. Send `next_cursor` of the page before, as it was.")
    names = sorted({*PRESETS, *store.policies.names()}, key=_place)
    rest = [name for name in names if cursor is None or _place(name) > _place(cursor)]
    shown, more = rest[:limit], len(rest) > limit
    found = [preset(name) if name in PRESETS else _latest(store.policies, name) for name in shown]
    items = tuple(item for item in found if item is not None)
    return Page(items, shown[-1] if more else None)


def _latest(policies: PolicyStore, name: str) -> StoredPolicy | None:
    numbers: Sequence[int] = policies.numbers(name)
    return policies.find(name, numbers[-1]) if numbers else None


def _check_room(policies: PolicyStore) -> None:
    if policies.count() >= MAX_VERSIONS:
        raise TooManyPolicies(
            f"There are {MAX_VERSIONS} versions of policies, which is as many as this service keeps. Send the policy "
            "in full with the question instead."
        )


def _place(name: str) -> tuple[bool, str]:
    return name not in PRESETS, name
