"""What webhooks are told of: ids, states and errors, nothing of any data."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from service.analyses.analysis import Outcome, State
from service.analyses.decision import DecisionRecord
from service.analyses.webhook import Event, EventType

ENDED = {
    State.SUCCEEDED: EventType.ANALYSIS_SUCCEEDED,
    State.FAILED: EventType.ANALYSIS_FAILED,
    State.CANCELLED: EventType.ANALYSIS_CANCELLED,
}


def analysis_ended(analysis_id: str, outcome: Outcome) -> Event:
    """That an analysis has ended."""
    failure = outcome.failure
    error = {"code": failure.code, "detail": failure.message, "part": failure.part} if failure else None
    data: dict[str, Any] = {
        "analysis_id": analysis_id,
        "state": outcome.state.value,
        "started_at": moment(outcome.started_at) if outcome.started_at else None,
        "finished_at": moment(outcome.finished_at),
        "reused": outcome.reused,
        "error": error,
    }
    return Event(ENDED[outcome.state], analysis_id, outcome.finished_at, data)


def moment(at: datetime) -> str:
    """A moment as every answer of the service writes it."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def decision_made(record: DecisionRecord) -> Event:
    """That a decision was made."""
    data: dict[str, Any] = {
        "decision_id": record.id,
        "analysis_id": record.analysis_id,
        "decision": record.decision.decision.value,
        "policy_name": record.policy_name,
        "policy_version": record.policy_version,
        "policy_sha256": record.policy_sha256,
        "summary": record.decision.summary,
    }
    return Event(EventType.DECISION_MADE, record.id, record.decided_at, data)
