"""Datasets and label sets on the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from service.analyses.dataset import DatasetState, FileFormat
from service.estimation.labels import MAX_NAME_CHARACTERS, LabelType
from service.schemas.wire import WireModel


class UnderstoodView(WireModel):
    """What was made of a file that came in a format with names or types."""

    text: str
    """In a sentence."""
    n_rows: int
    """Rows that it has."""
    taken: list[str]
    """The first names of the arrays or columns that were taken."""
    n_taken: int
    """How many were taken."""
    left_out: list[str]
    """The first names of what was left out."""
    n_left_out: int
    """How many were left out."""
    id_column: str | None
    """The column, or array, with the ids of the rows; null if there is none."""


class FileView(WireModel):
    """An uploaded file as it was received."""

    size_bytes: int
    """Its size in bytes, as it was sent."""
    sha256: str
    """SHA-256 of its bytes, in hex, as they were sent."""
    format: FileFormat
    """In what format it was sent, by its first bytes."""
    understood: UnderstoodView | None
    """What was made of it; null for .npy, and for CSV other than x and y, which are kept as they were sent."""


class ArrayView(FileView):
    """An uploaded array as it was received."""

    shape: list[int]
    """Rows and columns, as they are analysed."""
    dtype: str
    """Type of its values, as they are analysed."""


class JoinView(WireModel):
    """What became of the ids of rows that were sent with x or y."""

    text: str
    """In a sentence."""
    used: bool
    """Whether x and y were joined on them: when both have ids."""
    id_column: str
    """What they are called."""
    n_matched: int
    """Pairs: ids that both have."""
    n_only_x: int
    """Rows of x that were left out, since y has not their ids."""
    n_only_y: int
    """Rows of y that were left out."""
    only_x: list[str]
    """The first ids that only x has."""
    only_y: list[str]
    """The first ids that only y has."""


class LabelJoinView(WireModel):
    """How labels were matched to the rows of their dataset by ids."""

    text: str
    """In a sentence."""
    id_column: str
    """What the ids are called."""
    n_matched: int
    """Labels of rows of the dataset."""
    n_left_out: int
    """Labels that were left out, since the dataset has not their ids."""
    left_out: list[str]
    """The first ids of those."""


class DatasetLinks(WireModel):
    """Where to go from a dataset."""

    self: str
    """This dataset."""
    label_sets: str
    """Its label sets."""


class DatasetView(WireModel):
    """A dataset: the features of both modalities, and what else is known of every pair.  Immutable once ready."""

    id: str
    """Its id."""
    state: DatasetState
    """open while parts are missing, then ready."""
    missing_parts: list[str]
    """Parts still to come; empty once it is ready."""
    created_at: datetime
    """When it was created."""
    expires_at: datetime
    """When it is removed, unless an analysis of it has not finished by then."""
    n_pairs: int | None
    """Pairs; null while it is open."""
    x: ArrayView | None
    """Features of modality x; null while missing."""
    y: ArrayView | None
    """Features of modality y; null while missing."""
    groups: FileView | None
    """Group ids; null when none were sent."""
    covariates: FileView | None
    """Covariates; null when none were sent."""
    covariate_types: dict[str, LabelType]
    """Type of each covariate; empty without covariates, and while it is open."""
    join: JoinView | None
    """What became of the ids of the rows; null without any, and while it is open."""
    links: DatasetLinks
    """Where to go from here."""


class DatasetPage(WireModel):
    """Some datasets, newest first."""

    items: list[DatasetView]
    """The datasets."""
    next_cursor: str | None
    """Send it as `cursor` for those after them; null at the end."""


ON_ONE_LINE = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]+$"
IdColumn = Annotated[
    str, Field(json_schema_extra={"minLength": 1, "maxLength": MAX_NAME_CHARACTERS, "pattern": ON_ONE_LINE})
]
"""Held to that by `check_id_column`, whose sentence says more than a pattern."""


class OpenDataset(WireModel):
    """A dataset whose parts are sent one by one."""

    parts: list[Literal["x", "y", "groups", "covariates"]] = Field(["x", "y"], max_length=4)
    """The parts it will have; x and y always are among them."""
    covariate_types: dict[str, LabelType] | LabelType | None = None
    """Type of each covariate by name, or one type for all. Covariates of whole numbers need it."""
    id_column: IdColumn | None = None
    """Name of the column with the ids of the rows, on which x and y are joined when both have it; id if left out."""


class LabelSetLinks(WireModel):
    """Where to go from a label set."""

    self: str
    """This label set."""
    dataset: str
    """The dataset that it labels."""


class LabelSetView(WireModel):
    """A label set: labels for some or all rows of one dataset.  Immutable."""

    id: str
    """Its id."""
    dataset_id: str
    """The dataset that it labels."""
    created_at: datetime
    """When it was created."""
    n_labeled: int
    """Label rows."""
    labels: FileView
    """Labels."""
    rows: FileView | None
    """Row of each label; null when the labels cover every pair. Made here when labels were matched by ids."""
    label_types: dict[str, LabelType]
    """Type of each label column."""
    join: LabelJoinView | None
    """How the labels were matched to rows by ids; null if they were not."""
    links: LabelSetLinks
    """Where to go from here."""


class LabelSetPage(WireModel):
    """Some label sets of a dataset, newest first."""

    items: list[LabelSetView]
    """The label sets."""
    next_cursor: str | None
    """Send it as `cursor` for those after them; null at the end."""
