"""When a call is made again, and after how long."""

from __future__ import annotations

import random
import ssl

import httpx2

from service.client.refusals import causes

ATTEMPTS = 4
ATTEMPTS_IN_USE = 12
"""Of a call whose key is in use: the first attempt may have died, which the service finds out within seconds."""
FIRST_PAUSE_S = 0.2
"""Before the second attempt; each further pause is three times as long, or as long as the service asks for."""

SPREAD = 0.25

LONGEST_PAUSE_S = 10.0
"""Whoever is told to wait for longer is told so, and not kept waiting."""

PASSING = frozenset({429, 502, 503})
IN_USE = b"idempotency_key_in_use"
QUEUE_AWAY = b"queue_unavailable"


def pause_s(attempt: int, found: httpx2.Response | httpx2.TransportError) -> float | None:
    """How long to wait at least before the next attempt (seconds); None if there is to be none.

    Arguments: attempt, number of the one that has failed, from 1; found, what came back.
    """
    usual_s = usual_pause_s(attempt) if attempt < ATTEMPTS else None
    if isinstance(found, httpx2.TransportError):
        return usual_s if _is_lost(found) else None
    asked = found.headers.get("retry-after", "")
    asked_s = float(asked) if asked.isascii() and asked.isdigit() else 0.0
    if _is_in_use(found):
        return max(1.0, asked_s) if attempt < ATTEMPTS_IN_USE else None
    if found.status_code not in PASSING or usual_s is None:
        return None
    pause = max(usual_s, asked_s)
    return pause if pause <= LONGEST_PAUSE_S else None


def usual_pause_s(attempt: int) -> float:
    """How long to wait after an attempt (seconds), where nobody has asked for more."""
    return float(FIRST_PAUSE_S * 3 ** (attempt - 1))


def jittered(wait_s: float) -> float:
    """A pause, or up to a quarter more: those who were turned away together do not come back together."""
    return wait_s * (1.0 + SPREAD * random.random())  # noqa: S311 - no secret  # nosec B311


def is_without_keys(found: httpx2.Response | httpx2.TransportError) -> bool:
    """Whether the service says that it cannot reach its keys: then it has not begun the call."""
    return (
        isinstance(found, httpx2.Response)
        and found.status_code == httpx2.codes.SERVICE_UNAVAILABLE
        and QUEUE_AWAY in found.content
    )


def _is_lost(error: httpx2.TransportError) -> bool:
    """Whether a connection was lost or refused; one that is silent or cannot be trusted will be so again."""
    is_secure = not any(isinstance(cause, ssl.SSLError) for cause in causes(error))
    return is_secure and isinstance(error, httpx2.NetworkError | httpx2.RemoteProtocolError)


def _is_in_use(answer: httpx2.Response) -> bool:
    return answer.status_code == httpx2.codes.CONFLICT and IN_USE in answer.content
