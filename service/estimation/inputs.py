"""Validation of options, features, rows and labels: what the core refuses, in words that say what to do.

`check_form` needs shapes, types and row numbers alone, so that it can run on memory-mapped arrays when they arrive;
`check_values` reads every value once, in chunks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
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
    MissingLabelValue,
    NonFiniteValues,
    RepeatedLabelRow,
    TooFewLabeledRows,
    TooFewPairs,
    UnpairedRows,
    UnsupportedType,
    ValuesTooLarge,
    WrongShape,
)
from service.estimation.labels import LabelColumn, present_places, present_values, varies
from service.estimation.moments import Array, Indices
from service.estimation.options import UNSCALED, Options, Scalings
from service.estimation.roles import LABELS, Role
from service.estimation.terms import Method, Missing, Rule, Scaling

MIN_PAIRS = 20
MIN_LABELED_ROWS = 10  # of the pairs, and of every label column that is used
COMPONENT_BOUNDS = (2, 500)
PCA_BOUNDS = (2, 2000)
EMBEDDING_BOUNDS = (1, 2000)
ALPHA_BOUNDS = (0.0001, 0.5)
SEED_BOUNDS = (0, 2**32 - 1)
INTERVAL_BOUNDS = (0.5, 0.99)
MAGNITUDE_LIMIT = 1e100  # squares and their sums stay far from the largest double, 1.8e308


@dataclass(frozen=True)
class ValueSummary:
    """What one pass over a modality found."""

    constant_columns: Indices
    row_hashes: NDArray[np.int64]


def check_options(options: Options) -> None:
    """Refuse options outside their bounds, and those that the method has no use for.  Raises InvalidOption."""
    check_bounds(options)
    if options.method == Method.REFERENCE:
        _check_published(options)


def check_bounds(options: Options) -> None:
    """Refuse options outside their bounds, whatever the method.  Raises InvalidOption."""
    _check_word("method", options.method, Method)
    _check_word("rule", options.rule, Rule)
    _check_word("missing", options.missing, Missing)
    if not isinstance(options.scaling, Scalings):
        raise InvalidOption("scaling says nothing of x and y. Use Scalings(x=..., y=...).", part="options")
    _check_word("scaling.x", options.scaling.x, Scaling)
    _check_word("scaling.y", options.scaling.y, Scaling)
    _check_whole("n_components", options.n_components, COMPONENT_BOUNDS)
    _check_whole("seed", options.seed, SEED_BOUNDS)
    if options.pca_components is not None:
        _check_whole("pca_components", options.pca_components, PCA_BOUNDS)
    if options.embedding_dim is not None:
        _check_whole("embedding_dim", options.embedding_dim, EMBEDDING_BOUNDS)
    _check_real("alpha", options.alpha, ALPHA_BOUNDS)
    _check_real("interval_level", options.interval_level, INTERVAL_BOUNDS)
    if options.pca_variance is not None and not (_is_real(options.pca_variance) and 0 < options.pca_variance <= 1):
        raise InvalidOption(
            f"pca_variance is {str(options.pca_variance)[:40]}. Use a number above 0 and at most 1.", part="options"
        )


def check_form(x: NDArray[Any], y: NDArray[Any], n_labels: int, rows: NDArray[Any] | None) -> Indices:
    """Refuse what shapes, types and row numbers show to be impossible; return the label rows (m,).

    Arguments: x (n, dx), y (n, dy); n_labels, the length of the label columns; rows, the 0-based row of each label,
    None when the labels cover all n rows in order.
    """
    return check_label_rows(check_pairs(x, y), n_labels, rows)


def check_pairs(x: NDArray[Any], y: NDArray[Any]) -> int:
    """Refuse features whose shapes or types cannot be a dataset's; return the number of pairs."""
    for part, values in (("x", x), ("y", y)):
        check_features(part, values)
    n = len(x)
    if len(y) != n:
        raise UnpairedRows(
            f"x has {n} rows and y has {len(y)}. Row i of x and row i of y must be the same sample: send equally many."
        )
    if n < MIN_PAIRS:
        raise TooFewPairs(f"There are {n} pairs. An estimate needs at least {MIN_PAIRS}: send more pairs.")
    return n


