"""Is there room for a call?  Asked before its body is read, so that nobody sends 2 GB to be refused."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from threading import Lock
from typing import Annotated

from fastapi import Depends, Request
from fastapi.concurrency import run_in_threadpool

from service.access.callers import Caller
from service.analyses.errors import (
    QueueFull,
    QueueUnavailable,
    RateLimited,
    TooManyDatasets,
    TooManyLabelSets,
    TooManyStreams,
    TooManyUploads,
)
from service.analyses.identity import Kind, is_id, new_id
from service.analyses.ports import Store
from service.api.access import CallerDep, ServicesDep, StoreDep
from service.wiring import Services

CHANGING = frozenset({"POST", "PUT", "DELETE"})
RETRY_BOUNDS_S = (1, 60)
USUAL_RUN_S = 10.0  # as long as nothing has been counted
UPLOAD_RETRY_S = 5
STREAM_RETRY_S = 10


async def check_rate(request: Request, services: ServicesDep, caller: CallerDep) -> None:
    """Dependency of every call: refuse what a caller changes too often.  Raises RateLimited."""
    if request.method not in CHANGING or services.settings.rate_per_minute == 0:
        return
    left_s = await run_in_threadpool(services.rates.take, _name(caller))
    if left_s is not None:
        raise RateLimited(
            f"This is more than {services.settings.rate_per_minute} calls within a minute. Go on after the time in "
            "Retry-After; looking is free.",
            retry_after_s=max(1, math.ceil(left_s)),
        )


class Taken:
    """What calls to this process are about to add: counted until it can be seen where it is added."""

    def __init__(self) -> None:
        self.uploads: Counter[str] = Counter()  # by caller; on the event loop alone
        self.streams: Counter[str] = Counter()  # by caller; on the event loop alone
        self.submissions = 0
        self.datasets: Counter[str] = Counter()  # by tenant
        self.lock = Lock()


class Capacity:
    """What one caller may still add.  Calls look at store and queue: not for the event loop, `uploading` and
    `streaming` excepted.
    """

    def __init__(self, services: Services, store: Store, caller: Caller, taken: Taken) -> None:
        self._services, self._store, self._taken = services, store, taken
        self._caller, self._tenant = _name(caller), caller.tenant

    def to_queue(self, earlier_stem: str | None = None) -> None:
        """May another analysis wait?  Raises QueueFull.

        While the queue is away, those are counted that the store knows to have no outcome.
        Arguments: earlier_stem, of an earlier attempt of the same call: what that has submitted needs no other place.
        """
        if earlier_stem is not None and self._store.analyses.find(new_id(Kind.ANALYSIS, earlier_stem)) is not None:
            return
        most = self._services.settings.max_queued
        try:
            waiting = self._services.queue.waiting()
        except QueueUnavailable:
            waiting = sum(1 for _ in islice(self._services.stores.unsettled(), most))
        if waiting + self._taken.submissions >= most:
            raise QueueFull(
                f"{most} analyses wait already, which is as many as this service takes. Try again after the time in "
                "Retry-After, or tell the operator to start more workers.",
                retry_after_s=self._place_in_s(),
            )

    def to_store(self) -> None:
        """May there be another dataset?  Raises TooManyDatasets."""
        most = self._services.settings.max_datasets
        if len(self._store.datasets.ids(at_most=most)) + self._taken.datasets[self._tenant] >= most:
            raise TooManyDatasets(
                f"There are {most} datasets, which is as many as this service keeps. Delete some, wait until they "
                "expire, or analyse one that is there."
            )

    def to_label(self, dataset_id: str) -> None:
        """May the dataset have another label set?  Raises TooManyLabelSets."""
        most = self._services.settings.max_label_sets
        if (
            is_id(dataset_id, Kind.DATASET)
            and len(self._store.datasets.label_set_ids(dataset_id, at_most=most)) >= most
        ):
            raise TooManyLabelSets(
                f"The dataset has {most} label sets, which is as many as this service keeps of one. Delete some, or "
                "analyse with one that is there."
            )

    def to_both(self) -> None:
        """`to_queue` and `to_store`."""
        self.to_queue()
        self.to_store()

    @contextmanager
    def place_in_queue(self, earlier_stem: str | None = None) -> Iterator[None]:
        """Hold a place, which nobody else is promised, while an analysis is submitted.  Raises as `to_queue`."""
        with self._taken.lock:
            self.to_queue(earlier_stem)
            self._taken.submissions += 1
        try:
            yield
        finally:
            with self._taken.lock:
                self._taken.submissions -= 1

    @contextmanager
    def place_in_store(self, *, is_known: bool) -> Iterator[None]:
        """Hold a place, which nobody else is promised, while a dataset is made.  Raises TooManyDatasets.

        Arguments: is_known, whether an earlier attempt of the same call may have made it: then it is not refused.
        """
        with self._taken.lock:
            if not is_known:
                self.to_store()
            self._taken.datasets[self._tenant] += 1
        try:
            yield
        finally:
            with self._taken.lock:
                self._taken.datasets[self._tenant] -= 1

    @contextmanager
    def uploading(self) -> Iterator[None]:
        """While the caller sends a large body.  Raises TooManyUploads."""
        most = self._services.settings.max_concurrent_uploads
        if self._taken.uploads[self._caller] >= most:
            raise TooManyUploads(
                f"{most} uploads are on their way already, which is as many as this service takes from one caller. "
                "Send this one when another has come.",
                retry_after_s=UPLOAD_RETRY_S,
            )
        with _counted(self._taken.uploads, self._caller):
            yield

    @contextmanager
    def streaming(self) -> Iterator[None]:
        """While the caller follows an analysis, or waits for one.  Raises TooManyStreams."""
        settings, streams = self._services.settings, self._taken.streams
        if streams[self._caller] >= settings.max_streams:
            raise TooManyStreams(
                f"{settings.max_streams} streams and waits are open already, as many as this service holds for one "
                "caller. Close some, or look at the analysis now and then.",
                retry_after_s=STREAM_RETRY_S,
            )
        if streams.total() >= settings.max_connections // 2:
            raise TooManyStreams(
                "As many streams and waits are open as this service holds. Try again after the time in Retry-After, "
                "or look at the analysis now and then.",
                retry_after_s=STREAM_RETRY_S,
            )
        with _counted(streams, self._caller):
            yield

    def _place_in_s(self) -> int:
        """How soon one of the waiting ones is likely to start: analyses take their time, divided among workers."""
        try:
            measures = self._services.measure()
        except QueueUnavailable:
            return RETRY_BOUNDS_S[1]
        ended = sum(measures.counts.runs.counts.values())
        run_s = measures.counts.runs.total_s / ended if ended else USUAL_RUN_S
        least, most = RETRY_BOUNDS_S
        return min(most, max(least, math.ceil(run_s / max(1, measures.workers_alive))))


@contextmanager
def _counted(counter: Counter[str], name: str) -> Iterator[None]:
    counter[name] += 1
    try:
        yield
    finally:
        counter[name] -= 1
        if not counter[name]:
            del counter[name]


async def _capacity(request: Request, services: ServicesDep, store: StoreDep, caller: CallerDep) -> Capacity:
    return Capacity(services, store, caller, request.app.state.taken)


CapacityDep = Annotated[Capacity, Depends(_capacity)]


def _name(caller: Caller) -> str:
    """Who is counted by himself: a key, or all callers of a tenant where no key is asked for."""
    return f"{caller.tenant}:{caller.key_id or ''}"
