"""Analyses on the wire.  The report is the core's own dataclass; nothing is described twice."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError, WithJsonSchema

from service.analyses.analysis import AnalysisKind, State
from service.analyses.errors import ReportOutdated
from service.analyses.metadata import KEY_PATTERN, MAX_ENTRIES, MAX_VALUE_CHARACTERS
from service.estimation.labels import LabelType
from service.estimation.options import Options
from service.estimation.report import Report
from service.estimation.simulation_records import Simulation
from service.estimation.spiked_model import SpikedModel
from service.schemas.datasets import ArrayView, FileView, JoinView, LabelJoinView
from service.schemas.options import EstimationOptions
from service.schemas.wire import Problem, WireModel

REPORT = TypeAdapter(Report)
SIMULATION = TypeAdapter(Simulation)


def read_report(stored: bytes) -> Report:
    """The report in some stored bytes.  Raises ReportOutdated for one of another form."""
    try:
        return REPORT.validate_json(stored)
    except ValidationError as error:
        raise ReportOutdated(
            "The report was made by another version of the service, and cannot be judged by this one. Analyse the data "
            "again."
        ) from error


METADATA_SCHEMA: dict[str, Any] = {
    "type": "object",
    "patternProperties": {KEY_PATTERN: {"type": "string", "maxLength": MAX_VALUE_CHARACTERS}},
    "additionalProperties": False,
    "maxProperties": MAX_ENTRIES,
}
Metadata = Annotated[dict[str, str], WithJsonSchema(METADATA_SCHEMA)]
"""Held to that schema by `check_metadata`, whose sentences say more than a pattern."""


class ProgressView(WireModel):
    """How far an analysis is."""

    stage: str
    """What is being done."""
    fraction: float = Field(ge=0, le=1)
    """Share of the work done, 0 to 1."""


class AnalysisProgress(WireModel):
    """How an analysis stands, as an event tells it before the end."""

    state: State
    """queued or running."""
    stage: str
    """What is being done."""
    fraction: float = Field(ge=0, le=1)
    """Share of the work done, 0 to 1; a further attempt begins at 0 again."""
    queue_position: int | None
    """Analyses before it in the queue; null unless it waits there."""


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
    join: JoinView | None
    """What became of the ids of the rows; null without any."""
    label_join: LabelJoinView | None
    """How the labels were matched to rows by ids; null if they were not."""


class LinksView(WireModel):
    """Where to go from here."""

    self: str
    """This analysis."""
    report: str
    """Its report."""
    dataset: str | None
    """Its dataset; null for a simulation."""
    label_set: str | None
    """Its label set; null for a simulation."""


class AnalysisRequest(WireModel):
    """What to analyse: a dataset and one of its label sets."""

    dataset_id: str
    """A ready dataset."""
    label_set_id: str
    """One of its label sets."""
    options: EstimationOptions = EstimationOptions()
    """What differs from the defaults."""
    metadata: Metadata = Field(default_factory=dict)
    """Up to 16 short strings by name, kept with the analysis; lists can be filtered by them."""
    reuse: bool = True
    """Whether a stored report of the same may be the answer; false: it runs in any case."""


class SimulatedView(WireModel):
    """The problem that a simulation draws."""

    model: SpikedModel
    """Parameters of the population."""
    n_pairs: int
    """Pairs that are drawn."""
    seed: int
    """Seed of the hidden bases, the pairs and the labels."""
    n_labeled: int | None
    """Rows with labels that the estimator is asked about; null when it is not asked."""


class AnalysisView(WireModel, defer_build=True):
    """An analysis: one estimation of one dataset with one label set, or a simulation that is too large to wait for."""

    id: str
    """Its id."""
    kind: AnalysisKind
    """estimation or simulation."""
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
    expires_at: datetime | None
    """When it is removed, with its report; null until it has ended."""
    reused: bool
    """Whether its report is a copy of an earlier one, of the same dataset, label set and options, by the same version
    of the service. Then it never ran, and `started_at` is null."""
    error: Problem | None
    """Why it failed; null unless it did."""
    dataset_id: str | None
    """The dataset that is analysed; null for a simulation."""
    label_set_id: str | None
    """The label set that it is analysed with; null for a simulation."""
    simulation: SimulatedView | None
    """The problem that is drawn; null for an estimation."""
    options: Options | None
    """Options, defaults filled in; null for a simulation that does not ask the estimator."""
    metadata: dict[str, str]
    """What the caller attached."""
    label_types: dict[str, LabelType]
    """Type of each label column."""
    covariate_types: dict[str, LabelType]
    """Type of each covariate; empty when none were sent."""
    inputs: InputsView | None
    """The uploaded files of dataset and label set, as they were; they stay described when those are gone. Null for a
    simulation."""
    links: LinksView
    """Where to go from here."""


class AnalysisPage(WireModel, defer_build=True):
    """Some analyses, newest first."""

    items: list[AnalysisView]
    """The analyses; a filter may leave fewer than asked for, and still more after them."""
    next_cursor: str | None
    """Send it as `cursor` for those after them; null at the end."""
