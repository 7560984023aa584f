"""HTTP as uvicorn speaks it, with what it has no setting for: bounds of request heads, problems for what is no HTTP.

A head must come whole within a time and a size; a client that goes on sending after it has been answered is let go.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.api.problems import MEDIA_TYPE, problem_without_route
from service.schemas.wire import Problem

MAX_HEAD_BYTES = 64 * 1024  # of request line and headers together
LINGER_S = 10.0  # how long the rest of a body that nobody wants is taken, so that the client reads its answer

NOT_HTTP = problem_without_route(
    "not_http", "What was sent is not HTTP.", 400, "The request cannot be read as HTTP/1.1. Use an HTTP client."
)
HEAD_TOO_LARGE = problem_without_route(
    "head_too_large",
    "The request's head is larger than the service accepts.",
    431,
    f"Address and headers may hold {MAX_HEAD_BYTES} bytes together. Send fewer or shorter ones.",
)
HEAD_TOO_SLOW = problem_without_route(
    "head_too_slow", "The request's head comes too slowly.", 408, "Send address and headers at once."
)


class BoundedProtocol(HttpToolsProtocol):
    """One connection."""

    head_timeout_s: ClassVar[float] = 30.0

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._head_timer: asyncio.TimerHandle | None = None
        self._linger_timer: asyncio.TimerHandle | None = None
        self._head_bytes = 0
        self._is_in_head = False
        self._is_head_new = False
        self._is_refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Wait for the first head."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is awaited any more."""
        for timer in (self._head_timer, self._linger_timer):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what has come; a head that does not end is counted piece by piece."""
        if self._is_over:
            return
        self._is_head_new = False
        super().data_received(data)
        if self._is_in_head and not self._is_head_new:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse(HEAD_TOO_LARGE)

    def on_message_begin(self) -> None:
        """A head begins."""
        super().on_message_begin()
        self._is_in_head = self._is_head_new = True
        self._head_bytes = 0
        self._await_head()

    def on_headers_complete(self) -> None:
        """The head is whole: pass the request on, unless it is too large."""
        self._is_in_head = False
        self._stop_awaiting_head()
        if len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers) > MAX_HEAD_BYTES:
            self._refuse(HEAD_TOO_LARGE)
        if not self._is_over:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Pass a piece of the body on, unless its head was refused."""
        if not self._is_over:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole, unless its head was refused."""
        if self._linger_timer is not None:
            self._linger_timer.cancel()
            self._linger_timer = None
        if not self._is_over:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """An answer that came before the end of its request: the rest is taken for a while, then the line is cut."""
        super().on_response_complete()
        if self.cycle.response_complete and self.cycle.more_body and not self.transport.is_closing():
            self._linger()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP."""
        self._refuse(NOT_HTTP)

    def shutdown(self) -> None:
        """The server ends: a line that was refused is cut now."""
        if self._is_refused:
            self.transport.close()
        else:
            super().shutdown()

    @property
    def _is_over(self) -> bool:
        """Whether nothing that still comes counts."""
        return self._is_refused or self.transport.is_closing()

    def _linger(self) -> None:
        """Cut the line in a while: at once, the client might lose its answer while it still sends."""
        self._linger_timer = self.loop.call_later(LINGER_S, self.transport.close)

    def _await_head(self) -> None:
        self._stop_awaiting_head()
        self._head_timer = self.loop.call_later(self.head_timeout_s, self._refuse, HEAD_TOO_SLOW)

    def _stop_awaiting_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _refuse(self, problem: Problem) -> None:
        """Answer outside of any request, and cut the line.  A whole request that came before is answered instead."""
        if self._is_over:
            return
        if self.cycle is not None and not self.cycle.response_complete:
            if not self.cycle.more_body:
                self.flow.pause_reading()
                self.cycle.keep_alive = False
                return
            if self.cycle.response_started:
                self.transport.close()
                return
            self.cycle.disconnected = True  # for the application the client is gone
            self.cycle.message_event.set()
        content = problem.model_dump_json().encode()
        head = [f"HTTP/1.1 {problem.status} {HTTPStatus(problem.status).phrase}"]
        head += [f"{name.decode()}: {value.decode('latin-1')}" for name, value in self.server_state.default_headers]
        head += [f"content-type: {MEDIA_TYPE}", f"content-length: {len(content)}", "connection: close"]
        self.transport.write("\r\n".join([*head, "", ""]).encode("latin-1") + content)
        self.transport.write_eof()
        self.flow.resume_reading()
        self._is_refused = True
        self._linger()


def bounded_protocol(head_timeout_s: float) -> type[BoundedProtocol]:
    """The protocol for `uvicorn.Config(http=...)`: a request's head must come whole within this time (seconds)."""
    return type("ConfiguredProtocol", (BoundedProtocol,), {"head_timeout_s": head_timeout_s})
