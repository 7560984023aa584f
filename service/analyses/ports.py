"""What the analyses need of the outside world, as protocols; `storage` implements them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, BinaryIO, Protocol

from numpy.typing import NDArray

from service.analyses.analysis import Outcome, Progress, StoredFile, Submission
from service.analyses.counting import EndedAnalysis


class QueueState(StrEnum):
    """What the queue knows of an analysis."""

    WAITING = "waiting"
    STARTED = "started"
    EXHAUSTED = "exhausted"  # the queue has given up on it: no attempt is left


class LossReason(StrEnum):
    """Why the queue gave up on an analysis."""

    TIME_LIMIT = "time_limit"  # it ran longer than the time limit
    WORKER_LOST = "worker_lost"  # the process that ran it died, in every attempt
    STOPPED = "stopped"  # somebody told the worker to stop it
    REFUSED = "refused"  # the job was not one that a worker may run


@dataclass(frozen=True)
class QueueEntry:
    """One analysis as the queue sees it."""

    analysis_id: str
    state: QueueState
    position: int | None  # 0-based place among the waiting ones, None unless waiting
    started_at: datetime | None  # aware, UTC; start of the latest attempt
    progress: Progress | None
    loss: LossReason | None  # set exactly when state is EXHAUSTED


class Queue(Protocol):
    """The queue of analyses that wait for a worker.  It can be lost and rebuilt from the store at any time.

    Every call raises QueueUnavailable when it cannot be reached.
    """

    def enqueue(self, analysis_id: str) -> None:
        """Add an analysis; one that the queue has, given up or not, is left alone until `forget`."""

    def find(self, analysis_id: str) -> QueueEntry | None:
        """The entry of an analysis, or None if the queue does not know it."""

    def exhausted(self) -> Sequence[QueueEntry]:
        """All entries the queue has given up on."""

    def forget(self, analysis_id: str) -> None:
        """Remove every trace of an analysis."""

    def requeue_lost(self) -> None:
        """Put back the analyses whose worker has died, or give them up when no attempt is left."""

    def workers_alive(self) -> int:
        """How many workers have sent a heartbeat recently."""

    def announce(self, analysis_id: str) -> None:
        """Tell whoever waits for this analysis that its outcome is stored."""

    def count(self, ended: EndedAnalysis) -> None:
        """Count an analysis that has just ended.  To be called once for each; sent twice, it counts once."""


@dataclass(frozen=True)
class Inputs:
    """Inputs, opened but not checked: arrays memory-mapped, label columns and covariates by name."""

    x: NDArray[Any]
    y: NDArray[Any]
    labels: Mapping[str, NDArray[Any]]
    rows: NDArray[Any] | None
    groups: NDArray[Any] | None
    covariates: Mapping[str, NDArray[Any]] | None


class UploadedFile(Protocol):
    """A part of an upload: its bytes, read in chunks.  What the client calls the file counts for nothing."""

    file: BinaryIO


@dataclass(frozen=True)
class Upload:
    """The parts of a one-shot upload."""

    x: UploadedFile
    y: UploadedFile
    labels: UploadedFile
    rows: UploadedFile | None
    groups: UploadedFile | None = None
    covariates: UploadedFile | None = None


class Staged(Protocol):
    """Received files that are not an analysis yet; gone unless committed."""

    def files(self) -> Mapping[str, StoredFile]:
        """Each part's stored file."""

    def inputs(self) -> Inputs:
        """The received inputs."""

    def commit(self, submission: Submission) -> None:
        """Make them, with their submission, an analysis that survives a crash from here on."""


class Store(Protocol):
    """The truth about analyses: submissions with their arrays, and outcomes, each written once."""

    def stage(self, upload: Upload) -> AbstractContextManager[Staged]:
        """Receive the files of an upload."""

    def submission(self, analysis_id: str) -> Submission | None:
        """What was submitted, or None for an unknown analysis."""

    def inputs(self, submission: Submission) -> Inputs:
        """The inputs of an analysis."""

    def outcome(self, analysis_id: str) -> Outcome | None:
        """How an analysis ended, or None if it has not.  Does not read the report."""

    def report(self, analysis_id: str) -> bytes:
        """The stored report of an analysis that has one, as JSON text."""

    def settle(self, analysis_id: str, outcome: Outcome, report: str | None) -> bool:
        """Write the outcome of an analysis once, with its report unless it failed.

        Returns False, and changes nothing, if it has an outcome already.
        """

    def unsettled(self) -> Iterator[Submission]:
        """All analyses without an outcome, oldest first."""

    def sweep(self) -> None:
        """Remove received files that never became an analysis; only while nothing is being received."""

    def check(self) -> None:
        """Raise StoreUnavailable unless the store can be written."""
