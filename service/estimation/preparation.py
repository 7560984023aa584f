"""The input, checked and reduced by two passes over the features: where calibrated estimate and preflight start."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.estimation import inputs
from service.estimation.basis import Basis, principal_basis
from service.estimation.covariates import check_covariates
from service.estimation.errors import TooFewLabeledRows
from service.estimation.groups import check_groups
from service.estimation.inputs import MIN_LABELED_ROWS
from service.estimation.labels import LabelColumn, Targets, encode, has_label, in_rows
from service.estimation.moments import Indices, assign_blocks
from service.estimation.options import Options
from service.estimation.reduction import Reduction, reduce
from service.estimation.survey import Survey, survey

BLOCKS = 20  # of rows, which folds and resampling are made of
MOST_COMPONENTS = 256  # principal components kept of each modality unless the options say otherwise
MOST_CROWDED = 0.6  # components of both modalities per pair: with more of them the estimate has nothing to go by


@dataclass(frozen=True)
class Prepared:
    """What two passes found, and the labels that count."""

    survey: Survey
    basis_x: Basis
    basis_y: Basis
    blocks: Indices  # (n,), -1 for a pair that does not count
    reduction: Reduction
    columns: tuple[LabelColumn, ...]  # (m,) each, also those that are not used
    used: tuple[LabelColumn, ...]  # (m,) each
    targets: Targets  # (m, L), of the columns that are used
    labeled: Indices  # (m,), the row of each label
    groups: NDArray[Any] | None  # (n,)
    covariates: tuple[LabelColumn, ...]  # (n,) each

    @property
    def labeled_groups(self) -> NDArray[Any] | None:
        """Group ids of the labeled rows (m,)."""
        return None if self.groups is None else self.groups[self.labeled]


def prepare(
    x: NDArray[Any],
    y: NDArray[Any],
    labels: Sequence[LabelColumn],
    rows: NDArray[Any] | None,
    options: Options,
    *,
    groups: NDArray[Any] | None = None,
    covariates: Sequence[LabelColumn] = (),
    stage: Callable[[str], None] = lambda name: None,
) -> Prepared:
    """Check everything and read the features twice; arguments as `estimate` takes them.

    `stage` is told what is being done: survey, reduce.

    Raises: errors.InputError for input that cannot be estimated, errors.NumericalFailure.
    """
    label_rows = inputs.check_form(x, y, inputs.label_count(labels), rows)
    inputs.check_labels(labels)
    some = has_label(labels)
    columns, labeled = in_rows(labels, some), label_rows[some]
    if groups is not None:
        groups = check_groups(groups, len(x), labeled)
    check_covariates(covariates, len(x))
    stage("survey")
    surveyed = survey(x, y, missing=options.missing)
    if surveyed.kept is not None:
        columns, labeled = _labels_that_count(columns, labeled, surveyed.kept)
        if groups is not None:
            check_groups(groups, len(x), labeled)
    used = inputs.check_labels(columns)
    targets = encode(used)
    most = components_kept(options, surveyed.n_pairs, (x.shape[1], y.shape[1]))
    basis_x, basis_y = (
        principal_basis(side, values, most, options.pca_variance, scaling=scaling, seed=options.seed)
        for side, values, scaling in (
            (surveyed.x, x, options.scaling.x),
            (surveyed.y, y, options.scaling.y),
        )
    )
    stage("reduce")
    blocks = assign_blocks(len(x), groups, BLOCKS, options.seed, surveyed.kept)
    found = reduce(x, y, surveyed, basis_x, basis_y, blocks, labeled, targets.matrix, covariates=covariates)
    return Prepared(
        surveyed, basis_x, basis_y, blocks, found, columns, used, targets, labeled, groups, tuple(covariates)
    )


def components_kept(options: Options, n_pairs: int, n_features: tuple[int, int]) -> int:
    """Principal components kept of each modality at most.

    Unless the options say it, the largest number c up to MOST_COMPONENTS with
    min(dx, c) + min(dy, c) <= MOST_CROWDED n, and 2 at least.
    """
    if options.pca_components is not None:
        return options.pca_components
    budget = int(MOST_CROWDED * n_pairs)
    fewer = min(n_features)
    each = budget // 2 if 2 * fewer > budget else budget - fewer
    return max(2, min(MOST_COMPONENTS, each))


def _labels_that_count(
    columns: Sequence[LabelColumn], rows: Indices, kept: NDArray[np.bool_]
) -> tuple[tuple[LabelColumn, ...], Indices]:
    """The labels of the pairs that count, with their rows."""
    counting = kept[rows]
    if counting.sum() < MIN_LABELED_ROWS:
        raise TooFewLabeledRows(
            f"{len(rows) - counting.sum()} of {len(rows)} labeled pairs have a missing value and were left out; "
            f"{counting.sum()} are left. An estimate needs at least {MIN_LABELED_ROWS}: label more rows without one, "
            "or set the option `missing` to mean.",
            part="rows",
        )
    return in_rows(columns, counting), rows[counting]
