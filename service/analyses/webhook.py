"""Webhooks: who is told what, and what is owed to them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from service.analyses.identity import made_at_s

MAX_DESCRIPTION_CHARACTERS = 256
LONGEST_PAUSE = timedelta(hours=24)
"""Between two attempts at a delivery."""
LONGEST_PENDING = timedelta(days=3)
"""Longer than all attempts of a delivery take."""
ONE_LINE = re.compile(r"[^\x00-\x1f\x7f-\x9f]*")


class EventType(StrEnum):
    """What is told."""

    ANALYSIS_SUCCEEDED = "analysis.succeeded"
    ANALYSIS_FAILED = "analysis.failed"
    ANALYSIS_CANCELLED = "analysis.cancelled"
    DECISION_MADE = "decision.made"
    WEBHOOK_TEST = "webhook.test"


SUBSCRIBED = tuple(kind for kind in EventType if kind is not EventType.WEBHOOK_TEST)
"""What can be subscribed to; a test is sent when somebody asks for it."""


@dataclass(frozen=True)
class Event:
    """Something that has happened: to what, when, and what is told of it."""

    type: EventType
    subject_id: str
    occurred_at: datetime
    data: Mapping[str, Any]


@dataclass(frozen=True)
class Secret:
    """A secret that deliveries are signed with, `whsec_` and base64.

    made_by, the stem of the call that has made it; until, when it counts no more, None for the latest.
    """

    text: str
    made_by: str
    until: datetime | None = None

    def __repr__(self) -> str:
        """Without the secret: records end up in log lines."""
        return f"Secret(made_by={self.made_by!r}, until={self.until!r})"


@dataclass(frozen=True)
class Webhook:
    """An address that is told of events.  `secrets`, the latest first: those that count sign together.

    replaced, what has made the secrets before these, the latest first.
    """

    version: int
    id: str
    url: str
    events: tuple[EventType, ...]
    description: str
    secrets: tuple[Secret, ...]
    disabled_at: datetime | None = None  # when it answered 410 Gone
    replaced: tuple[str, ...] = ()

    @property
    def created_at(self) -> datetime:
        """Its id says so."""
        return datetime.fromtimestamp(made_at_s(self.id), UTC)

    def secrets_at(self, now: datetime) -> tuple[Secret, ...]:
        """Those that count."""
        return tuple(secret for secret in self.secrets if secret.until is None or now < secret.until)


class DeliveryState(StrEnum):
    """pending -> delivered | failed; a replay makes it pending again."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


@dataclass(frozen=True)
class Attempt:
    """The latest attempt: when, the status that was answered or None, and what was wrong or None."""

    at: datetime
    status: int | None
    error: str | None


@dataclass(frozen=True)
class Delivery:
    """An event that one webhook is told of, once or, if need be, more often; always under this id.

    n_attempts, since it was owed or replayed last; next_attempt_at, None unless it is pending.
    """

    version: int
    id: str
    webhook_id: str
    event: Event
    state: DeliveryState
    n_attempts: int
    next_attempt_at: datetime | None
    last_attempt: Attempt | None = None

    @property
    def created_at(self) -> datetime:
        """When the event happened: its id says so."""
        return datetime.fromtimestamp(made_at_s(self.id), UTC)


@dataclass(frozen=True)
class Owed:
    """That a delivery is due at a moment.  It is as good as gone when the delivery says otherwise."""

    due_at: datetime
    tenant: str
    webhook_id: str
    delivery_id: str


def is_due(moment: datetime, now: datetime) -> bool:
    """Whether what is due at a moment is due now: also what only a clock that was ahead can have put off so far."""
    return moment <= now or moment > too_far(now)


def too_far(now: datetime) -> datetime:
    """Nothing is put off so far, clocks that differ by an hour included."""
    return now + LONGEST_PAUSE + timedelta(hours=1)