def check_label_rows(n: int, n_labels: int, rows: NDArray[Any] | None) -> Indices:
    """Refuse rows that cannot be those of `n_labels` labels of n pairs; return the label rows (m,)."""
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
    """Refuse infinities and labels none of whose columns can be used; return the columns that can."""
    check_finite_columns(columns, LABELS)
    used = tuple(column for column in columns if is_usable(column))
    if used:
        return used
    names = ", ".join(repr(column.name) for column in columns[:10])
    if all(is_sparse(column) for column in columns):
        raise TooFewLabeledRows(
            f"No label column has {MIN_LABELED_ROWS} values: {names}. Label more rows.",
            part="labels",
        )
    raise ConstantLabels(
        f"No label column varies: {names}. Label rows that differ in what you care about.", part="labels"
    )


def is_usable(column: LabelColumn) -> bool:
    """Whether enough label rows have this column, and differ in it."""
    return not is_sparse(column) and varies(column)


def is_sparse(column: LabelColumn) -> bool:
    """Whether fewer label rows have this column than an estimate can be made from."""
    return len(present_values(column)) < MIN_LABELED_ROWS


def check_complete(columns: Sequence[LabelColumn], method: Method) -> None:
    """Refuse missing values in the label columns that would be used, if the method needs every one."""
    if method != Method.REFERENCE:
        return
    for column in columns:
        if column.present is not None and is_usable(column):
            missing = np.flatnonzero(~column.present)
            raise MissingLabelValue(
                f"Label column {column.name!r} has no value for {len(missing)} of {len(column.values)} labels, the "
                f"first at label {missing[0]} (counted from 0). The published procedure needs every label: leave those "
                "rows out of labels and rows, or use method calibrated.",
                part="labels",
            )


def check_finite_columns(columns: Sequence[LabelColumn], role: Role) -> None:
    """Refuse NaN and infinities among the values that are present, and overlarge ones."""
    for column in columns:
        values = present_values(column)
        if values.dtype.kind != "f" or not len(values):
            continue
        what = f"{role.column.capitalize()} {column.name!r}"
        finite = np.isfinite(values)
        if not finite.all():
            raise NonFiniteValues(
                f"{what} has {int((~finite).sum())} values that are NaN or infinite, the first at {role.entry} "
                f"{present_places(column)[~finite][0]} (counted from 0). Mend them, or leave those rows out.",
                part=role.part,
            )
        largest = float(np.abs(values).max())
        if largest > MAGNITUDE_LIMIT:
            raise ValuesTooLarge(
                f"{what} has a value of size {largest:.3g}, more than {MAGNITUDE_LIMIT:g}. Divide the {role.part} by "
                "a constant, or look for a marker of missing values.",
                part=role.part,
            )


def _check_word(name: str, value: str, words: type[StrEnum]) -> None:
    if value not in list(words):
        raise InvalidOption(f"There is no {name} {str(value)[:40]!r}. Use one of: {', '.join(words)}.", part="options")


def _check_whole(name: str, value: int, bounds: tuple[int, int]) -> None:
    low, high = bounds
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InvalidOption(f"{name} is {str(value)[:40]}. Use a whole number from {low} to {high}.", part="options")


def _check_real(name: str, value: float, bounds: tuple[float, float]) -> None:
    low, high = bounds
    if not (_is_real(value) and low <= value <= high):
        raise InvalidOption(f"{name} is {str(value)[:40]}. Use a number from {low} to {high}.", part="options")


def _is_real(value: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check_published(options: Options) -> None:
    """Refuse what the published procedure has no step for."""
    for name, chosen, does in (
        ("pca_variance", options.pca_variance is not None, "does not choose principal components by variance"),
        ("scaling", options.scaling != UNSCALED, "does not scale"),
        ("missing", options.missing != Missing.REFUSE, "does not accept missing features"),
    ):
        if chosen:
            raise InvalidOption(
                f"The published procedure {does}: leave out {name}, or use method calibrated.", part="options"
            )


def check_features(part: str, values: NDArray[Any]) -> None:
    """Refuse the features of one modality whose shape or type cannot be estimated from."""
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
