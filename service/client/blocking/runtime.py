"""What only a thread does otherwise than an event loop.  `asynchronous.runtime` has the same names."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from typing import ParamSpec, TypeAlias, TypeVar

import httpx2

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

Flow: TypeAlias = Generator[Result, None, None]
"""What gives its items one by one, and may be closed before the last."""

pause = time.sleep


def in_thread(call: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
    """What a call gives that may wait for a disk; this thread may wait."""
    return call(*args, **kwargs)


class SentBody(httpx2.SyncByteStream):
    """A body that says after each chunk that it was handed on."""

    def __init__(self, body: object, on_chunk: Callable[[], None]) -> None:
        assert isinstance(body, httpx2.SyncByteStream)  # noqa: S101 - what httpx2 makes of files  # nosec B101
        self._body, self._on_chunk = body, on_chunk

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._body:
            yield chunk
            self._on_chunk()
