"""An analysis: its identity, what was submitted, how it ended."""

from __future__ import annotations

import re
import secrets
import time
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from service.estimation.labels import LabelType
from service.estimation.options import Options

ID_PATTERN = re.compile(r"an-[0-9a-f]{32}")
RECORD_VERSION = 2  # 2 added groups and covariates; what a record of version 1 lacks has defaults


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
class StoredFile:
    """An uploaded file as it was received: its name in the store, size in bytes and SHA-256 in hex."""

    name: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class StoredArray(StoredFile):
    """An uploaded array, with what its header says."""

    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class Submission:
    """What was submitted, complete enough to run the analysis at any later time."""

    version: int
    id: str
    submitted_at: datetime
    options: Options
    label_types: dict[str, LabelType]
    x: StoredArray
    y: StoredArray
    labels: StoredFile
    rows: StoredFile | None
    groups: StoredFile | None = None
    covariates: StoredFile | None = None
    covariate_types: dict[str, LabelType] = field(default_factory=dict)
    request_id: str | None = None  # of the request that submitted it; log lines carry it


@dataclass(frozen=True)
class Failure:
    """Why an analysis ended without a report: stable code, sentence, and the uploaded part concerned."""

    code: str
    message: str
    part: str | None


@dataclass(frozen=True)
class Outcome:
    """How an analysis ended: with a report, which is stored beside this, or with a failure."""

    version: int
    started_at: datetime | None
    finished_at: datetime
    failure: Failure | None


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


def new_id() -> str:
    """A fresh id: milliseconds since 1970 and 80 random bits, so that ids sort by time and cannot be guessed."""
    return f"an-{int(time.time() * 1000):012x}{secrets.token_hex(10)}"


def made_at_s(analysis_id: str) -> float:
    """When an id was made: seconds since 1970."""
    return int(analysis_id.partition("-")[2][:12], 16) / 1000


def is_id(text: str) -> bool:
    """Whether `text` has the form of an id; nothing else ever becomes part of a path or a key."""
    return ID_PATTERN.fullmatch(text) is not None
