"""Datasets and label sets: what is uploaded once and analysed as often as wanted.  Immutable once ready."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from service.estimation.labels import LabelType

FEATURES = ("x", "y")
ID_COLUMN = "id"  # what the ids of rows are called, unless something else is said
SHOWN_IDS = 5  # of those that were not matched, in records and messages
SHOWN_NAMES = 20  # of arrays and columns in the record of a file
BESIDE = ("groups", "covariates")  # what a dataset may have beside its features, a line for every pair
STORED_PARTS = (*FEATURES, *BESIDE, "x_ids", "y_ids", "ids")  # what files a dataset may have
TypesAsSaid = dict[str, LabelType] | LabelType | None


class DatasetState(StrEnum):
    """open -> ready, when the last of its parts has come."""

    OPEN = "open"
    READY = "ready"


class FileFormat(StrEnum):
    """In what format a file was sent."""

    NPY = "npy"
    NPZ = "npz"
    SAFETENSORS = "safetensors"
    PARQUET = "parquet"
    ARROW = "arrow"
    CSV = "csv"


@dataclass(frozen=True)
class Understood:
    """What was made of a file: its format, and what of it was taken.

    Of names no more than SHOWN_NAMES are kept, and their number.
    """

    format: FileFormat
    n_rows: int
    taken: tuple[str, ...]
    """Arrays or columns; none where the format gives no names."""
    n_taken: int
    left_out: tuple[str, ...] = ()
    n_left_out: int = 0
    id_column: str | None = None
    """The column, or array, that was found to hold the ids of the rows."""


@dataclass(frozen=True)
class Received:
    """A file as it was sent, of which something else is stored: size in bytes, SHA-256 in hex, what was made of it."""

    size_bytes: int
    sha256: str
    understood: Understood


@dataclass(frozen=True)
class StoredFile:
    """A file in the store: its name there, size in bytes and SHA-256 in hex.  It is what was sent, unless `received`
    says otherwise.
    """

    name: str
    size_bytes: int
    sha256: str
    received: Received | None = field(default=None, kw_only=True)

    @property
    def sent_sha256(self) -> str:
        """SHA-256, in hex, of what was sent."""
        return self.received.sha256 if self.received else self.sha256

    @property
    def sent_bytes(self) -> int:
        """Size of what was sent."""
        return self.received.size_bytes if self.received else self.size_bytes

    @property
    def format(self) -> FileFormat:
        """In what format it was sent."""
        if self.received:
            return self.received.understood.format
        return FileFormat.CSV if self.name.endswith(".csv") else FileFormat.NPY


@dataclass(frozen=True)
class StoredArray(StoredFile):
    """An uploaded array, with what its header says."""

    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class Join:
    """How the rows of x and y were paired by their ids, in the order of x; of the ids that only one has, the first."""

    id_column: str
    n_matched: int
    n_only_x: int
    n_only_y: int
    only_x: tuple[str, ...]
    only_y: tuple[str, ...]


@dataclass(frozen=True)
class LabelJoin:
    """How labels were matched to the rows of their dataset by ids; of those of no row, the first."""

    id_column: str
    n_matched: int
    n_left_out: int
    left_out: tuple[str, ...]


@dataclass(frozen=True)
class Dataset:
    """The features of both modalities, and what else is known of every pair."""

    version: int
    id: str
    created_at: datetime
    expires_at: datetime
    parts: tuple[str, ...]
    """The parts it is made of, here or still to come: x, y, and perhaps groups and covariates."""
    x: StoredArray | None = None
    y: StoredArray | None = None
    groups: StoredFile | None = None
    covariates: StoredFile | None = None
    covariate_types: TypesAsSaid = None
    """As said while it is open; the type of each covariate by name once it is ready."""
    id_column: str | None = None
    """What the ids of rows are called; None if that was not said, and they are called ID_COLUMN."""
    x_ids: StoredFile | None = None
    """Ids of the rows of x, if it has any; only while the dataset is open, like `y_ids`."""
    y_ids: StoredFile | None = None
    ids: StoredFile | None = None
    """Ids of the pairs, if x and y were joined on them."""
    join: Join | None = None

    @property
    def inputs(self) -> dict[str, StoredFile]:
        """The parts that are here."""
        held = {"x": self.x, "y": self.y, "groups": self.groups, "covariates": self.covariates}
        return {part: file for part, file in held.items() if file is not None}

    @property
    def files(self) -> dict[str, StoredFile]:
        """All that is stored: its parts, and the ids of their rows."""
        held = {"x_ids": self.x_ids, "y_ids": self.y_ids, "ids": self.ids}
        return self.inputs | {name: file for name, file in held.items() if file is not None}

    @property
    def missing_parts(self) -> tuple[str, ...]:
        """The parts still to come."""
        return tuple(part for part in self.parts if part not in self.files)

    @property
    def state(self) -> DatasetState:
        """Ready when no part is missing."""
        return DatasetState.OPEN if self.missing_parts else DatasetState.READY

    @property
    def n_pairs(self) -> int | None:
        """Pairs; None before it is ready."""
        return self.x.shape[0] if self.x and not self.missing_parts else None

    @property
    def typed_covariates(self) -> dict[str, LabelType]:
        """Type of each covariate of a ready dataset."""
        return self.covariate_types if isinstance(self.covariate_types, dict) and not self.missing_parts else {}


@dataclass(frozen=True)
class LabelSet:
    """Labels for some or all rows of one dataset."""

    version: int
    id: str
    dataset_id: str
    created_at: datetime
    labels: StoredFile
    rows: StoredFile | None
    label_types: dict[str, LabelType]
    n_labeled: int
    """Label rows, those without any value included."""
    join: LabelJoin | None = None

    @property
    def files(self) -> dict[str, StoredFile]:
        """Its parts."""
        return {"labels": self.labels} | ({"rows": self.rows} if self.rows else {})
