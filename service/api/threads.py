"""Threads that are kept for what must not wait: uploads and strangers may keep all others busy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from anyio import CapacityLimiter, to_thread

Found = TypeVar("Found")

LOOKUPS, PROBES, RENEWALS, LOOKS = 4, 2, 4, 1


@dataclass(frozen=True)
class Threads:
    """How many threads each may have at a time."""

    lookups: CapacityLimiter
    """Of keys that are not remembered: whoever makes keys up keeps nobody waiting but others like him."""
    probes: CapacityLimiter
    """Of /readyz."""
    renewals: CapacityLimiter
    """Of the leases of calls, which run out within seconds."""
    looks: CapacityLimiter
    """At analyses that somebody waits for, all of them together."""


def kept_threads() -> Threads:
    """The threads of one application."""
    return Threads(CapacityLimiter(LOOKUPS), CapacityLimiter(PROBES), CapacityLimiter(RENEWALS), CapacityLimiter(LOOKS))


async def run_in(threads: CapacityLimiter, step: Callable[..., Found], *arguments: object) -> Found:
    """What `step` returns, run in one of these threads."""
    return await to_thread.run_sync(step, *arguments, limiter=threads)
