"""The wire models, shared by API and client.  The report is the core's own dataclass; nothing is described twice.

Outputs have no defaults: every field is always there, null when it does not apply.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from service.analyses.analysis import State
from service.estimation.errors import InvalidOption
from service.estimation.labels import LabelType
from service.estimation.options import UNSCALED, Options, Scalings
from service.estimation.report import Report
from service.estimation.terms import Scaling

REPORT = TypeAdapter(Report)
OPTIONS_BYTES = 64 * 1024


def _for_both(scaling: Any) -> Any:
    """One word stands for both modalities."""
    return {"x": scaling, "y": scaling} if isinstance(scaling, str) else scaling


@dataclass(frozen=True)
class SubmittedOptions(Options):
    """What the `options` part of an upload may say."""

    scaling: Annotated[Scalings, BeforeValidator(_for_both, json_schema_input_type=Scaling | Scalings)] = UNSCALED
    """What is done to the columns of each modality first: none, or standardize (mean 0, variance 1). One word for both
    modalities, or a word for x and a word for y. The published procedure takes the columns as they are."""
    label_types: dict[str, LabelType] | LabelType | None = None
    """Type of each label column by name, or one type for all. Columns of whole numbers need it."""
    covariate_types: dict[str, LabelType] | LabelType | None = None
    """Type of each covariate by name, or one type for all. Covariates of whole numbers need it."""

    def options(self) -> Options:
        """The options of the estimation alone."""
        return Options(**{field.name: getattr(self, field.name) for field in fields(Options)})


OPTIONS = TypeAdapter(SubmittedOptions)


def read_options(text: str | bytes) -> SubmittedOptions:
    """The options that a JSON object says, defaults where it says nothing.  Raises InvalidOption."""
    if len(text) > OPTIONS_BYTES:
        raise InvalidOption(f"options exceed {OPTIONS_BYTES} bytes. Send the few that differ.", part="options")
    try:
        return OPTIONS.validate_json(text, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        # pydantic names the branch of a union as a step of its own, with brackets in it.
        place = ".".join(str(step)[:40] for step in first["loc"] if "[" not in str(step) and step != "LabelType")
        where = f"options.{place}" if place else "options"
        raise InvalidOption(
            f"{where}: {first['msg']}. The options are one JSON object; the README and /docs list them.",
            part="options",
        ) from error


class WireModel(BaseModel):
    """What every wire model shares."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Problem(WireModel):
    """What went wrong, as problem details (RFC 9457)."""

    type: str
    """URN of the kind of problem; it ends in the code."""
    title: str
    """The kind of problem in a sentence; the same for every occurrence."""
    status: int
    """HTTP status."""
    detail: str
    """What is wrong here and what to do."""
    code: str
    """Stable code to branch on."""
    part: str | None
    """The uploaded part concerned: x, y, labels, rows, groups, covariates or options; null otherwise."""


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


class Health(WireModel):
    """The process answers."""

    status: str
    """ok."""
    version: str
    """Version of the service."""


class Readiness(WireModel):
    """The service can take and run analyses."""

    ready: bool
    """True; the service answers 503 otherwise."""
    workers: int
    """Workers alive."""
