"""Analyses on the wire.  The report is the core's own dataclass; nothing is described twice."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field, TypeAdapter

from service.analyses.analysis import State
from service.estimation.labels import LabelType
from service.estimation.options import Options
from service.estimation.report import Report
from service.schemas.wire import Problem, WireModel

REPORT = TypeAdapter(Report)


class ProgressView(WireModel):
    """How far an analysis is."""

    stage: str
    """What is being done."""
    fraction: float = Field(ge=0, le=1)
    """Share of the work done, 0 to 1."""


class FileView(WireModel):
    """An uploaded file as it was received."""

    size_bytes: int
    """Its size in bytes."""
    sha256: str
    """SHA-256 of its bytes, in hex."""


class ArrayView(FileView):
    """An uploaded array as it was received."""

    shape: list[int]
    """Rows and columns."""
    dtype: str
    """Type of its values."""


class InputsView(WireModel):
    """The uploaded files."""

    x: ArrayView
    """Features of modality x."""
    y: ArrayView
    """Features of modality y."""
    labels: FileView
    """Labels."""
    rows: FileView | None
    """Label rows; null when the labels cover every pair."""
    groups: FileView | None
    """Group ids; null when none were sent."""
    covariates: FileView | None
    """Covariates; null when none were sent."""


class LinksView(WireModel):
    """Where to go from here."""

    self: str
    """This analysis."""
    report: str
    """Its report."""


class AnalysisView(WireModel):
    """An analysis: one estimation of one dataset with one label set."""

    id: str
    """Its id."""
    state: State
    """queued, running, succeeded, failed or cancelled."""
    progress: ProgressView
    """How far it is."""
    queue_position: int | None
    """Analyses before it in the queue; null unless it waits there."""
    submitted_at: datetime
    """When it was accepted."""
    started_at: datetime | None
    """When its latest attempt began."""
    finished_at: datetime | None
    """When it ended."""
    error: Problem | None
    """Why it failed; null unless it did."""
    options: Options
    """Options, defaults filled in."""
    label_types: dict[str, LabelType]
    """Type of each label column."""
    covariate_types: dict[str, LabelType]
    """Type of each covariate; empty when none were sent."""
    inputs: InputsView
    """The uploaded files."""
    links: LinksView
    """Where to go from here."""
