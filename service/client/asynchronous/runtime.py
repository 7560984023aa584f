"""What only an event loop does otherwise than a thread.  `blocking.runtime` has the same names."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from itertools import islice
from typing import ParamSpec, TypeAlias, TypeVar

import httpx2

CHUNKS_AT_A_TIME = 16
"""Chunks of 64 KiB that one visit to a thread reads."""

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

Flow: TypeAlias = AsyncGenerator[Result, None]
"""What gives its items one by one, and may be closed before the last."""

pause = asyncio.sleep


async def in_thread(call: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
    """What a call gives that may wait for a disk, made in a thread; whoever is cancelled waits until it is over."""
    running = asyncio.ensure_future(asyncio.to_thread(call, *args, **kwargs))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])  # a thread cannot be stopped, and reads what its caller is about to close
        raise


class SentBody(httpx2.AsyncByteStream):
    """A body that is read in threads, and says after each chunk that it was handed on."""

    def __init__(self, body: object, on_chunk: Callable[[], None]) -> None:
        assert isinstance(body, httpx2.SyncByteStream)  # noqa: S101 - what httpx2 makes of files  # nosec B101
        self._body, self._on_chunk = body, on_chunk

    async def __aiter__(self) -> AsyncIterator[bytes]:
        chunks = iter(self._body)
        while some := await in_thread(_some, chunks):
            for chunk in some:
                yield chunk
                self._on_chunk()


def _some(chunks: Iterator[bytes]) -> list[bytes]:
    return list(islice(chunks, CHUNKS_AT_A_TIME))
