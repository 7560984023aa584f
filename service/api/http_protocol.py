"""HTTP as uvicorn speaks it, with what it has no setting for: bounds, and problems for what is no HTTP.

A head must come whole within a time and a size, and a body with little beside itself; trailers count for nothing.  Few
requests wait behind one that is being answered.  A client that does not read its answer, or goes on sending after it,
is let go, and there are no more connections than the process can hold.
"""

from __future__ import annotations

import asyncio
import resource
from http import HTTPStatus
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.api.problems import MEDIA_TYPE, problem_without_route
from service.schemas.wire import Problem

MAX_HEAD_BYTES = 64 * 1024  # of request line and headers together
MAX_BESIDE_BODY = 64 * 1024  # bytes of a chunked body that are none of its content: sizes, extensions, trailers
BESIDE_EACH_BYTE = 8  # and so many more for each byte of it: chunks may be as small as one
MAX_PIPELINED = 16  # requests that wait behind the one that is being answered
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
TOO_MUCH_BESIDE = problem_without_route(
    "body_overhead",
    "A body has too much beside its content.",
    400,
    "Send the body in larger chunks, without extensions and trailers.",
)
UNKNOWN_CODING = problem_without_route(
    "unknown_transfer_coding",
    "The body comes in a coding that the service does not know.",
    501,
    "Send it as it is, whole or in chunks: Transfer-Encoding may be chunked and nothing else.",
)
TOO_MANY_CONNECTIONS = problem_without_route(
    "too_many_connections", "There are too many connections.", 503, "Close some, or try again later."
)
HEAD_TOO_SLOW = problem_without_route(
    "head_too_slow", "The request's head comes too slowly.", 408, "Send address and headers at once."
)


class BoundedProtocol(HttpToolsProtocol):
    """One connection."""

    silence_s: ClassVar[float] = 30.0
    max_connections: ClassVar[int] = 1000

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._head_timer: asyncio.TimerHandle | None = None
        self._linger_timer: asyncio.TimerHandle | None = None
        self._writing_timer: asyncio.TimerHandle | None = None
        self._abort_timer: asyncio.TimerHandle | None = None
        self._head_bytes = self._body_bytes = self._beside_bytes = 0
        self._is_in_head = False
        self._is_head_new = False
        self._is_refused = False
        self._is_crowded = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Wait for the first head, if there is room for one more."""
        super().connection_made(transport)
        if len(self.connections) > self.max_connections:
            transport.write(self._answer(TOO_MANY_CONNECTIONS))
            transport.close()
        else:
            self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is awaited any more."""
        for timer in (self._head_timer, self._linger_timer, self._writing_timer, self._abort_timer):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what has come; a head that does not end is counted piece by piece."""
        if self._is_over:
            return
        self._is_head_new = False
        body_bytes = self._body_bytes
        super().data_received(data)
        if self._is_head_new:
            return
        if self._is_in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse(HEAD_TOO_LARGE)
        else:
            self._beside_bytes += len(data) - (self._body_bytes - body_bytes)
            if self._beside_bytes > MAX_BESIDE_BODY + BESIDE_EACH_BYTE * self._body_bytes:
                self._refuse(TOO_MUCH_BESIDE)

    def on_message_begin(self) -> None:
        """A head begins."""
        super().on_message_begin()
        self._is_in_head = self._is_head_new = True
        self._head_bytes = self._body_bytes = self._beside_bytes = 0
        self._await_head()

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; a trailer, which would join the headers after they have been looked at, is dropped."""
        if self._is_in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is whole: pass the request on, unless it is too large."""
        self._is_in_head = False
        self._stop_awaiting_head()
        if len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers) > MAX_HEAD_BYTES:
            self._refuse(HEAD_TOO_LARGE)
        if any(name == b"transfer-encoding" and value.strip().lower() != b"chunked" for name, value in self.headers):
            self._refuse(UNKNOWN_CODING)
        if len(self.pipeline) >= MAX_PIPELINED and not self._is_over:
            # Those that came are answered, then the line is cut: a client sends the others again over a new one.
            self._is_crowded = True
            self.cycle.keep_alive = False
        if not self._is_over:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Pass a piece of the body on, unless its head was refused."""
        self._body_bytes += len(body)
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
        if self.transport.is_closing():
            self._abort_later()
        elif self.pipeline:
            self.flow.pause_reading()  # one read may bring thousands: first those that wait
        elif self.cycle.response_complete and self.cycle.more_body:
            self._linger()

    def pause_writing(self) -> None:
        """The client does not read as fast as it is answered: wait for it, but not for ever."""
        super().pause_writing()
        self._writing_timer = self.loop.call_later(self.silence_s, self.transport.abort)

    def resume_writing(self) -> None:
        """The client reads."""
        if self._writing_timer is not None:
            self._writing_timer.cancel()
            self._writing_timer = None
        super().resume_writing()

    def timeout_keep_alive_handler(self) -> None:
        """Nothing more has been asked."""
        super().timeout_keep_alive_handler()
        self._abort_later()

    def _unsupported_upgrade_warning(self) -> None:
        """A stranger's wish for another protocol is worth no line in the log: it is answered as if he had none."""

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
        return self._is_refused or self._is_crowded or self.transport.is_closing()

    def _linger(self) -> None:
        """Cut the line in a while: at once, the client might lose its answer while it still sends."""
        self._linger_timer = self.loop.call_later(LINGER_S, self.transport.abort)

    def _abort_later(self) -> None:
        """Whoever does not fetch what is left for him is let go: a line that is closed waits for him without end."""
        if self._abort_timer is None:
            self._abort_timer = self.loop.call_later(LINGER_S, self.transport.abort)

    def _await_head(self) -> None:
        self._stop_awaiting_head()
        self._head_timer = self.loop.call_later(self.silence_s, self._refuse, HEAD_TOO_SLOW)

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
        self.transport.write(self._answer(problem))
        self.transport.write_eof()
        self.flow.resume_reading()
        self._is_refused = True
        self._linger()

    def _answer(self, problem: Problem) -> bytes:
        content = problem.model_dump_json().encode()
        head = [f"HTTP/1.1 {problem.status} {HTTPStatus(problem.status).phrase}"]
        head += [f"{name.decode()}: {value.decode('latin-1')}" for name, value in self.server_state.default_headers]
        head += [f"content-type: {MEDIA_TYPE}", f"content-length: {len(content)}", "connection: close"]
        return "\r\n".join([*head, "", ""]).encode("latin-1") + content


def bounded_protocol(silence_s: float, max_connections: int) -> type[BoundedProtocol]:
    """The protocol for `uvicorn.Config(http=...)`.

    Arguments: silence_s, in which a head must come whole, and after which a client that does not read is let go
    (seconds); max_connections, held at the same time, and never more than half the files that the process may open.
    """
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    held = max_connections if most == resource.RLIM_INFINITY else min(max_connections, most // 2)
    return type("ConfiguredProtocol", (BoundedProtocol,), {"silence_s": silence_s, "max_connections": held})
