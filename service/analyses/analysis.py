"""An analysis: its identity, what was submitted, how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from service.analyses.dataset import Dataset, LabelSet
from service.estimation.options import Options

RECORD_VERSION = 3  # 3: datasets and label sets are resources of their own, and an analysis refers to them


class State(StrEnum):
    """Where an analysis is.  queued -> running -> succeeded | failed | cancelled; running may fall back to queued."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """Whether nothing can follow."""
        return self in (State.SUCCEEDED, State.FAILED, State.CANCELLED)


@dataclass(frozen=True)
class Progress:
    """How far a running analysis is: the stage's name and the fraction done, 0 to 1."""

    stage: str
    fraction: float


@dataclass(frozen=True)
class Submission:
    """What was submitted: dataset and label set as they were, options and metadata.

    Datasets and label sets never change, so the copies stay true; their files are read where they are kept.
    """

    version: int
    id: str
    submitted_at: datetime
    options: Options
    dataset: Dataset
    label_set: LabelSet
    metadata: Mapping[str, str] = field(default_factory=dict)
    request_id: str | None = None  # of the request that submitted it; log lines carry it


@dataclass(frozen=True)
class Failure:
    """Why an analysis ended without a report: stable code, sentence, and the uploaded part concerned."""

    code: str
    message: str
    part: str | None


@dataclass(frozen=True)
class Outcome:
    """How an analysis ended: with a report, which is stored beside this, with a failure, or cancelled."""

    version: int
    started_at: datetime | None
    finished_at: datetime
    failure: Failure | None
    cancelled: bool = False

    @property
    def state(self) -> State:
        """The final state."""
        if self.cancelled:
            return State.CANCELLED
        return State.SUCCEEDED if self.failure is None else State.FAILED


@dataclass(frozen=True)
class Analysis:
    """An analysis as its users see it."""

    submission: Submission
    state: State
    started_at: datetime | None
    finished_at: datetime | None
    queue_position: int | None
    progress: Progress
    failure: Failure | None
