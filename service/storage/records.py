"""Records as JSON text: what the store keeps of datasets, label sets, submissions and outcomes."""

from __future__ import annotations

from typing import TypeVar

import structlog
from pydantic import TypeAdapter, ValidationError

from service.analyses.analysis import Outcome, Submission
from service.analyses.dataset import Dataset, LabelSet

DATASET = TypeAdapter(Dataset)
LABEL_SET = TypeAdapter(LabelSet)
SUBMISSION = TypeAdapter(Submission)
OUTCOME = TypeAdapter(Outcome)

Record = TypeVar("Record")

log = structlog.get_logger("phasegate.store")


def decode_record(content: bytes, adapter: TypeAdapter[Record], name: str) -> Record | None:
    """The record in some JSON text.  One that cannot be read is logged under its name, and as good as none."""
    try:
        return adapter.validate_json(content)
    except ValidationError as error:
        log.error("record_unreadable", record=name, errors=error.error_count())
        return None
