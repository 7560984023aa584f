"""The only numerical validation: what the core refuses, in words that say what to do.

`check_form` needs shapes, types and row numbers alone, so that it can run on memory-mapped arrays when they arrive;
`check_values` reads every value once, in chunks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.estimation.chunks import CHUNK_BYTES, row_chunks, row_hashes
from service.estimation.errors import (
    ConstantLabels,
    ConstantModality,
    InputError,
    InvalidOption,
    LabelCountMismatch,
    LabelRowOutOfRange,
    NonFiniteValues,
    RepeatedLabelRow,
    TooFewLabeledRows,
    TooFewPairs,
    UnpairedRows,
    UnsupportedType,
    ValuesTooLarge,
    WrongShape,
)
from service.estimation.labels import LabelColumn, varies
from service.estimation.moments import Array, Indices
from service.estimation.options import Options
from service.estimation.terms import Rule

MIN_PAIRS = 20
MIN_LABELED_ROWS = 10
COMPONENT_BOUNDS = (2, 500)
PCA_BOUNDS = (2, 2000)
MAGNITUDE_LIMIT = 1e100  # squares and their sums stay far from the largest double, 1.8e308

METHODS = ("reference",)


@dataclass(frozen=True)
class ValueSummary:
    """What one pass over a modality found."""

    constant_columns: Indices
    row_hashes: NDArray[np.int64]


def check_options(options: Options) -> None:
    """Refuse options outside their bounds.  Raises InvalidOption."""
    if options.method not in METHODS:
        raise InvalidOption(
            f"There is no method {str(options.method)[:40]!r}. Use one of: {', '.join(METHODS)}.", part="options"
        )
    if options.rule not in list(Rule):
        raise InvalidOption(
            f"There is no rule {str(options.rule)[:40]!r}. Use one of: {', '.join(Rule)}.", part="options"
        )
    for name, value, (low, high) in (
        ("n_components", options.n_components, COMPONENT_BOUNDS),
        ("pca_components", options.pca_components, PCA_BOUNDS),
    ):
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise InvalidOption(
                f"{name} is {str(value)[:40]}. Use a whole number from {low} to {high}.", part="options"
            )


def check_form(x: NDArray[Any], y: NDArray[Any], n_labels: int, rows: NDArray[Any] | None) -> Indices:
    """Refuse what shapes, types and row numbers show to be impossible; return the label rows (m,).

    Arguments: x (n, dx), y (n, dy); n_labels, the length of the label columns; rows, the 0-based row of each label,
    None when the labels cover all n rows in order.
    """
    for part, values in (("x", x), ("y", y)):
        _check_features(part, values)
    n = len(x)
    if len(y) != n:
        raise UnpairedRows(
            f"x has {n} rows and y has {len(y)}. Row i of x and row i of y must be the same sample: send equally many."
        )
    if n < MIN_PAIRS:
        raise TooFewPairs(f"There are {n} pairs. An estimate needs at least {MIN_PAIRS}: send more pairs.")
    if rows is None:
        if n_labels != n:
            raise LabelCountMismatch(
                f"There are {n_labels} labels for {n} pairs and no rows. Send one label per pair, or send `rows` with "
                "the row that each label belongs to.",
                part="labels",
            )
        return np.arange(n)
    return _check_rows(rows, n, n_labels)


def label_count(columns: Sequence[LabelColumn]) -> int:
    """How many rows the label columns have.  Raises WrongShape without a column."""
    if not columns:
        raise WrongShape("The labels have no column. Give at least one label column.", part="labels")
    return len(columns[0].values)


def check_values(part: str, values: NDArray[Any]) -> ValueSummary:
    """Read a modality once, in chunks; refuse NaN, infinities, overlarge values, and a modality that does not vary."""
    low = np.full(values.shape[1], np.inf)
    high = np.full(values.shape[1], -np.inf)
    hashes = np.empty(len(values), dtype=np.int64)
    bad_count, bad_first = 0, (0, 0)
    for start, (chunk,) in row_chunks((values,), CHUNK_BYTES):
        finite = np.isfinite(chunk)
        if not finite.all():
            if bad_count == 0:
                row, column = np.argwhere(~finite)[0]
                bad_first = (start + int(row), int(column))
            bad_count += int((~finite).sum())
        if bad_count:
            continue
        np.minimum(low, chunk.min(axis=0), out=low)
        np.maximum(high, chunk.max(axis=0), out=high)
        hashes[start : start + len(chunk)] = row_hashes(chunk)
    if bad_count:
        raise non_finite(part, bad_count, bad_first, "Remove those rows from x and y, or fill the values in.")
    largest = max(-low.min(), high.max())
    if largest > MAGNITUDE_LIMIT:
        raise too_large(part, largest)
    constant = np.flatnonzero(low == high)
    if len(constant) == values.shape[1]:
        raise not_varying(part)
    return ValueSummary(constant, hashes)


def non_finite(part: str, count: int, first: tuple[int, int], advice: str, kind: str = "NaN or infinite") -> InputError:
    """The refusal of `count` values that are not finite, the first at (row, column)."""
    return NonFiniteValues(
        f"{part} has {count} values that are {kind}, the first at row {first[0]}, column {first[1]} (counted from 0). "
        f"{advice}",
        part=part,
    )


def too_large(part: str, size: float) -> InputError:
    """The refusal of a value whose square leaves double precision."""
    return ValuesTooLarge(
        f"{part} has a value of size {size:.3g}, more than {MAGNITUDE_LIMIT:g}. "
        "Divide the features by a constant, or look for a marker of missing values.",
        part=part,
    )


def not_varying(part: str) -> InputError:
    """The refusal of a modality without a column that varies."""
    return ConstantModality(f"No column of {part} varies. Check that the right features were sent.", part=part)


def check_labeled_features(part: str, labeled: Array) -> None:
    """Refuse a modality that varies, but not among the labeled rows, which are all that the method looks at."""
    if not np.any(labeled != labeled[0]):
        raise ConstantModality(
            f"No column of {part} varies among the {len(labeled)} labeled rows. Label rows that differ in {part}.",
            part=part,
        )


def check_labels(columns: Sequence[LabelColumn]) -> tuple[LabelColumn, ...]:
    """Refuse NaN and infinities and labels none of whose columns varies; return the columns that vary."""
    for column in columns:
        if column.values.dtype.kind == "f":
            bad = np.flatnonzero(~np.isfinite(column.values))
            if len(bad):
                raise NonFiniteValues(
                    f"Label column {column.name!r} has {len(bad)} values that are NaN or infinite, the first at label "
                    f"{bad[0]} (counted from 0). Leave those rows out of labels and rows.",
                    part="labels",
                )
            largest = float(np.abs(column.values).max())
            if largest > MAGNITUDE_LIMIT:
                raise ValuesTooLarge(
                    f"Label column {column.name!r} has a value of size {largest:.3g}, more than "
                    f"{MAGNITUDE_LIMIT:g}. Divide the labels by a constant, or look for a marker of missing values.",
                    part="labels",
                )
    varying = tuple(column for column in columns if varies(column))
    if not varying:
        raise ConstantLabels(
            "No label column varies: " + ", ".join(repr(column.name) for column in columns[:10]) + ". "
            "Label rows that differ in what you care about.",
            part="labels",
        )
    return varying


def _check_features(part: str, values: NDArray[Any]) -> None:
    if values.ndim != 2:
        advice = " Use reshape(-1, 1) for a single feature." if values.ndim == 1 else ""
        raise WrongShape(
            f"{part} has {values.ndim} dimension{'s' if values.ndim != 1 else ''}. "
            f"Send a table of shape (pairs, features).{advice}",
            part=part,
        )
    if values.shape[1] == 0:
        raise WrongShape(f"{part} has no columns. Send at least one feature.", part=part)
    if values.dtype.kind not in "fiu" or values.dtype.itemsize > 8:
        raise UnsupportedType(
            f"{part} has type {values.dtype}. Send real numbers: float16, float32, float64 or integers.", part=part
        )


def _check_rows(rows: NDArray[Any], n: int, n_labels: int) -> Indices:
    if rows.ndim == 2 and rows.shape[1] == 1:
        rows = rows[:, 0]
    if rows.ndim != 1:
        raise WrongShape(f"rows has shape {rows.shape}. Send one row number per label.", part="rows")
    if rows.dtype.kind not in "iu":
        raise UnsupportedType(
            f"rows has type {rows.dtype}. Send whole row numbers, counted from 0; a mask becomes row numbers with "
            "numpy.flatnonzero(mask).",
            part="rows",
        )
    if len(rows) != n_labels:
        raise LabelCountMismatch(
            f"There are {n_labels} labels and {len(rows)} rows. Send exactly one row number per label.", part="rows"
        )
    if len(rows) < MIN_LABELED_ROWS:
        raise TooFewLabeledRows(
            f"There are {len(rows)} labeled rows. An estimate needs at least {MIN_LABELED_ROWS}: label more rows.",
            part="rows",
        )
    outside = np.flatnonzero((rows < 0) | (rows >= n))
    if len(outside):
        raise LabelRowOutOfRange(
            f"{len(outside)} label rows lie outside the {n} pairs; the first is {rows[outside[0]]}. "
            f"Row numbers count from 0 to {n - 1}.",
            part="rows",
        )
    values, counts = np.unique(rows, return_counts=True)
    if counts.max() > 1:
        raise RepeatedLabelRow(
            f"{int((counts > 1).sum())} rows are labeled more than once; the first is row {values[counts > 1][0]}. "
            "Send one label per row.",
            part="rows",
        )
    return rows.astype(np.int64)
