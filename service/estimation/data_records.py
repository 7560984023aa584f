"""What a report was made from: the data as they were understood, and the provenance."""

from __future__ import annotations

from dataclasses import dataclass

from service.estimation.labels import LabelType
from service.estimation.options import Options
from service.estimation.record import Record


@dataclass(frozen=True)
class ClassCount(Record):
    """How often a class occurs in its column."""

    name: str
    """The class."""
    count: int
    """Its rows."""


@dataclass(frozen=True)
class LabelSummary(Record):
    """One label column as it was understood."""

    name: str
    """The column's name."""
    type: LabelType
    """categorical (one-hot encoded) or numeric."""
    classes: tuple[ClassCount, ...] | None
    """Classes with their counts; null for a numeric column."""
    present: int
    """Label rows that have it; the others count as missing."""
    used: bool
    """False for a column that was dropped: it does not vary, or too few rows have it."""


@dataclass(frozen=True)
class CovariateSummary(Record):
    """One covariate as it was understood."""

    name: str
    """The covariate's name."""
    type: LabelType
    """categorical (one-hot encoded) or numeric."""
    classes: tuple[ClassCount, ...] | None
    """Classes with their counts among all pairs, (missing) for those without a value; null for a numeric covariate."""


@dataclass(frozen=True)
class DataSummary(Record):
    """The data that the report speaks of."""

    n_pairs: int
    """Pairs in the dataset."""
    n_labeled: int
    """Pairs with a label."""
    n_pairs_used: int
    """Pairs that the method used for the spectra; the published procedure uses the labeled ones."""
    n_missing_x: int
    """Missing values of x, which `missing` says what to do about."""
    n_missing_y: int
    """Missing values of y."""
    n_features_x: int
    """Columns of x."""
    n_features_y: int
    """Columns of y."""
    n_reduced_x: int
    """Principal components of x that were kept."""
    n_reduced_y: int
    """Principal components of y that were kept."""
    labels: tuple[LabelSummary, ...]
    """Label columns, in the order given."""
    n_groups: int | None
    """Groups that the pairs belong to; null when none were sent."""
    covariates: tuple[CovariateSummary, ...]
    """Covariates, in the order given."""


@dataclass(frozen=True)
class Digests(Record):
    """SHA-256 of the input. An array's is that of its C-ordered .npy file, as `numpy.save` writes it."""

    x: str
    """Features of modality x."""
    y: str
    """Features of modality y."""
    labels: str
    """Names, types and values of the label columns, as compact JSON; a missing value is null."""
    rows: str
    """Label rows as 64-bit integers."""
    groups: str | None
    """Group ids, as compact JSON; null when none were sent."""
    covariates: str | None
    """Covariates, like `labels`; null when none were sent."""


@dataclass(frozen=True)
class Versions(Record):
    """Versions of what computed the report."""

    phasegate: str
    """This software."""
    python: str
    """The interpreter."""
    numpy: str
    """numpy."""
    scipy: str
    """scipy."""
    blas: str
    """BLAS libraries that numpy and scipy loaded, each with its version and the processor family that it chose."""


@dataclass(frozen=True)
class Seeds(Record):
    """Seeds of the published procedure's two shuffles."""

    folds: int
    """Seed of the cross-validation folds."""
    permutations: int
    """Seed of the label shuffles of the permutation rule."""


@dataclass(frozen=True)
class Provenance(Record):
    """What the report was made from and with: equal provenance, equal report."""

    digests: Digests
    """Digests of the input."""
    options: Options
    """Options, defaults filled in."""
    versions: Versions
    """Software versions."""
    seed: Seeds | None
    """Seeds of the published procedure; null with method calibrated, which takes the one of the options."""
    threads: int
    """BLAS threads. Method calibrated always computes with one; with method reference other numbers of threads may
    change the last digits."""
