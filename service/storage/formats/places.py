"""The few places in this process for work on what was sent, shared fairly among those who have sent it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from threading import Condition

from service.analyses.errors import ReadersBusy

AT_A_TIME = 2  # each may take some 1.5 GiB
WAITING = 6  # of one caller
WAITING_IN_ALL = 18  # more would keep the threads from which all calls are answered
PATIENCE_S = 30.0
LOOK_S = 0.1  # how soon it is seen that nobody waits for the work any more


class ReadingStopped(Exception):
    """Nobody waits for the work any more, or this process is stopping."""


@dataclass(frozen=True)
class Reader:
    """Who has something read; `is_over`, called from other threads, whether nobody waits for it any more."""

    caller: str = ""
    is_over: Callable[[], bool] = lambda: False


_reader: ContextVar[Reader | None] = ContextVar("reader", default=None)


@contextmanager
def reading_for(reader: Reader) -> Iterator[None]:
    """What is read in this context, and in threads that it starts, is read for him."""
    token = _reader.set(reader)
    try:
        yield
    finally:
        _reader.reset(token)


def current_reader() -> Reader:
    """For whom something is read here."""
    return _reader.get() or Reader()


class Place:
    """A place that somebody has, or waits for; `is_called_back` once it is due to somebody who has none."""

    def __init__(self, caller: str) -> None:
        self.caller = caller
        self.is_called_back = False


class Places:
    """Places for `at_a_time`.  Of those who wait he is next who has fewest, and who has two more gives one back."""

    def __init__(self, at_a_time: int = AT_A_TIME) -> None:
        self._at_a_time = at_a_time
        self._changed = Condition()
        self._taken: list[Place] = []
        self._line: list[Place] = []

    @contextmanager
    def taken(self, reader: Reader) -> Iterator[Place]:
        """A place, as soon as it can be had.  Raises ReadersBusy, ReadingStopped."""
        place = Place(reader.caller)
        with self._changed:
            if len(self._line) >= WAITING_IN_ALL or _count(self._line, reader.caller) >= WAITING:
                raise _busy()
            self._line.append(place)
            try:
                self._wait(place, reader)
                self._taken.append(place)
            finally:
                self._line.remove(place)
        try:
            yield place
        finally:
            with self._changed:
                self._taken.remove(place)
                self._changed.notify_all()

    def _wait(self, place: Place, reader: Reader) -> None:
        until = time.monotonic() + PATIENCE_S
        while not self._is_next(place):
            self._call_back(place)
            if reader.is_over():
                raise ReadingStopped
            left_s = until - time.monotonic()
            if left_s <= 0:
                raise _busy()
            self._changed.wait(min(left_s, LOOK_S))

    def _is_next(self, place: Place) -> bool:
        if len(self._taken) >= self._at_a_time:
            return False
        return place is min(self._line, key=lambda waiting: _count(self._taken, waiting.caller))

    def _call_back(self, place: Place) -> None:
        """Ask for the latest place of who has most, if that is more than one more than this caller has."""
        if any(other.is_called_back for other in self._taken):
            return
        most = max(self._taken, key=lambda other: _count(self._taken, other.caller), default=None)
        if most is not None and _count(self._taken, most.caller) > _count(self._taken, place.caller) + 1:
            [*_of(self._taken, most.caller)][-1].is_called_back = True


def _of(places: list[Place], caller: str) -> list[Place]:
    return [place for place in places if place.caller == caller]


def _count(places: list[Place], caller: str) -> int:
    return len(_of(places, caller))


def _busy() -> ReadersBusy:
    return ReadersBusy("Other uploads are being read. Try again later, or send .npy, which needs no reading.")
