"""What has been kept for long enough is removed, round by round; never because a clock has jumped."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import structlog

from service.analyses.errors import QueueUnavailable, StoreUnavailable
from service.analyses.gate import sweep_decisions
from service.analyses.intake import sweep_datasets
from service.analyses.lifecycle import sweep_analyses
from service.analyses.ports import Queue, Stores
from service.analyses.webhooks import sweep_deliveries

JUMP = timedelta(minutes=1)
"""By so much the wall clock may go ahead of the monotonic one between two rounds: clocks are set a little at times."""

HELD_S = 3600.0
"""Nothing expires for so long after a jump, so that somebody can set the clock right."""

log = structlog.get_logger()


def _now() -> datetime:
    return datetime.now(UTC)


class Expiry:
    """Removes what is older than `retention`, and decisions older than `decision_retention`, in rounds.

    A jump of the wall clock is told by the monotonic one, from the second round on: a clock that was wrong when the
    process started is taken as it is.
    """

    def __init__(
        self,
        retention: timedelta,
        decision_retention: timedelta,
        wall: Callable[[], datetime] = _now,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._retention, self._decision_retention = retention, decision_retention
        self._wall, self._monotonic_s = wall, monotonic_s
        self._latest: tuple[datetime, float] | None = None
        self._held_until_s: float | None = None

    def sweep(self, stores: Stores, queue: Queue) -> None:
        """One round: remove what has been kept for long enough, and what processes that have died left behind."""
        now = self._wall()
        if not self._is_held(now):
            self._expire(stores, queue, now)
        stores.sweep()

    def _expire(self, stores: Stores, queue: Queue, now: datetime) -> None:
        """What fails with one tenant keeps none of the others."""
        for tenant in _tenants(stores):
            removed: list[str] = []
            try:
                store = stores.of(tenant)
                removed += sweep_datasets(store, now, self._retention)
                removed += sweep_analyses(store, now, self._retention)
                sweep_decisions(store, now, self._decision_retention)
                sweep_deliveries(store.webhooks, now, self._retention)
            except (OSError, StoreUnavailable):
                log.exception("tenant_not_swept", tenant=tenant)
            finally:
                erase(queue, removed)

    def _is_held(self, now: datetime) -> bool:
        at_s = self._monotonic_s()
        if self._latest is not None:
            was, was_at_s = self._latest
            ahead = (now - was) - timedelta(seconds=at_s - was_at_s)
            if ahead > JUMP:
                self._held_until_s = at_s + HELD_S
                log.warning("clock_jumped", ahead_s=round(ahead.total_seconds()), nothing_expires_for_s=HELD_S)
        self._latest = now, at_s
        return self._held_until_s is not None and at_s < self._held_until_s


def _tenants(stores: Stores) -> Sequence[str]:
    try:
        return stores.tenants()
    except (OSError, StoreUnavailable):
        log.exception("tenants_not_listed")
        return ()


def erase(queue: Queue, ids: list[str]) -> None:
    """Remove what the queue's server holds of what is gone; what it holds while it is away goes by itself in time."""
    try:
        for an_id in ids:
            queue.erase(an_id)
    except QueueUnavailable:
        log.warning("queue_unavailable", step="erase")
