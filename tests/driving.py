"""Both clients under one set of tests: the asynchronous one is driven from an event loop in a thread of its own."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from types import TracebackType
from typing import Any, Self

import pytest

from service.client import AsyncPhasegate, Phasegate

KINDS = ("blocking", "asynchronous")
both_clients = pytest.mark.parametrize("kind", KINDS)


class Driven:
    """An AsyncPhasegate whose calls wait for their answers."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.driven = AsyncPhasegate(*args, **kwargs)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

    def __enter__(self) -> Self:
        self.await_(self.driven.__aenter__())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            self.await_(self.driven.__aexit__(kind, error, at))
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
            self._loop.close()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.driven, name)
        return self._waiting(found) if callable(found) else Calls(found, self._waiting)

    def _waiting(self, found: Callable[..., Any]) -> Callable[..., Any]:
        """A call that waits for its answer."""

        def call(*args: Any, **kwargs: Any) -> Any:
            answer = found(*args, **kwargs)
            if inspect.isawaitable(answer):
                return self.await_(answer)
            return self.iterate(answer) if isinstance(answer, AsyncIterator) else answer

        return call

    def await_(self, answer: Any) -> Any:
        """What comes of an awaitable."""
        return asyncio.run_coroutine_threadsafe(answer, self._loop).result()

    def iterate(self, items: AsyncIterator[Any]) -> Iterator[Any]:
        """What an asynchronous iterator gives, one by one."""
        try:
            while True:
                try:
                    yield self.await_(anext(items))
                except StopAsyncIteration:
                    return
        finally:
            if inspect.isasyncgen(items):
                self.await_(items.aclose())


class Calls:
    """Further calls of a client, under a name of it."""

    def __init__(self, driven: object, waiting: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
        self._driven, self._waiting = driven, waiting

    def __getattr__(self, name: str) -> Any:
        return self._waiting(getattr(self._driven, name))


def opened(kind: str, *args: Any, **kwargs: Any) -> Any:
    """A client of one kind, as a context manager."""
    return (Phasegate if kind == "blocking" else Driven)(*args, **kwargs)
