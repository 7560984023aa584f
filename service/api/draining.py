"""After SIGTERM the API says that it is not ready any more, and ends what it has begun."""

from __future__ import annotations

import signal
import threading
import time
from types import FrameType

import uvicorn

LINGER_S = 1.0
"""For so long an API with an address of its own still takes connections: whoever sends them has to learn first that it
is not ready.  On the socket of a process tree it need not: what comes then waits for the next API."""


class DrainingServer(uvicorn.Server):
    """A server that sets `draining` as soon as it is told to stop, and lingers before it stops listening.

    Requests in progress have `timeout_graceful_shutdown` of its configuration from then on.  A second signal ends the
    lingering.
    """

    def __init__(self, config: uvicorn.Config, draining: threading.Event, linger_s: float) -> None:
        super().__init__(config)
        self._draining = draining
        self._linger_s = linger_s
        self._leave_at: float | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Signal handler: SIGTERM begins the drain; SIGINT and repetitions stop at once."""
        if sig == signal.SIGTERM and self._linger_s and not self._draining.is_set():
            self._leave_at = time.monotonic() + self._linger_s
        else:
            super().handle_exit(sig, frame)
        self._draining.set()

    async def on_tick(self, counter: int) -> bool:
        """Called ten times a second; whether to stop listening."""
        if self._leave_at is not None and not self.should_exit and time.monotonic() >= self._leave_at:
            super().handle_exit(signal.SIGTERM, None)
        return await super().on_tick(counter)
