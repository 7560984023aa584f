"""Rows that are not independent of each other although nothing says so: repeated rows, labels that are identifiers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.estimation.covariates import MISSING_CLASS
from service.estimation.inputs import ValueSummary
from service.estimation.labels import LabelColumn, LabelType, present_values
from service.estimation.moments import Indices
from service.estimation.report_warning import ReportWarning

REPEATED_SHARE = 0.05  # of the distinct pairs that repeat a row of one modality, from which they want a group
REPEATED_ROWS = 10
MIN_DISTINCT = 20  # fewer distinct rows than this are coarse features, not samples that return
SMALL_GROUP = 6  # mean rows of a class up to which many classes look like identifiers
SAME_SIZE = 5  # largest class over the median one, up to which classes look like identifiers
MANY_CLASSES = 20
NAMED_CLASSES = 5  # fewer classes of a column whose name speaks of individuals cannot be held out
INDIVIDUALS = re.compile(
    r"(?<![a-z])(subject|patient|participant|person|individual|infant|child|animal|mouse|donor|speaker|writer|user|"
    r"customer|family|specimen|session)(_?(id|no|nr|number|index))?$",
    re.IGNORECASE,
)


def repeated_rows_need_groups(x: ValueSummary, y: ValueSummary, labeled: Indices) -> Iterator[ReportWarning]:
    """Rows return: those of one modality beside other rows of the other, or whole pairs, in large numbers."""
    for part, own, other in (("x", x, y), ("y", y, x)):
        for rows, whose in ((np.arange(len(own.row_hashes)), "pairs"), (labeled, "labeled pairs")):
            found = _repeated(own.row_hashes[rows], other.row_hashes[rows])
            if found is None:
                continue
            n_repeating, n_distinct, place, most = found
            yield ReportWarning(
                "repeated_rows_need_groups",
                f"{n_repeating} {whose} repeat a row of {part} beside another row of the other modality: there are "
                f"{n_distinct} distinct rows of {part}, and row {rows[place]} (counted from 0) occurs {most} times. "
                "Pairs that share a sample are not independent: send its number as `groups`, so that they are held out "
                "together. If such a row stands for samples that failed, leave those pairs out.",
            )
            break
    n_pairs, n_distinct = len(x.row_hashes), len(_pairs(x.row_hashes, y.row_hashes))
    if n_pairs - n_distinct >= max(REPEATED_ROWS, REPEATED_SHARE * n_pairs):
        yield ReportWarning(
            "repeated_rows_need_groups",
            f"Only {n_distinct} of {n_pairs} pairs are distinct: what was sampled more than once counts as if it had "
            "been measured more often. Send each pair once, or, if equal pairs were measured one by one, send "
            "`groups` so that those of one sample are held out together.",
        )


def identifiers_need_groups(
    labels: Sequence[LabelColumn], covariates: Sequence[LabelColumn]
) -> Iterator[ReportWarning]:
    """A label column or covariate that names subjects: a name that says so, or many numbered classes of a few rows."""
    for kind, column in (*(("Label column", c) for c in labels), *(("Covariate", c) for c in covariates)):
        ids, sizes = np.unique(_identifiers(column), return_counts=True)
        if len(ids) and _looks_like_identifiers(column, ids, sizes):
            yield ReportWarning(
                "repeated_rows_need_groups",
                f"{kind} {column.name!r} has {len(ids)} values in {sizes.sum()} rows, up to {sizes.max()} rows "
                "of one value: it looks like an identifier of subjects that were measured several times, whose rows "
                "are not independent. Send it as `groups`, so that they are held out together, and not as a label.",
            )


def _repeated(own: NDArray[np.int64], other: NDArray[np.int64]) -> tuple[int, int, int, int] | None:
    """Distinct pairs beyond the distinct rows; those; the place and the number of the most frequent; or None."""
    _, first, counts = np.unique(own, return_index=True, return_counts=True)
    n_pairs = len(_pairs(own, other))
    n_repeating = n_pairs - len(first)
    if len(first) < MIN_DISTINCT or n_repeating < max(REPEATED_ROWS, REPEATED_SHARE * n_pairs):
        return None
    # The earliest on ties: hashes differ from process to process, and their order with them.
    most = int(counts.max())
    return n_repeating, len(first), int(first[counts == most].min()), most


def _pairs(x: NDArray[np.int64], y: NDArray[np.int64]) -> NDArray[np.int64]:
    """The distinct pairs of hashes."""
    return np.unique(np.stack([x, y], axis=1), axis=0)


def _identifiers(column: LabelColumn) -> NDArray[Any]:
    """The values that may be identifiers: text and whole numbers, without those that are missing."""
    values: NDArray[Any] = present_values(column)
    if values.dtype.kind in "UT":
        named: NDArray[Any] = values[values != MISSING_CLASS]
        return named
    # A numeric covariate that lacks values is kept as real numbers.
    whole = values.dtype.kind in "iu" or (values.dtype.kind == "f" and bool(np.all(values == np.floor(values))))
    return values if whole else values[:0]


def _looks_like_identifiers(column: LabelColumn, ids: NDArray[Any], sizes: NDArray[np.int64]) -> bool:
    mean = float(sizes.mean())
    if mean < 1.5:  # nearly every row has a value of its own
        return False
    if INDIVIDUALS.search(column.name) and len(sizes) >= NAMED_CLASSES:
        return True
    small = mean <= SMALL_GROUP and bool(sizes.max() <= SAME_SIZE * np.median(sizes))
    numbered = column.type is LabelType.CATEGORICAL and all(re.search("[0-9]", str(value)) for value in ids)
    return small and len(sizes) >= MANY_CLASSES and numbered
