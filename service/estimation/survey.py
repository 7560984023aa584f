"""The first pass over the features: what is missing, what does not vary, means, scales and sums of products."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.estimation import inputs
from service.estimation.chunks import CHUNK_BYTES, kept_chunks, row_chunks, row_hashes
from service.estimation.column_sums import ColumnSums
from service.estimation.errors import InputError, MissingColumn, TooFewPairs
from service.estimation.inputs import MAGNITUDE_LIMIT, MIN_PAIRS, ValueSummary
from service.estimation.moments import Array, Indices
from service.estimation.terms import Missing

PRODUCTS_LIMIT = 4096  # columns up to which sums of products are kept: 128 MiB
ROUNDING_STEPS = 8  # a column within so many units in the last place of its largest value does not vary

Kept = NDArray[np.bool_]


@dataclass(frozen=True)
class ModalitySurvey:
    """What one reading of a modality found, over the pairs that count, missing values filled in by column means."""

    part: str
    n_pairs: int  # that count
    kept: Kept | None  # (n,), which they are; None: all
    summary: ValueSummary
    means: Array  # (d,)
    deviations: Array  # (d,), standard deviations over n; 0 for a column that does not vary
    n_missing: Indices  # (d,), missing values of each column over all n pairs
    units: Array  # (d,), a power of two near each column's largest deviation
    products: Array | None  # (d, d), sums of products of centred columns, each in its unit; None when not kept

    @property
    def varying(self) -> Indices:
        """The columns that vary."""
        return np.flatnonzero(self.deviations > 0)

    def centred(self, chunk: Array) -> Array:
        """Rows (m, d) minus the means, in place; a missing value becomes 0, its column's mean."""
        chunk -= self.means
        np.copyto(chunk, 0.0, where=np.isnan(chunk))
        return chunk


@dataclass(frozen=True)
class Survey:
    """What one reading of x and y together found."""

    x: ModalitySurvey
    y: ModalitySurvey
    missing: Missing
    n_pairs: int  # that count
    kept: Kept | None  # (n,), which they are; None: all


def survey(
    x: NDArray[Any], y: NDArray[Any], *, missing: Missing | str = Missing.REFUSE, chunk_bytes: int = CHUNK_BYTES
) -> Survey:
    """Read x (n, dx) and y (n, dy) once, together, in chunks of rows; memory does not grow with n.

    `missing` says what becomes of NaN: `refuse` refuses them; `drop_rows` leaves a pair with one out, in x and in y;
    `mean` fills in the column's mean, for which the features are read a second time when any is missing.  Infinities
    are always refused.  Sums of products are kept for a modality with at most as many columns as pairs and at most
    PRODUCTS_LIMIT of them.

    Raises: NonFiniteValues, ValuesTooLarge, MissingColumn, ConstantModality, TooFewPairs; ValueError for another
    `missing`.
    """
    missing = Missing(missing)
    n = len(x)
    kept = np.ones(n, dtype=bool)
    readings = [_Reading("x", x, missing), _Reading("y", y, missing)]
    for start, chunks in row_chunks((x, y), chunk_bytes):
        gaps = [reading.screen(start, chunk) for reading, chunk in zip(readings, chunks, strict=True)]
        if any(reading.refused for reading in readings):
            continue
        numbers = np.arange(start, start + len(chunks[0]))
        if missing is Missing.DROP_ROWS:
            whole = ~np.any(gaps, axis=0)
            kept[numbers] = whole
            if not whole.all():
                numbers, chunks = numbers[whole], [chunk[whole] for chunk in chunks]
        for reading, chunk in zip(readings, chunks, strict=True):
            reading.add(numbers, chunk)
    for reading in readings:
        reading.refuse_values()
    n_kept = int(kept.sum())
    if n_kept < MIN_PAIRS:
        raise TooFewPairs(
            f"{n - n_kept} of {n} pairs have a missing value and were left out; {n_kept} are left. An estimate needs "
            f"at least {MIN_PAIRS}: send more pairs, leave out the columns with missing values, or set the option "
            "`missing` to mean."
        )
    _read_again([reading for reading in readings if reading.filled], chunk_bytes)
    rows = None if n_kept == n else kept
    surveys = [reading.finish(n_kept, rows) for reading in readings]
    return Survey(surveys[0], surveys[1], missing, n_kept, rows)


