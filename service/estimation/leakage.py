"""What one part of the input already contains of another: copied columns, near copies, labels made from features."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import linalg

from service.estimation.association import Scores, cross_validated_r2
from service.estimation.basis import Basis
from service.estimation.labels import Targets
from service.estimation.moments import Array, BlockMoments, Blocks, Pooled, PredictorSums, shuffled_blocks
from service.estimation.report import ReportWarning
from service.estimation.survey import ModalitySurvey
from service.estimation.warnings import listed

COPIED = 0.999  # absolute correlation of two columns from which one is a copy of the other
NEAR_COPY = 0.985  # held-out canonical correlation from which a modality nearly contains a measurement of the other
CANONICAL_COMPONENTS = 5  # leading ones that are looked at
CANONICAL_RIDGE = 1e-3  # of a component's variance: fits to few rows stay finite, correlations near 1 stay near 1
LOADING_SHARE = 0.9  # of the largest loading, from which a column is named beside it
NAMED_COLUMNS = 3
LABEL_R2 = 0.999  # held-out, from which a label is a linear function of the features
LABEL_RIDGE = 1e-9  # of a component's variance
LABEL_ROWS = 5000  # labeled rows that are looked at; a relation that is exact holds on any
DOMINATED = 0.25  # of a label's sum of squares, from which one row dominates it and it proves nothing
FOLDS = 5
SEED = 0


def copied_columns(correlations: Array | None) -> Iterator[ReportWarning]:
    """Columns of x that are columns of y, as they are or rescaled.

    `correlations` (2, dx, dy) are those within two halves of the rows: one row far out cannot make both near 1.
    """
    if correlations is None:
        return
    weakest = np.abs(correlations).min(axis=0)
    pairs = np.argwhere((weakest > COPIED) & (correlations[0] * correlations[1] > 0))
    if len(pairs):
        said = listed(f"column {j} of x and column {k} of y" for j, k in pairs)
        yield ReportWarning(
            "copied_columns",
            f"x and y have columns in common, as they are or rescaled: {said} (counted from 0). A column that is "
            "in both is shared by construction, and every objective will find it: leave it out of one modality.",
        )


def near_copy(
    moments: BlockMoments, x: tuple[ModalitySurvey, Basis], y: tuple[ModalitySurvey, Basis]
) -> Iterator[ReportWarning]:
    """A combination of x's columns and one of y's are so nearly the same that one measures what the other does."""
    correlations = held_out_correlations(moments)
    if not len(correlations) or correlations.max() <= NEAR_COPY:
        return
    component = int(correlations.argmax())
    whole = moments.pooled(np.ones(len(moments.counts)))
    weights = _canonical(whole, moments.sides, np.sqrt(np.diag(whole.covariance)))
    named = [
        _loading_columns(side, basis, whole.covariance[part, part], weight[:, component])
        for (side, basis), part, weight in zip((x, y), moments.sides, weights, strict=True)
    ]
    yield ReportWarning(
        "near_copy",
        f"A combination of x's columns and one of y's correlate at {correlations[component]:.3f} in rows that they "
        "were not fitted to: one modality nearly contains a measurement of the other. The columns that correlate most "
        f"with it are {named[0]} and {named[1]} (counted from 0). If one was made from the other, or both from one "
        "source, leave it out of one modality: it stands above every nuisance, whatever else x and y share.",
    )


def held_out_correlations(moments: BlockMoments) -> Array:
    """Leading canonical correlations, fitted to all blocks but a fifth and measured in that fifth.

    Of the correlation pooled over the fifths and its median over them the smaller: one row far out cannot raise both.
    Returns (k,), empty with a single block.
    """
    filled = np.flatnonzero(moments.counts)
    n_folds = min(FOLDS, len(filled))
    if n_folds < 2:
        return np.empty(0)
    everything = np.ones(len(moments.counts))
    scale = np.sqrt(np.diag(moments.pooled(everything).covariance))
    x, y = moments.sides
    folds = []
    for fold in range(n_folds):
        held = np.zeros(len(everything))
        held[filled[fold::n_folds]] = 1.0
        a, b = _canonical(moments.pooled(everything - held), moments.sides, scale)
        rows = moments.pooled(held)
        products = rows.n * rows.covariance
        folds.append(
            [_diagonal(a, products[x, y], b), _diagonal(a, products[x, x], a), _diagonal(b, products[y, y], b)]
        )
    pooled = _correlation(np.sum(folds, axis=0))
    each = np.array([_correlation(np.asarray(fold)) for fold in folds])
    return np.asarray(np.minimum(pooled, np.median(each, axis=0)))


def labels_linear_in_one_modality(
    part: str, scores: Array, correlations: Array, targets: Targets
) -> Iterator[ReportWarning]:
    """Labels that are a linear function of one modality, as if they had been computed from it.

    Arguments: scores (m, r), reduced, of the labeled rows; correlations (d, L) of raw columns with targets; targets,
    NaN where a row has none.  A target that one row dominates, or that hardly any row has, is passed over.
    """
    matrix = targets.matrix
    deviations = matrix - np.nanmean(matrix, axis=0)
    largest = np.nanmax(np.abs(deviations), axis=0)
    deviations /= np.where(largest > 0, largest, 1.0)
    shared = np.nansum(deviations**2, axis=0) > 1 / DOMINATED
    linear = _held_out_r2(scores, matrix) > LABEL_R2
    column = np.abs(correlations).argmax(axis=0)
    copied = np.abs(correlations).max(axis=0) ** 2 > LABEL_R2
    found = np.flatnonzero(shared & (linear | copied))
    if len(found):
        said = listed(
            repr(targets.names[t]) + (f" (column {column[t]} of {part}, counted from 0)" if copied[t] else "")
            for t in found
        )
        yield ReportWarning(
            "labels_linear_in_one_modality",
            f"Label targets that are linear functions of {part}, to within R^2 {LABEL_R2}: {said}. Labels made "
            f"from {part} say what {part} contains, not what x and y share: leave these labels out, or take what they "
            f"were made from out of {part}.",
        )


def _canonical(pooled: Pooled, sides: tuple[slice, slice], scale: Array) -> tuple[Array, Array]:
    """Weights (r_x, k) and (r_y, k) of the leading canonical components, fitted in units of `scale` (D,)."""
    x, y = sides
    covariance = pooled.covariance / np.outer(scale, scale) + CANONICAL_RIDGE * np.eye(len(scale))
    roots = [linalg.cholesky(covariance[part, part], lower=True) for part in (x, y)]
    half = linalg.solve_triangular(roots[0], covariance[x, y], lower=True)
    coupling = linalg.solve_triangular(roots[1], half.T, lower=True).T
    left, _, right = linalg.svd(coupling, full_matrices=False)
    k = min(CANONICAL_COMPONENTS, *coupling.shape)
    weights_x = linalg.solve_triangular(roots[0].T, left[:, :k]) / scale[x, None]
    weights_y = linalg.solve_triangular(roots[1].T, right[:k].T) / scale[y, None]
    return weights_x, weights_y


def _diagonal(a: Array, products: Array, b: Array) -> Array:
    return np.asarray(np.einsum("ik,ik->k", a, products @ b))


def _correlation(products: Array) -> Array:
    """Correlations (k,) from sums of products (3, k) of a with b, a with a and b with b."""
    squares = products[1] * products[2]
    return np.where(squares > 0, products[0] / np.sqrt(np.where(squares > 0, squares, 1.0)), 0.0)


def _loading_columns(side: ModalitySurvey, basis: Basis, covariance: Array, weights: Array) -> str:
    """The columns that correlate most with a combination of the reduced scores, with the size of the correlation."""
    columns = side.varying
    cross = basis.directions[columns] @ (covariance @ weights) * basis.scale[columns] / side.deviations[columns]
    loadings = np.abs(cross) / np.sqrt(weights @ covariance @ weights)
    order = np.argsort(-loadings, kind="stable")[:NAMED_COLUMNS]
    shown = [j for j in order if loadings[j] >= LOADING_SHARE * loadings[order[0]]]
    return ", ".join(f"column {columns[j]} of {side.part} ({loadings[j]:.2f})" for j in shown)


def _held_out_r2(scores: Array, targets: Array) -> Array:
    """R^2 (L,) of each target as a linear function of all scores (m, r), out of fold; 0 with too few rows."""
    found = np.zeros(targets.shape[1])
    patterns, pattern_of_target = np.unique(np.isfinite(targets), axis=1, return_inverse=True)
    for place, present in enumerate(patterns.T):
        rows = np.flatnonzero(present)
        rows = rows[:: max(1, -(-len(rows) // LABEL_ROWS))]
        if len(rows) < 2 * FOLDS:
            continue
        chosen = np.flatnonzero(pattern_of_target.ravel() == place)
        predictors = scores[rows] - scores[rows].mean(axis=0)
        deviations = predictors.std(axis=0)
        predictors = predictors[:, deviations > 0] / deviations[deviations > 0]
        prepared = _one_component(predictors, shuffled_blocks(len(rows), FOLDS, SEED))
        found[chosen] = cross_validated_r2(prepared, targets[np.ix_(rows, chosen)], LABEL_RIDGE * len(rows))[0]
    return found


def _one_component(predictors: Array, folds: Blocks) -> Scores:
    """All predictors (m, p) as those of a single component: what `fold_scores` gives, by matrix products."""
    ordered = predictors[folds.order]
    parts = [ordered[rows] for rows in folds.slices()]
    sums = PredictorSums(
        first=np.stack([part.sum(axis=0)[None] for part in parts]),
        second=np.stack([(part.T @ part)[None] for part in parts]),
    )
    return Scores(np.ascontiguousarray(ordered.T)[:, :, None], sums, folds)
