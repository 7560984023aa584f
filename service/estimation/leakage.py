"""What one part of the input already contains of another: copied columns, near copies, labels made from features."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from service.estimation.association import Scores, cross_validated_r2
from service.estimation.basis import Basis
from service.estimation.canonical import canonical_weights, held_out_correlations
from service.estimation.labels import Targets
from service.estimation.moments import Array, BlockMoments, Blocks, PredictorSums, shuffled_blocks
from service.estimation.report_warning import ReportWarning
from service.estimation.survey import ModalitySurvey
from service.estimation.warnings import listed

COPIED = 0.999  # absolute correlation of two columns from which one is a copy of the other
NEAR_COPY = 0.985  # held-out canonical correlation from which a modality nearly contains a measurement of the other
LOOKED_AT = 5  # leading canonical components
LOADING_SHARE = 0.9  # of the largest loading, from which a column is named beside it
NAMED_COLUMNS = 3
LABEL_R2 = 0.999  # held-out, from which a label is a linear function of the features
LABEL_RIDGE = 1e-9  # of a component's variance
LABEL_ROWS = 5000  # labeled rows that are looked at; a relation that is exact holds on any
DOMINATED = 0.25  # of a label's sum of squares, from which one row dominates it and it proves nothing
LABEL_FOLDS = 5
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
    correlations = held_out_correlations(moments, LOOKED_AT)
    if not len(correlations) or correlations.max() <= NEAR_COPY:
        return
    component = int(correlations.argmax())
    whole = moments.pooled(np.ones(len(moments.counts)))
    weights = canonical_weights(whole, moments.sides, LOOKED_AT)
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


def _loading_columns(side: ModalitySurvey, basis: Basis, covariance: Array, weights: Array) -> str:
    """The columns that correlate most with a combination of the reduced scores, with the size of the correlation."""
    columns = side.varying
    cross = basis.directions[columns] @ (covariance @ weights) * basis.scale[columns] / side.deviations[columns]
    loadings = np.abs(cross) / np.sqrt(weights @ covariance @ weights)
    order = np.argsort(-loadings, kind="stable")[:NAMED_COLUMNS]
    shown = [j for j in order if loadings[j] >= LOADING_SHARE * loadings[order[0]]]
    return ", ".join(f"column {columns[j]} of {side.part} ({loadings[j]:.2f})" for j in shown)


def _held_out_r2(scores: Array, targets: Array) -> Array:
    """R^2 (L,) of each target as a linear function of all scores (m, r), out of fold; 0 with too few rows, or alike."""
    found = np.zeros(targets.shape[1])
    patterns, pattern_of_target = np.unique(np.isfinite(targets), axis=1, return_inverse=True)
    for place, present in enumerate(patterns.T):
        rows = np.flatnonzero(present)
        rows = rows[:: max(1, -(-len(rows) // LABEL_ROWS))]
        if len(rows) < 2 * LABEL_FOLDS:
            continue
        chosen = np.flatnonzero(pattern_of_target.ravel() == place)
        predictors = scores[rows] - scores[rows].mean(axis=0)
        deviations = predictors.std(axis=0)
        if not deviations.any():
            continue
        predictors = predictors[:, deviations > 0] / deviations[deviations > 0]
        prepared = _one_component(predictors, shuffled_blocks(len(rows), LABEL_FOLDS, SEED))
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
