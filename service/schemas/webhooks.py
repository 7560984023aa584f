"""Webhooks on the wire: how they are made and looked at, and what they send."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from service.access.targets import MAX_URL_CHARACTERS
from service.analyses.analysis import State
from service.analyses.webhook import MAX_DESCRIPTION_CHARACTERS, ONE_LINE, DeliveryState, EventType
from service.gating.decision import Decided
from service.schemas.wire import WireModel

SubscribedEvent = Literal[
    EventType.ANALYSIS_SUCCEEDED, EventType.ANALYSIS_FAILED, EventType.ANALYSIS_CANCELLED, EventType.DECISION_MADE
]


class WebhookRequest(WireModel):
    """Who is to be told what."""

    url: str = Field(max_length=MAX_URL_CHARACTERS, pattern=r"^https?://")
    """Where events are sent: on a host that the operator has listed, over TLS unless he allows otherwise."""
    events: list[SubscribedEvent] = Field(min_length=1, max_length=4, json_schema_extra={"uniqueItems": True})
    """What is told."""
    description: str = Field("", max_length=MAX_DESCRIPTION_CHARACTERS, pattern=f"^{ONE_LINE.pattern}$")
    """One line for those who read the list."""


class WebhookLinks(WireModel):
    """Where to go from here."""

    self: str
    """This webhook."""
    deliveries: str
    """What it was told."""


class WebhookView(WireModel):
    """A webhook; its secret is not shown again."""

    id: str
    """Its id."""
    url: str
    """Where events are sent."""
    events: list[SubscribedEvent]
    """What is told."""
    description: str
    """What it is for."""
    created_at: datetime
    """When it was made."""
    disabled_at: datetime | None
    """When its address answered 410 Gone, since when it is told nothing; null otherwise."""
    links: WebhookLinks
    """Where to go from here."""


class NewWebhookView(WebhookView):
    """A webhook that has just been made, with its secret."""

    secret: str
    """What its deliveries are signed with, `whsec_` and base64. Keep it: it is shown this once."""


class WebhookList(WireModel):
    """All webhooks, newest first."""

    items: list[WebhookView]
    """The webhooks."""


class RotatedSecretView(WireModel):
    """A new secret."""

    id: str
    """The webhook."""
    secret: str
    """The new secret, shown this once."""
    previous_until: datetime | None
    """Until then deliveries carry a signature with the secret before it as well; null if there was none."""


class AttemptView(WireModel):
    """One attempt to deliver."""

    at: datetime
    """When it was made."""
    status: int | None
    """What the address answered; null when it did not."""
    error: str | None
    """What went wrong; null when it was taken."""


class DeliveryView(WireModel):
    """An event that a webhook is told of."""

    id: str
    """Its id: the `webhook-id` of every attempt."""
    webhook_id: str
    """The webhook."""
    type: EventType
    """What is told."""
    subject_id: str
    """The analysis or the decision that it is about."""
    occurred_at: datetime
    """When it happened."""
    state: DeliveryState
    """pending, delivered or failed."""
    attempts: int = Field(ge=0)
    """Attempts since it was owed or replayed."""
    next_attempt_at: datetime | None
    """When it is tried next; null unless it is pending."""
    last_attempt: AttemptView | None
    """The latest attempt; null before the first."""


class DeliveryPage(WireModel):
    """Some deliveries, newest first."""

    items: list[DeliveryView]
    """The deliveries."""
    next_cursor: str | None
    """Send it as `cursor` for those after them; null at the end."""


class EventLinks(WireModel):
    """Where to read more, below the address of the service."""

    self: str
    """What the event is about."""
    report: str | None = None
    """The report of an analysis."""
    analysis: str | None = None
    """The analysis that a decision was made by."""


class ToldError(WireModel):
    """Why an analysis failed."""

    code: str
    """Stable code to branch on."""
    detail: str
    """What is wrong and what to do."""
    part: str | None
    """What of the request is concerned; null otherwise."""


class AnalysisEnded(WireModel):
    """How an analysis ended."""

    analysis_id: str
    """The analysis."""
    state: State
    """succeeded, failed or cancelled."""
    started_at: datetime | None
    """When its latest attempt began; null if it never ran."""
    finished_at: datetime
    """When it ended."""
    reused: bool
    """Whether its report is a copy of an earlier one."""
    error: ToldError | None
    """Why it failed; null unless it did."""
    links: EventLinks
    """Where to read more."""


class AnalysisEvent(WireModel):
    """An analysis has ended."""

    type: Literal[EventType.ANALYSIS_SUCCEEDED, EventType.ANALYSIS_FAILED, EventType.ANALYSIS_CANCELLED]
    """What is told."""
    timestamp: datetime
    """When it happened."""
    data: AnalysisEnded
    """What has happened."""


class DecisionMade(WireModel):
    """How a decision came out."""

    decision_id: str
    """The decision."""
    analysis_id: str
    """The analysis by whose report it was made."""
    decision: Decided
    """pass, fail or abstain."""
    policy_name: str | None
    """Name of the policy; null for one that came with the question."""
    policy_version: int | None
    """Its version; null without a name."""
    policy_sha256: str
    """Digest of the policy."""
    summary: str
    """The decision and its reason in one sentence."""
    links: EventLinks
    """Where to read more."""


class DecisionEvent(WireModel):
    """A decision was made."""

    type: Literal[EventType.DECISION_MADE]
    """What is told."""
    timestamp: datetime
    """When it happened."""
    data: DecisionMade
    """What has happened."""


class WebhookTested(WireModel):
    """Nothing: somebody tries a webhook."""

    webhook_id: str
    """The webhook."""
    links: EventLinks
    """Where to read more."""


class TrialEvent(WireModel):
    """Somebody tries a webhook."""

    type: Literal[EventType.WEBHOOK_TEST]
    """What is told."""
    timestamp: datetime
    """When it was asked for."""
    data: WebhookTested
    """What is tried."""