def _read_again(readings: Sequence[_Reading], chunk_bytes: int) -> None:
    """Read modalities with filled-in values once more: only now are the means known that are filled in."""
    for reading in readings:
        reading.sums.restart_about_means()
        for _, (chunk,) in kept_chunks((reading.values,), None, chunk_bytes):
            reading.sums.add(chunk)


class _Reading:
    """One modality while it is being read."""

    def __init__(self, part: str, values: NDArray[Any], missing: Missing) -> None:
        n, n_columns = values.shape
        self.part = part
        self.values = values
        self.missing = missing
        self.sums = ColumnSums(n_columns, products=n_columns <= min(n, PRODUCTS_LIMIT))
        self.n_missing = np.zeros(n_columns, dtype=np.int64)
        self.largest = 0.0
        self.bad_count = 0
        self.bad_first = (0, 0)
        self.hashes = np.arange(n, dtype=np.int64)  # a row that does not count or has a gap repeats no other

    @property
    def refused(self) -> bool:
        """Whether something has been seen that ends in a refusal."""
        return self.bad_count > 0 or self.largest > MAGNITUDE_LIMIT

    @property
    def filled(self) -> bool:
        """Whether values were missing that column means stand for."""
        return self.missing is Missing.MEAN and bool(self.n_missing.any())

    def screen(self, start: int, chunk: Array) -> NDArray[np.bool_]:
        """Count what is not finite; return which rows of the chunk have a missing value."""
        finite = np.isfinite(chunk)
        if finite.all():
            self.largest = max(self.largest, float(-chunk.min()), float(chunk.max()))
            return np.zeros(len(chunk), dtype=bool)
        missing = np.isnan(chunk)
        bad = ~finite if self.missing is Missing.REFUSE else ~finite & ~missing
        if bad.any():
            if self.bad_count == 0:
                row, column = np.argwhere(bad)[0]
                self.bad_first = (start + int(row), int(column))
            self.bad_count += int(bad.sum())
        self.n_missing += missing.sum(axis=0)
        values = chunk[finite]
        if len(values):
            self.largest = max(self.largest, float(-values.min()), float(values.max()))
        return np.asarray(missing.any(axis=1))

    def add(self, numbers: Indices, chunk: Array) -> None:
        """Take rows that count, with their row numbers, into the sums."""
        whole = np.flatnonzero(~np.isnan(chunk).any(axis=1)) if self.n_missing.any() else slice(None)
        self.hashes[numbers[whole]] = row_hashes(chunk[whole])
        self.sums.add(chunk)

    def refuse_values(self) -> None:
        """Raise what the values call for."""
        part = self.part
        if self.bad_count:
            raise self._non_finite()
        if self.largest > MAGNITUDE_LIMIT:
            raise inputs.too_large(part, self.largest)
        empty = np.flatnonzero(self.n_missing == len(self.values))
        if self.missing is Missing.MEAN and len(empty):
            raise MissingColumn(
                f"{len(empty)} columns of {part} have no value at all, the first is column {empty[0]} (counted from "
                "0): there is no mean to fill in. Leave those columns out.",
                part=part,
            )

    def _non_finite(self) -> InputError:
        mend = "Remove those rows from x and y, or fill the values in."
        if self.missing is not Missing.REFUSE:
            return inputs.non_finite(
                self.part,
                self.bad_count,
                self.bad_first,
                f"The option `missing` speaks of NaN only. {mend}",
                kind="infinite",
            )
        if self.n_missing.any():
            mend = (
                "Remove those rows from x and y, fill the values in, or set the option `missing` to drop_rows or mean, "
                "which leave out or fill in NaN."
            )
        return inputs.non_finite(self.part, self.bad_count, self.bad_first, mend)

    def finish(self, n_kept: int, kept: Kept | None) -> ModalitySurvey:
        """What was found.  Raises ConstantModality."""
        sums = self.sums
        means, deviations, products = sums.finish()
        largest = np.maximum(np.abs(sums.low), np.abs(sums.high))
        constant = sums.high - sums.low <= ROUNDING_STEPS * np.spacing(largest)
        if constant.all():
            raise inputs.not_varying(self.part)
        deviations[constant] = 0.0
        return ModalitySurvey(
            part=self.part,
            n_pairs=n_kept,
            kept=kept,
            summary=ValueSummary(np.flatnonzero(constant), self.hashes),
            means=means,
            deviations=deviations,
            n_missing=self.n_missing,
            units=sums.units.copy(),
            products=products,
        )
