"""What webhooks send, for the description of the API: its section `webhooks`."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from service.analyses.webhook import EventType
from service.schemas.webhooks import AnalysisEvent, DecisionEvent, TrialEvent

ENDED = "An analysis has ended"
TOLD: dict[EventType, tuple[str, str, type[BaseModel]]] = {
    EventType.ANALYSIS_SUCCEEDED: (ENDED, "It has a report, which is where `links` says.", AnalysisEvent),
    EventType.ANALYSIS_FAILED: (ENDED, "It has no report; `error` says why.", AnalysisEvent),
    EventType.ANALYSIS_CANCELLED: (ENDED, "Somebody has cancelled it.", AnalysisEvent),
    EventType.DECISION_MADE: ("A decision was made", "By the report of an analysis.", DecisionEvent),
    EventType.WEBHOOK_TEST: ("A webhook is tried", "It says nothing else.", TrialEvent),
}
HEADERS = {
    "webhook-id": ("string", "Id of the delivery: the same whenever it is sent again."),
    "webhook-timestamp": ("integer", "When this attempt was made: seconds since 1970."),
    "webhook-signature": (
        "string",
        "`v1,` and the base64 of the HMAC-SHA256 of `id.timestamp.body` under the secret; two of them, separated by a "
        "space, for 24 hours after the secret was rotated.",
    ),
}
ANSWERS = {
    "2XX": {"description": "Taken. The body is not read."},
    "410": {"description": "Gone for good: the webhook is disabled."},
    "default": {"description": "Not taken: it is sent again later, after the time in `Retry-After` if there is one."},
}


def described_webhooks() -> dict[str, Any]:
    """The section `webhooks` of the description; the schemas that it names stand among the others."""
    return {kind.value: {"post": _described(kind, *told)} for kind, told in TOLD.items()}


def _described(kind: EventType, summary: str, description: str, model: type[BaseModel]) -> dict[str, Any]:
    return {
        "tags": ["webhooks"],
        "summary": summary,
        "description": description,
        "operationId": kind.value.replace(".", "_"),
        "parameters": [
            {"name": name, "in": "header", "required": True, "description": said, "schema": {"type": of}}
            for name, (of, said) in HEADERS.items()
        ],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}},
        },
        "responses": ANSWERS,
    }
