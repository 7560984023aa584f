"""How slowly a body may come: a client that falls silent, or sends a byte now and then, holds nothing for ever."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.analyses.errors import SlowBody

LEAST_BYTES_PER_S = 1024  # a telephone line of 1990 carries more


class BodyPace:
    """ASGI middleware: reading a body that comes too slowly raises SlowBody inside the route.

    Silence may last `silence_s`.  Whatever time beyond that is spent waiting, over several pieces, must bring
    `LEAST_BYTES_PER_S`; what the service itself takes to store a piece does not count.
    """

    def __init__(self, app: ASGIApp, silence_s: float, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._app = app
        self._silence_s = silence_s
        self._clock_s = clock_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, watching how its body comes."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        silence_s = self._silence_s
        is_whole, waited_s, received = False, 0.0, 0

        async def paced() -> Message:
            nonlocal is_whole, waited_s, received
            if is_whole:
                return await receive()  # waits for the client to go away, as long as it likes
            started = self._clock_s()
            try:
                async with asyncio.timeout(silence_s):
                    message = await receive()
            except TimeoutError:
                raise SlowBody(
                    f"Nothing of the body has come for {silence_s:g} s. Send it without pauses, all of it again."
                ) from None
            waited_s += self._clock_s() - started
            received += len(message.get("body", b""))
            is_whole = not message.get("more_body", False)
            if waited_s > silence_s and not is_whole:
                if received < LEAST_BYTES_PER_S * waited_s:
                    raise SlowBody(
                        f"The body comes at less than {LEAST_BYTES_PER_S} bytes a second. Send it faster, all of it "
                        "again."
                    )
                waited_s, received = 0.0, 0  # fast pieces earn no right to slow ones
            return message

        await self._app(scope, paced, send)
