"""Look before an estimate: the accidents that real data have had, found in the two passes, most serious first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.estimation import inputs
from service.estimation.evidence import coupling_evidence, pairing_not_better_than_shuffled
from service.estimation.feature_warnings import collinear_columns, heavy_tails, missing_values, unequal_scales
from service.estimation.labels import LabelColumn
from service.estimation.leakage import copied_columns, labels_linear_in_one_modality, near_copy
from service.estimation.options import Options
from service.estimation.preparation import Prepared, prepare
from service.estimation.record import Record
from service.estimation.repeats import identifiers_need_groups, repeated_rows_need_groups
from service.estimation.report_warning import ReportWarning
from service.estimation.warning_codes import ORDER, SERIOUS
from service.estimation.warnings import (
    class_imbalance,
    constant_columns,
    constant_labels,
    duplicate_rows,
    few_labels,
    few_pairs,
    rare_classes,
    sparse_labels,
)


@dataclass(frozen=True)
class PreflightData(Record):
    """The data that a preflight speaks of."""

    n_pairs: int
    """Pairs in the dataset."""
    n_pairs_used: int
    """Pairs that were looked at: those without a missing value when such pairs are left out."""
    n_labeled: int
    """Pairs with a label in at least one column, among those looked at."""
    n_features_x: int
    """Columns of x."""
    n_features_y: int
    """Columns of y."""
    n_missing_x: int
    """Missing values of x."""
    n_missing_y: int
    """Missing values of y."""
    rank_x: int
    """Principal components of x that vary."""
    rank_y: int
    """Principal components of y that vary."""
    n_groups: int | None
    """Groups of rows that belong together; null without groups."""
    labels: tuple[str, ...]
    """Names of the label columns."""


@dataclass(frozen=True)
class Preflight(Record):
    """What was found before an estimate."""

    data: PreflightData
    """Sizes and labels."""
    serious: bool
    """Whether a warning says that an estimate would be wrong, not merely weak."""
    warnings: tuple[ReportWarning, ...]
    """What was found, most serious first."""


def pairing(prepared: Prepared) -> Iterator[ReportWarning]:
    """The pairs give no sign that x and y are coupled at all."""
    moments = prepared.reduction.moments
    found = coupling_evidence(
        moments.counts, moments.first, moments.second, moments.n_x, grouped=prepared.groups is not None
    )
    yield from pairing_not_better_than_shuffled(found)


def preflight(prepared: Prepared, beside: Sequence[ReportWarning] = ()) -> tuple[ReportWarning, ...]:
    """Every warning that the input calls for and those found `beside`, most serious first."""
    found = [*beside, *_found(prepared)]
    return tuple(sorted(found, key=lambda warning: ORDER.get(warning.code, len(ORDER))))


def check(
    x: NDArray[Any],
    y: NDArray[Any],
    labels: Sequence[LabelColumn],
    rows: NDArray[Any] | None = None,
    options: Options | None = None,
    *,
    groups: NDArray[Any] | None = None,
    covariates: Sequence[LabelColumn] = (),
) -> Preflight:
    """Run the preflight alone: both passes over the features, no estimate.

    Arguments: as `estimate` takes them.  Of the options `scaling`, `missing` and `seed` count, whatever the method.

    Raises: errors.InputError for input that cannot be estimated, errors.NumericalFailure.
    """
    options = options or Options()
    inputs.check_bounds(options)
    prepared = prepare(x, y, labels, rows, options, groups=groups, covariates=covariates)
    warnings = preflight(prepared, tuple(pairing(prepared)))
    return Preflight(
        data=PreflightData(
            n_pairs=len(x),
            n_pairs_used=prepared.survey.n_pairs,
            n_labeled=len(prepared.labeled),
            n_features_x=x.shape[1],
            n_features_y=y.shape[1],
            n_missing_x=int(prepared.survey.x.n_missing.sum()),
            n_missing_y=int(prepared.survey.y.n_missing.sum()),
            rank_x=prepared.basis_x.rank,
            rank_y=prepared.basis_y.rank,
            n_groups=None if groups is None else len(np.unique(groups)),
            labels=tuple(column.name for column in labels),
        ),
        serious=any(warning.code in SERIOUS for warning in warnings),
        warnings=warnings,
    )


def _found(prepared: Prepared) -> Iterator[ReportWarning]:
    x, y = prepared.survey.x, prepared.survey.y
    reduction, targets = prepared.reduction, prepared.targets
    used = prepared.used
    n_pairs, n_used = len(x.summary.row_hashes), prepared.survey.n_pairs
    n_features = (len(x.means), len(y.means))
    for part, scores, correlations in (
        ("x", reduction.labeled_x, reduction.label_correlations_x),
        ("y", reduction.labeled_y, reduction.label_correlations_y),
    ):
        if correlations is not None:
            yield from labels_linear_in_one_modality(part, scores, correlations, targets)
    copies = list(copied_columns(reduction.column_correlations))
    yield from copies or near_copy(reduction.moments, (x, prepared.basis_x), (y, prepared.basis_y))
    yield from duplicate_rows(x.summary, y.summary)
    if prepared.groups is None:
        yield from repeated_rows_need_groups(x.summary, y.summary, prepared.labeled)
        yield from identifiers_need_groups(prepared.columns, prepared.covariates)
    yield from few_pairs(n_used, n_features, "Send more pairs, with or without labels, or fewer features.")
    yield from missing_values(prepared.survey, n_pairs)
    for part, tails in (("x", reduction.tails_x), ("y", reduction.tails_y)):
        yield from heavy_tails(part, tails, n_used)
    for side, basis in ((x, prepared.basis_x), (y, prepared.basis_y)):
        yield from unequal_scales(side, basis)
        yield from collinear_columns(side, basis)
        yield from constant_columns(side.part, side.summary, len(side.means))
    yield from few_labels(used)
    yield from rare_classes(used)
    yield from class_imbalance(used)
    yield from constant_labels(prepared.columns)
    yield from sparse_labels(prepared.columns)
