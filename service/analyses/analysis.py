"""An analysis: its identity, what was submitted, how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Literal

from service.analyses.dataset import Dataset, LabelSet
from service.estimation.options import Options
from service.estimation.spiked_model import SpikedModel

RECORD_VERSION = 4
"""3: datasets and label sets are resources of their own; 4: tenants.  Fields that came later have defaults: records of
every version from 3 on are read."""


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


class AnalysisKind(StrEnum):
    """What an analysis is of."""

    ESTIMATION = "estimation"
    SIMULATION = "simulation"


@dataclass(frozen=True)
class Estimation:
    """An estimation of a dataset with a label set, both as they were.

    They never change, so the copies stay true; their files are read where they are kept.
    """

    dataset: Dataset
    label_set: LabelSet
    options: Options
    kind: Literal[AnalysisKind.ESTIMATION] = AnalysisKind.ESTIMATION


@dataclass(frozen=True)
class SimulatedProblem:
    """A simulation: a problem of known truth that is drawn, solved, and perhaps estimated from labels of some rows."""

    model: SpikedModel
    n_pairs: int
    seed: int
    n_labeled: int | None
    options: Options | None
    kind: Literal[AnalysisKind.SIMULATION] = AnalysisKind.SIMULATION


@dataclass(frozen=True)
class Submission:
    """What was submitted, complete enough to run it at any later time."""

    version: int
    id: str
    submitted_at: datetime
    subject: Estimation | SimulatedProblem
    metadata: Mapping[str, str] = field(default_factory=dict)
    request_id: str | None = None  # of the request that submitted it; log lines carry it
    fingerprint: str | None = None  # of what decides its report, see `reuse`; None if that is not to be found again

    def uses(self, stored_id: str) -> bool:
        """Whether it needs the dataset or label set with this id."""
        subject = self.subject
        return isinstance(subject, Estimation) and stored_id in (subject.dataset.id, subject.label_set.id)


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
    reused: bool = False  # the report is a copy of an earlier one of the same
    report_sha256: str | None = None  # in hex; None without a report, and in records from before it was kept

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
    reused: bool = False
