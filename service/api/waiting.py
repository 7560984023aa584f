"""Waiting for analyses: one look in a while for all who wait in this process, sooner when an end is announced."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Annotated

import structlog
from anyio import CapacityLimiter
from fastapi import Depends, Header, Request

from service.analyses.analysis import Analysis
from service.analyses.ports import Queue, Store
from service.analyses.watching import Seen, look_again
from service.api.access import ServicesDep
from service.api.threads import run_in
from service.storage.announcements import Announcements

LOOK_INTERVAL_S = 0.5  # how often the queue is asked how far analyses are
STORE_INTERVAL_S = 2.0  # how often the store is asked for ends that nobody has announced
WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?([0-9]{1,9})(?![0-9.])", re.IGNORECASE)

log = structlog.get_logger()


class Watch:
    """One analysis, for all who wait for it here."""

    def __init__(self, seen: Seen, draining: threading.Event) -> None:
        self.seen = seen
        self.n_waiting = 0
        self._draining = draining
        self._told = asyncio.Event()

    @property
    def is_over(self) -> bool:
        """Whether waiting on is no use: nothing more can be seen, or not by this process."""
        return self.seen.is_over or self._draining.is_set()

    def tell(self, seen: Seen) -> None:
        """Wake those who wait, if this is news."""
        if seen != self.seen or self.is_over:
            self.seen = seen
            self._told.set()
            self._told = asyncio.Event()

    async def news(self, known: Seen, timeout_s: float) -> Seen:
        """What is seen, as soon as it is not `known`; at most after the timeout, and at once when it is over."""
        told = self._told
        if self.seen is known and not self.is_over:
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await told.wait()
        return self.seen


class Watches:
    """The analyses that somebody waits for in this process."""

    def __init__(self, queue: Queue, redis_url: str, looks: CapacityLimiter, draining: threading.Event) -> None:
        self._queue, self._looks, self._draining = queue, looks, draining
        self._announcements = Announcements(redis_url)
        self._watches: dict[tuple[str, str], Watch] = {}
        self._wanted = asyncio.Event()

    @asynccontextmanager
    async def watch(self, tenant: str, store: Store, analysis: Analysis) -> AsyncIterator[Watch]:
        """Look at an analysis again and again for as long as somebody waits for it."""
        name = tenant, analysis.submission.id
        seen = Seen(tenant, store, analysis)
        watch = self._watches.setdefault(name, Watch(seen, self._draining))
        if not watch.is_over:
            watch.tell(seen)  # the caller has just looked
        watch.n_waiting += 1
        self._wanted.set()
        try:
            yield watch
        finally:
            watch.n_waiting -= 1
            if not watch.n_waiting:
                del self._watches[name]

    async def until_over(self, tenant: str, store: Store, analysis: Analysis, timeout_s: float) -> Analysis:
        """The analysis when it has ended, or as it stands after the timeout."""
        async with self.watch(tenant, store, analysis) as watch:
            seen, until = watch.seen, time.monotonic() + timeout_s
            while not watch.is_over and (left_s := until - time.monotonic()) > 0:
                seen = await watch.news(seen, left_s)
            return watch.seen.analysis

    async def run(self) -> None:
        """Look, until cancelled; nobody is asked for anything while nobody waits."""
        store_looked_at_s, is_listening = -STORE_INTERVAL_S, False
        this = asyncio.current_task()
        try:
            # A connection that is being opened or closed may swallow that it is cancelled.
            while this is not None and not this.cancelling():
                if self._watches:
                    is_listening = True
                    announced = await self._announced(LOOK_INTERVAL_S)
                    everywhere = time.monotonic() - store_looked_at_s >= STORE_INTERVAL_S
                    if everywhere:
                        store_looked_at_s = time.monotonic()
                    await self._look(announced, everywhere=everywhere)
                elif is_listening:
                    is_listening = False
                    await self._announcements.close()
                else:
                    self._wanted.clear()
                    await self._wanted.wait()
        finally:
            await self._announcements.close()

    async def _announced(self, timeout_s: float) -> frozenset[str]:
        """Those who have ended, of the analyses that somebody waits for here; at most after the timeout."""
        until, announced = time.monotonic() + timeout_s, frozenset[str]()
        while not announced and (left_s := until - time.monotonic()) > 0:
            announced = await self._announcements.heard(left_s)
            announced &= {analysis_id for _, analysis_id in self._watches}
        return announced

    async def _look(self, announced: frozenset[str], *, everywhere: bool) -> None:
        watches = list(self._watches.values())
        seen = [watch.seen for watch in watches]

        def look() -> Sequence[Seen]:
            return look_again(self._queue, seen, announced, everywhere=everywhere)

        try:
            found = await run_in(self._looks, look)
        except Exception:
            log.exception("look_failed")
            await asyncio.sleep(LOOK_INTERVAL_S)
            return
        for watch, now in zip(watches, found, strict=True):
            watch.tell(now)


async def _watches(request: Request) -> Watches:
    watches: Watches = request.app.state.watches
    return watches


WatchesDep = Annotated[Watches, Depends(_watches)]


async def _wait(
    services: ServicesDep,
    prefer: Annotated[
        list[str] | None, Header(description="`wait=N`: answer when finished, or after N seconds.")
    ] = None,
) -> float | None:
    """Seconds of `Prefer: wait=N` (RFC 7240), at most as many as may be asked for; None when no wait is asked for."""
    found = WAIT.search(", ".join(prefer or ()))
    return min(float(found[1]), services.settings.max_wait_s) if found else None


WaitDep = Annotated[float | None, Depends(_wait)]
