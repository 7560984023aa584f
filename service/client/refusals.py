"""What is not the answer that was asked for, as one of the client's errors, in words that say what to do."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator

import httpx2
from pydantic import ValidationError

from service.client.errors import AccessDenied, ClientError, NotReachable, NotSecure, ProblemReceived, UnexpectedAnswer
from service.schemas.wire import Problem

PROBLEM = "application/problem+json"
CREDENTIALS_WANTED = (401, 403, 407)
GATEWAY_ANSWERS = (502, 503, 504)  # what stands before a service that is away says so
CUT_OFF = ("disconnected", "closed connection")  # in what is said of an answer that did not come, or not to its end
PROXIES = "HTTP_PROXY, HTTPS_PROXY or ALL_PROXY"


def refusal(address: str, answer: httpx2.Response) -> ClientError:
    """What an answer means that is no success."""
    if answer.headers.get("content-type", "").startswith(PROBLEM):
        try:
            return ProblemReceived(Problem.model_validate_json(answer.content, extra="ignore"))
        except ValidationError:
            pass  # somebody else's problem details
    if answer.status_code in GATEWAY_ANSWERS:
        return NotReachable(
            f"What stands before {address} answers {answer.status_code}: the service behind it is away. Try again in a "
            "moment, or tell the operator."
        )
    if answer.status_code in CREDENTIALS_WANTED:
        return AccessDenied(
            f"What stands before {address} answers {answer.status_code}: it lets nobody through whom it does not know, "
            "and asks for something other than an API key of Phasegate. Ask the operator for the service's own address."
        )
    if answer.has_redirect_location:
        return UnexpectedAnswer(
            f"{address} sends callers on to {answer.headers['location']!r}. Give the service's own address."
        )
    return unexpected(address, f"{answer.request.method} {answer.request.url.path} is answered {answer.status_code}")


def unexpected(address: str, found: str) -> UnexpectedAnswer:
    """The error that something other than the service answers."""
    return UnexpectedAnswer(
        f"{address} is not Phasegate, or not of this version: {found}. Check the address, and the versions of client "
        "and service."
    )


def unanswered(address: str, error: httpx2.TransportError, timeout_s: float) -> NotReachable:
    """What a request means that got no answer at all."""
    insecure = next((cause for cause in causes(error) if isinstance(cause, ssl.SSLError)), None)
    if isinstance(insecure, ssl.SSLCertVerificationError):
        return NotSecure(
            f"The certificate of {address} cannot be trusted: {insecure.verify_message}. Check the address; for an "
            "authority of your own, name the file of its certificate in SSL_CERT_FILE."
        )
    if insecure is not None:
        return NotSecure(
            f"There is no secure connection to {address}: {getattr(insecure, 'reason', None) or insecure}. "
            "Check the address; a server without TLS is addressed as http://."
        )
    if isinstance(error, httpx2.TimeoutException):
        return NotReachable(
            f"{address} has not answered for {timeout_s:g} s. Try again in a moment, or tell the operator."
        )
    if isinstance(error, httpx2.ProxyError):
        return NotReachable(
            f"The proxy on the way to {address} refuses: {error}. Mend {PROXIES}, or put the host into NO_PROXY."
        )
    if isinstance(error, httpx2.RemoteProtocolError):
        return NotReachable(
            f"What answers at {address} breaks off ({_reason(error)}): it is being restarted, or no HTTP service. Try "
            "again in a moment, or check the address."
            if any(words in str(error) for words in CUT_OFF)
            else f"What answers at {address} is no HTTP service ({_reason(error)}). Check the address."
        )
    return NotReachable(
        f"No service answers at {address} ({_reason(error)}). Start one with `phasegate serve`, or check the address."
    )


def _reason(error: BaseException) -> str:
    """What the operating system says of a failed connection, where it says anything."""
    said = [words for cause in causes(error) if isinstance(cause, OSError) and (words := _words(cause))]
    return (said[-1] if said else str(error) or type(error).__name__).rstrip(".").lower()


def _words(error: OSError) -> str | None:
    if isinstance(error, ConnectionError | TimeoutError) and error.errno is not None:
        return os.strerror(error.errno)  # an event loop puts in its place to whom it could not connect
    return error.strerror


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what led to it."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
