"""What is kept of every request: an id that all its log lines carry, one line when it is answered, its metrics.

prometheus-fastapi-instrumentator would count requests too, but takes the method as it was sent, and the raw path of an
address that is redirected, as label values: clients would then decide how many series there are.
"""

from __future__ import annotations

import re
import time
from functools import cache
from urllib.parse import quote
from uuid import uuid4

import structlog
from asgi_correlation_id import CorrelationIdMiddleware, correlation_id
from fastapi import FastAPI
from starlette.routing import Route, compile_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.browser_headers import BrowserHeaders
from service.api.metrics import RequestMetrics

REQUEST_ID_HEADER = "X-Request-ID"
REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER_METHOD = "other"
NO_ROUTE = "none"
UNANSWERED = 499
"""Status of a request whose client went away before an answer began."""

PATH_CHARACTERS = 256  # of a path in a log line
QUIET = frozenset({"/healthz", "/readyz", "/metrics"})
"""Routes that machines ask every few seconds: their lines are DEBUG."""

log = structlog.get_logger("phasegate.api")


def observed(app: FastAPI) -> ASGIApp:
    """The application, observed from outside everything else: answers to unforeseen errors have an id too, and the
    headers for browsers.
    """
    recorded = RequestRecord(app)
    return BrowserHeaders(
        CorrelationIdMiddleware(
            recorded, header_name=REQUEST_ID_HEADER, validator=is_request_id, generator=lambda: uuid4().hex
        )
    )


def is_request_id(text: str) -> bool:
    """Whether a client's id is taken over: short, of characters that are harmless in logs, headers and terminals."""
    return REQUEST_ID.fullmatch(text) is not None


def request_id() -> str | None:
    """The id of the request that is being answered."""
    return correlation_id.get()


class RequestRecord:
    """ASGI middleware: binds the request's id to all log lines, counts, and writes the line of the request."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, watching what goes in and out."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        metrics: RequestMetrics = self._app.state.metrics
        # Never unbound: the context ends with the request's task, and the server's own line on a crash belongs to it.
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id())
        started = time.perf_counter()
        status, request_bytes, response_bytes, is_answered = None, 0, 0, False

        async def receiving() -> Message:
            nonlocal status, request_bytes
            message = await receive()
            if message["type"] == "http.disconnect":
                status = status or UNANSWERED
            size = len(message.get("body", b""))
            metrics.uploaded.inc(size)
            request_bytes += size
            return message

        async def sending(message: Message) -> None:
            nonlocal status, response_bytes, is_answered
            if message["type"] == "http.response.start":
                status = status or message["status"]
            response_bytes += len(message.get("body", b""))
            await send(message)
            is_answered = message["type"] == "http.response.body" and not message.get("more_body", False)

        metrics.in_progress.inc()
        try:
            await self._app(scope, receiving, sending)
        except Exception:
            # One that is answered is logged as well; the server would log it again, and end the connection.
            if not is_answered:
                raise
        finally:
            metrics.in_progress.dec()
            duration_s = time.perf_counter() - started
            method = scope["method"] if scope["method"] in METHODS else OTHER_METHOD
            route = route_template(self._app, scope)
            metrics.requests.labels(method, route, str(status or UNANSWERED)).inc()
            metrics.durations.labels(method, route).observe(duration_s)
            say = log.debug if route in QUIET else log.info
            say(
                "request",
                method=method,
                route=route,
                path=quote(scope["path"], safe="/{}:@=,+")[:PATH_CHARACTERS],
                status=status or UNANSWERED,
                duration_ms=round(1000 * duration_s, 1),
                request_bytes=request_bytes,
                response_bytes=response_bytes,
            )


def route_template(app: FastAPI, scope: Scope) -> str:
    """The template of the route that took the request, such as /v1/analyses/{analysis_id}; "none" if none did."""
    if route := scope.get("route"):
        return str(route.path)
    # The framework's own pages are plain routes, which leave no trace in the scope.
    pages = {route.path for route in app.routes if type(route) is Route}
    if scope["path"] in pages:
        return str(scope["path"])
    # What was turned away before any route took it was meant for one all the same.
    templates = (path for path in app.openapi()["paths"] if _pattern(path).fullmatch(scope["path"]))
    return next(templates, NO_ROUTE)


def named_in(template: str, path: str) -> dict[str, str]:
    """What a path has in the places that a route's template names."""
    found = _pattern(template).fullmatch(path)
    return found.groupdict() if found else {}


@cache
def _pattern(template: str) -> re.Pattern[str]:
    return compile_path(template)[0]
