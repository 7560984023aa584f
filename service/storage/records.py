"""Records as JSON text: what the store keeps of datasets, label sets, submissions, outcomes, policies, decisions and
webhooks.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TypeVar

import structlog
from pydantic import TypeAdapter, ValidationError

from service.analyses.analysis import RECORD_VERSION, Failure, Outcome, Submission
from service.analyses.dataset import Dataset, LabelSet
from service.analyses.decision import DecisionRecord
from service.analyses.errors import RecordUnreadable
from service.analyses.identity import made_at_s
from service.analyses.policy import StoredPolicy
from service.analyses.webhook import Delivery, Webhook

DATASET = TypeAdapter(Dataset)
LABEL_SET = TypeAdapter(LabelSet)
SUBMISSION = TypeAdapter(Submission)
OUTCOME = TypeAdapter(Outcome)
STORED_POLICY = TypeAdapter(StoredPolicy)
DECISION_RECORD = TypeAdapter(DecisionRecord)
WEBHOOK = TypeAdapter(Webhook)
DELIVERY = TypeAdapter(Delivery)

Record = TypeVar("Record")

log = structlog.get_logger("phasegate.store")


def decode_record(content: bytes, adapter: TypeAdapter[Record], name: str) -> Record | None:
    """The record in some JSON text.  One that cannot be read is logged under its name, and as good as none."""
    try:
        return adapter.validate_json(content)
    except ValidationError as error:
        log.error("record_unreadable", record=name, errors=error.error_count())
        return None


def unreadable_outcome(analysis_id: str) -> Outcome:
    """What stands for the record of an end that cannot be read: the analysis has ended, and nobody can tell how.

    It counts as ended when it was submitted, which its id tells.
    """
    error = RecordUnreadable(
        "The analysis has ended, and the record of how cannot be read. Submit it again, and tell the operator its id."
    )
    ended_at = datetime.fromtimestamp(made_at_s(analysis_id), UTC)
    return Outcome(RECORD_VERSION, None, ended_at, Failure(error.code, error.message, None))
