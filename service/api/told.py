"""What webhooks send, for the description of the API: its section `webhooks`."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header

from service.analyses.webhook import EventType
from service.schemas.webhooks import AnalysisEvent, DecisionEvent, TrialEvent

router = APIRouter()

ANSWERS: dict[int | str, dict[str, Any]] = {
    "2XX": {"description": "Taken. The body is not read."},
    410: {"description": "Gone for good: the webhook is disabled."},
    "default": {"description": "Not taken: it is sent again later, after the time in `Retry-After` if there is one."},
}
DeliveryHeader = Annotated[
    str, Header(alias="webhook-id", description="Id of the delivery: the same whenever it is sent again.")
]
TimestampHeader = Annotated[
    int, Header(alias="webhook-timestamp", description="When this attempt was made: seconds since 1970.")
]
SignatureHeader = Annotated[
    str,
    Header(
        alias="webhook-signature",
        description="`v1,` and the base64 of the HMAC-SHA256 of `id.timestamp.body` under the secret; two of them, "
        "separated by a space, for 24 hours after the secret was rotated.",
    ),
]


def analysis_ended(
    event: AnalysisEvent, delivery: DeliveryHeader, timestamp: TimestampHeader, signature: SignatureHeader
) -> None:
    """An analysis has ended. Its report, if it has one, is where `links` says."""


def decision_made(
    event: DecisionEvent, delivery: DeliveryHeader, timestamp: TimestampHeader, signature: SignatureHeader
) -> None:
    """A decision was made by the report of an analysis."""


def webhook_tested(
    event: TrialEvent, delivery: DeliveryHeader, timestamp: TimestampHeader, signature: SignatureHeader
) -> None:
    """Somebody tries the webhook."""


for kind in (EventType.ANALYSIS_SUCCEEDED, EventType.ANALYSIS_FAILED, EventType.ANALYSIS_CANCELLED):
    router.post(kind.value, summary="An analysis has ended", responses=ANSWERS, tags=["webhooks"])(analysis_ended)
router.post(EventType.DECISION_MADE.value, summary="A decision was made", responses=ANSWERS, tags=["webhooks"])(
    decision_made
)
router.post(EventType.WEBHOOK_TEST.value, summary="A webhook is tried", responses=ANSWERS, tags=["webhooks"])(
    webhook_tested
)
