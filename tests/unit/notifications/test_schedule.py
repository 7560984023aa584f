"""When a delivery is tried again, and when no more."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from service.analyses.webhook import Attempt, Delivery, DeliveryState
from service.notifications.schedule import JITTER, LONGEST_PAUSE_S, PAUSES_S, after_attempt, seconds_of

from .samples import a_delivery, a_webhook

NOW = datetime(2026, 11, 26, 8, tzinfo=UTC)
BEGAN = NOW - timedelta(seconds=15)


def tried(delivery: Delivery, status: int | None, retry_after_s: float | None = None, drawn: float = 0.0) -> Delivery:
    return after_attempt(delivery, Attempt(BEGAN, status, None), NOW, retry_after_s, drawn)


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_what_is_taken_is_delivered(status: int) -> None:
    after = tried(a_delivery(a_webhook()), status)
    assert (after.state, after.n_attempts, after.next_attempt_at) == (DeliveryState.DELIVERED, 1, None)


@pytest.mark.parametrize("status", [None, 301, 400, 404, 429, 500, 503])
def test_what_is_not_taken_is_tried_eight_times_with_longer_and_longer_pauses(status: int | None) -> None:
    delivery, pauses_s = a_delivery(a_webhook()), []
    while delivery.state is DeliveryState.PENDING:
        delivery = tried(delivery, status)
        if delivery.next_attempt_at is not None:
            pauses_s.append((delivery.next_attempt_at - NOW).total_seconds())
    assert (delivery.state, delivery.n_attempts) == (DeliveryState.FAILED, 8)
    assert pauses_s == list(PAUSES_S) == sorted(PAUSES_S)


def test_pauses_are_drawn_apart() -> None:
    first = replace(a_delivery(a_webhook()), n_attempts=1)
    ends = [tried(first, 500, drawn=drawn).next_attempt_at for drawn in (0.0, 0.5, 1.0)]
    assert ends == [NOW + timedelta(seconds=300 * (1 + JITTER * drawn)) for drawn in (0.0, 0.5, 1.0)]


def test_a_target_that_asks_for_time_gets_it_within_reason() -> None:
    delivery = a_delivery(a_webhook())
    assert tried(delivery, 429, 60.0).next_attempt_at == NOW + timedelta(seconds=60)
    assert tried(delivery, 429, 1.0).next_attempt_at == NOW + timedelta(seconds=PAUSES_S[0]), "not less"
    assert tried(delivery, 429, 1e9).next_attempt_at == NOW + timedelta(seconds=LONGEST_PAUSE_S)


def test_one_that_is_gone_is_not_tried_again() -> None:
    assert tried(a_delivery(a_webhook()), 410).state is DeliveryState.FAILED


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120.0),
        (" 5 ", 5.0),
        ("Thu, 26 Nov 2026 08:01:00 GMT", 60.0),
        ("Thu, 26 Nov 2026 07:01:00 GMT", 0.0),
        (None, None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("²", None),
    ],
)
def test_retry_after_is_read_in_both_forms(text: str | None, seconds: float | None) -> None:
    assert seconds_of(text, NOW) == seconds
