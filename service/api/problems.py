"""Every error becomes a problem (RFC 9457) here, by one table from error class to HTTP status."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import compile_path

from service.access.errors import CrossOrigin, Forbidden, Unauthenticated, UnknownHost
from service.analyses.analysis import Failure
from service.analyses.errors import (
    AnalysisError,
    AnalysisLost,
    AnalysisStopped,
    Conflict,
    Draining,
    IdempotencyKeyInUse,
    InternalError,
    InvalidRequest,
    LabelsTooLarge,
    MemoryLimitExceeded,
    NoReport,
    NotFound,
    QueueUnavailable,
    ReadersBusy,
    ReportAltered,
    ReportNotReady,
    SlowBody,
    StoreUnavailable,
    TimeLimitExceeded,
    TooMuch,
    UnreadableBody,
    UploadError,
)
from service.analyses.format_errors import ExpandsTooFar
from service.api.invalid_requests import invalid_request
from service.estimation.errors import EstimationError, InputError, NumericalFailure
from service.gating.errors import GatingError
from service.schemas.wire import Problem

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 1

# The most specific class that an error is an instance of decides.
STATUS: dict[type[Exception], int] = {
    InputError: 422,
    NumericalFailure: 422,
    GatingError: 422,
    UploadError: 422,
    LabelsTooLarge: 413,
    ExpandsTooFar: 413,
    InvalidRequest: 422,
    MemoryLimitExceeded: 422,
    UnreadableBody: 400,
    SlowBody: 408,
    Unauthenticated: 401,
    Forbidden: 403,
    CrossOrigin: 403,
    UnknownHost: 421,
    NotFound: 404,
    Conflict: 409,
    TooMuch: 429,
    ReportNotReady: 409,
    NoReport: 409,
    ReportAltered: 500,
    QueueUnavailable: 503,
    StoreUnavailable: 503,
    ReadersBusy: 503,
    Draining: 503,
    AnalysisLost: 500,
    TimeLimitExceeded: 422,
    AnalysisStopped: 409,
}
RETRIED = {503, 429}
PASSING = {ReportNotReady.code, IdempotencyKeyInUse.code}  # conflicts that pass by themselves
CLIENT_GONE = 499  # as proxies log it: the client hung up before it had sent everything

# Problems that the framework finds before any of our code runs.
HTTP_CODES = {
    400: (
        InvalidRequest.code,
        "The request cannot be read.",
        "Send what /docs shows for this call, as JSON in UTF-8 without endless numbers or nesting.",
    ),
    404: ("not_found", "There is nothing at this address.", "There is nothing at this address. /docs lists the calls."),
    405: (
        "method_not_allowed",
        "This address does not take this method.",
        "This address does not take this method. /docs lists the calls, and Allow in the answer's head what it takes.",
    ),
    413: ("body_too_large", "The request body is larger than the service accepts.", ""),
    415: ("unsupported_media_type", "The body is not of a kind that this call takes.", ""),
}

log = structlog.get_logger()


def subclasses(root: type[Exception]) -> Iterator[type[Exception]]:
    """All classes below `root`."""
    for child in root.__subclasses__():
        yield child
        yield from subclasses(child)


def status_of(kind: type[Exception]) -> int:
    """HTTP status of an error class."""
    return next(STATUS[ancestor] for ancestor in kind.__mro__ if ancestor in STATUS)


def problem_of(error: EstimationError | AnalysisError | GatingError) -> Problem:
    """The problem that an error is."""
    return _problem(error.code, _title(type(error)), status_of(type(error)), error.message, error.part)


def problem_of_failure(failure: Failure) -> Problem:
    """The problem that a stored failure is; its class is found again by its code."""
    for kind in (*subclasses(EstimationError), *subclasses(AnalysisError), *subclasses(GatingError)):
        if getattr(kind, "code", None) == failure.code:
            return _problem(failure.code, _title(kind), status_of(kind), failure.message, failure.part)
    return _problem(failure.code, _title(InternalError), 500, failure.message, failure.part)


def no_worker() -> Problem:
    """Nothing is broken, but nobody would run an analysis."""
    return _problem(
        "no_worker", "No worker is alive.", 503, "Start a worker, or wait for one to come back. Analyses wait.", None
    )


def draining() -> Problem:
    """This process was told to stop, and answers what it was asked before."""
    detail = "This process of the API was told to stop. Send new requests to another, or wait until it is back."
    return _problem("draining", "The API is stopping.", 503, detail, None)


def problem_without_route(code: str, title: str, status: int, detail: str) -> Problem:
    """The problem of what reaches no route."""
    return _problem(code, title, status, detail, None)


def respond(problem: Problem, headers: dict[str, str] | None = None) -> JSONResponse:
    """A problem as a response; one that passes with time says when to try again."""
    headers = dict(headers or {})
    if problem.status in RETRIED or problem.code in PASSING:
        headers.setdefault("Retry-After", str(RETRY_AFTER_S))
    if problem.status == STATUS[SlowBody]:
        headers["Connection"] = "close"  # the rest of the request may never come
    return JSONResponse(problem.model_dump(), status_code=problem.status, headers=headers, media_type=MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Make every error that leaves a route a problem."""

    @app.exception_handler(EstimationError)
    @app.exception_handler(AnalysisError)
    @app.exception_handler(GatingError)
    async def known(request: Request, error: Any) -> JSONResponse:
        return respond(
            problem_of(error), {"Retry-After": str(error.retry_after_s)} if isinstance(error, TooMuch) else None
        )

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        return respond(problem_of(invalid_request(error)))

    @app.exception_handler(HTTPException)
    async def framework(request: Request, error: HTTPException) -> JSONResponse:
        code, title, detail = HTTP_CODES.get(error.status_code, ("http_error", "The request failed.", ""))
        if error.status_code in (413, 415):
            detail = error.detail
        headers = dict(error.headers or {})
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            headers["Allow"] = _allowed(request, headers.get("Allow", ""))
        return respond(_problem(code, title, error.status_code, detail, None), headers)

    @app.exception_handler(ClientDisconnect)
    async def gone(request: Request, error: ClientDisconnect) -> Response:
        return Response(status_code=CLIENT_GONE)  # nobody reads it; nothing of the upload is kept

    @app.exception_handler(Exception)
    async def unknown(request: Request, error: Exception) -> JSONResponse:
        log.error("request_failed", exc_info=error)
        return respond(
            problem_of(InternalError("The service failed on this request. Try again, or tell the operator."))
        )


def _allowed(request: Request, of_one_route: str) -> str:
    """What an address takes: the framework names the methods of one of its routes, and they may be several."""
    paths: dict[str, Any] = request.app.openapi()["paths"]
    matching = [path for path in paths if compile_path(path)[0].match(request.url.path)]
    # A template with fewer parameters is meant before one that would take the address too.
    closest = min(matching, key=lambda path: path.count("{"), default=None)
    return of_one_route if closest is None else ", ".join(sorted(method.upper() for method in paths[closest]))


def _problem(code: str, title: str, status: int, detail: str, part: str | None) -> Problem:
    return Problem(
        type=f"urn:phasegate:problem:{code}", title=title, status=status, detail=detail, code=code, part=part
    )


def _title(kind: type[Exception]) -> str:
    return (kind.__doc__ or "").splitlines()[0]
