"""What is sent of an event: its type, when it happened, what it is about, and where to read more."""

from __future__ import annotations

import json

from service.analyses.happenings import moment
from service.analyses.webhook import Event, EventType


def body_of(event: Event) -> bytes:
    """The body of every attempt to tell an event: the same bytes each time, for they are signed."""
    data = {**event.data, "links": _links(event)}
    told = {"type": event.type.value, "timestamp": moment(event.occurred_at), "data": data}
    return json.dumps(told, separators=(",", ":"), ensure_ascii=True).encode("ascii")


def _links(event: Event) -> dict[str, str]:
    """Addresses below that of the service, which whoever is told knows under its own name."""
    match event.type:
        case EventType.DECISION_MADE:
            analysis = f"/v1/analyses/{event.data['analysis_id']}"
            return {"self": f"/v1/decisions/{event.subject_id}", "analysis": analysis}
        case EventType.WEBHOOK_TEST:
            return {"self": f"/v1/webhooks/{event.data['webhook_id']}"}
    address = f"/v1/analyses/{event.subject_id}"
    return {"self": address, "report": f"{address}/report"}
