"""When a delivery is tried again, and when no more."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime

from service.analyses.webhook import LONGEST_PAUSE, Attempt, Delivery, DeliveryState

PAUSES_S = (5.0, 300.0, 1800.0, 7200.0, 18000.0, 36000.0, 36000.0)
"""After each failed attempt but the last: 8 attempts within 29 hours."""
JITTER = 0.2
"""A pause is longer by up to this share of it, so that those who failed together do not come again together."""
LONGEST_PAUSE_S = LONGEST_PAUSE.total_seconds()  # however long a target asks for
GONE = 410


def is_delivered(attempt: Attempt) -> bool:
    """Whether a target has taken a delivery."""
    return attempt.status is not None and 200 <= attempt.status < 300


def after_attempt(
    delivery: Delivery, attempt: Attempt, ended_at: datetime, retry_after_s: float | None, drawn: float
) -> Delivery:
    """What becomes of a delivery by an attempt: delivered, pending with a time, or failed for good.

    Arguments: ended_at, of the attempt, from which its pause counts; retry_after_s, for how long the target asks to be
    left alone; drawn, at random from 0 to 1.
    """
    n_attempts = delivery.n_attempts + 1
    tried = replace(delivery, n_attempts=n_attempts, last_attempt=attempt, next_attempt_at=None)
    if is_delivered(attempt):
        return replace(tried, state=DeliveryState.DELIVERED)
    if attempt.status == GONE or n_attempts > len(PAUSES_S):
        return replace(tried, state=DeliveryState.FAILED)
    pause_s = PAUSES_S[n_attempts - 1] * (1 + JITTER * drawn)
    pause_s = max(pause_s, min(retry_after_s or 0.0, LONGEST_PAUSE_S))
    return replace(tried, next_attempt_at=ended_at + timedelta(seconds=pause_s))


def abandoned(delivery: Delivery) -> Delivery:
    """A delivery to a webhook that is told nothing any more."""
    return replace(delivery, state=DeliveryState.FAILED, next_attempt_at=None)


def seconds_of(retry_after: str | None, now: datetime) -> float | None:
    """What a `Retry-After` header asks for, as seconds or as a date; None for none, and for what cannot be read."""
    text = (retry_after or "").strip()[:64]
    if text.isascii() and text.isdecimal():
        return float(text)
    try:
        until = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return None if until.tzinfo is None else max(0.0, (until - now).total_seconds())
