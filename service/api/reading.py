"""While files are read that a call has brought: it ends when its client goes away, and when the API stops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from threading import Event

from fastapi import Request
from starlette.requests import ClientDisconnect

from service.access.callers import Caller
from service.analyses.errors import Draining
from service.storage.formats.places import Reader, ReadingStopped, reading_for


@asynccontextmanager
async def reading(request: Request, caller: Caller) -> AsyncIterator[None]:
    """While a call whose body is here reads what it has brought, for its tenant.

    Raises: ClientDisconnect if the client goes away meanwhile; Draining if the API is told to stop.
    """
    gone = Event()
    draining: Event = request.app.state.draining
    watch = asyncio.create_task(_watch(request, gone))
    try:
        with reading_for(Reader(caller.tenant, lambda: gone.is_set() or draining.is_set())):
            yield
    except ReadingStopped:
        if draining.is_set():
            raise Draining("This process of the API was told to stop. Send the call again, to another.") from None
        raise ClientDisconnect from None
    finally:
        watch.cancel()
        with suppress(asyncio.CancelledError):
            await watch


async def _watch(request: Request, gone: Event) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        continue
    gone.set()
