"""The table of scores that is reported after training, before it: linear encoders of every objective, probed on labels.

Encoders are fitted without the labeled pairs where enough pairs are unlabeled; else on all pairs outside the held-out
fold.  Either way no encoder has seen a pair that it is scored on, nor any label.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.estimation.encoders import Covariances, Planned, covariances, encoding_matrices, planned
from service.estimation.labels import LabelColumn, LabelType, present_places, present_values
from service.estimation.moments import Array, BlockMoments, Indices, block_moments, side_by_side
from service.estimation.probes import (
    LEAST_FOLDS,
    Classes,
    ProbeLabels,
    Tally,
    jackknife_error,
    probe,
    score,
    scores_without_each,
)
from service.estimation.rehearsal_records import Rehearsal, RehearsalRow, RehearsedLabel
from service.estimation.terms import Encoder, Metric

LEAST_ENCODER_PAIRS = 20
# Unlabeled pairs for every feature of x and y together, below which labeled pairs are needed as well: with one pair a
# feature the sample's leading canonical correlations are 1 whatever the data.
PAIRS_PER_FEATURE = 2


def rehearse(
    unlabeled: BlockMoments,
    unlabeled_folds: Indices,
    labeled_x: Array,
    labeled_y: Array,
    folds: Indices,
    columns: Sequence[LabelColumn],
    dims: Sequence[int],
    groups: NDArray[Any] | None = None,
) -> Rehearsal:
    """Fit every linear encoder without the rows it is scored on, and probe its embedding on the labels.

    For the held-out fold f the encoders are fitted on the unlabeled pairs that share no group with f; where these are
    fewer than max(20, 2 (rx + ry)) for some fold, on the labeled pairs outside f as well.  The probe is fitted on the
    labeled rows outside f, its ridge chosen among them by leaving out one more fold at a time.

    Arguments:
        unlabeled: moments of B blocks of unlabeled pairs, in the coordinates of `labeled_x` and `labeled_y`.
        unlabeled_folds (B,): the fold whose groups the block shares and whose encoders must not see it; -1 for none.
        labeled_x (m, rx), labeled_y (m, ry): features of the labeled rows, about the origin of the moments.
        folds (m,): the fold 0..F-1 of every labeled row; rows of one group are in one fold.
        columns: label columns (m,), each probed on the rows that have it.
        dims: dimensions of the embeddings; those above an encoder's rank are lowered to it.
        groups (m,): the group of every labeled row, whole numbers or text; None where every row is its own.

    Returns: the rehearsal.  Its rows do not depend on a modality's origin or unit.  A label column that varies too
    little, or has values in fewer than three folds, is left out with the reason.
    """
    asked = [_asked(column, folds) for column in columns]
    scored = [one for one in asked if one.reason is None]
    fits = _fits(unlabeled, unlabeled_folds, labeled_x, labeled_y, folds) if scored else _Fits([], 0, False)
    plan = planned(dims, min(f.x.rank for f in fits.found), min(f.y.rank for f in fits.found)) if scored else ()
    matrices = {id(found): encoding_matrices(found, plan) for found in fits.found}
    features = np.hstack([labeled_x, labeled_y])
    features = features - features.mean(axis=0)

    tallies: dict[str, list[Tally]] = {one.name: [] for one in scored}
    for together in _of_same_rows(scored):
        labels = _probe_labels(together, folds)
        kept = features[together[0].rows]
        for place in range(len(plan)):
            encoders = [matrices[id(found)][place] for found in fits.found]
            for one, tally in zip(together, probe(kept, encoders, labels), strict=True):
                tallies[one.name].append(tally)

    units = np.arange(len(folds)) if groups is None else groups
    return Rehearsal(
        encoder_pairs=fits.fewest_pairs,
        cross_fitted=fits.cross_fitted,
        folds=int(folds.max(initial=-1)) + 1,
        labels=tuple(RehearsedLabel(one.name, len(one.rows), one.n_classes, one.reason) for one in asked),
        rows=tuple(row for one in scored for row in _rows(one, plan, tallies[one.name], units)),
    )


@dataclass(frozen=True)
class _Fits:
    """For each fold what its encoders are made from, the fewest pairs behind one, and whether labeled pairs are."""

    found: list[Covariances]
    fewest_pairs: int
    cross_fitted: bool


def _fits(unlabeled: BlockMoments, unlabeled_folds: Indices, x: Array, y: Array, folds: Indices) -> _Fits:
    n_folds = int(folds.max(initial=-1)) + 1
    moments = side_by_side(unlabeled, block_moments(x, y, folds, n_folds))
    block_folds = np.concatenate([unlabeled_folds, np.arange(n_folds)])
    is_unlabeled = np.arange(len(block_folds)) < len(unlabeled_folds)
    outside = [block_folds != fold for fold in range(n_folds)]
    fewest = min(float(moments.counts[mask & is_unlabeled].sum()) for mask in outside)
    cross_fitted = fewest < max(LEAST_ENCODER_PAIRS, PAIRS_PER_FEATURE * (x.shape[1] + y.shape[1]))
    chosen = [mask if cross_fitted else mask & is_unlabeled for mask in outside]
    made = {mask.tobytes(): covariances(moments, mask) for mask in chosen}
    fewest_pairs = min(int(moments.counts[mask].sum()) for mask in chosen)
    return _Fits([made[mask.tobytes()] for mask in chosen], fewest_pairs, cross_fitted)


@dataclass(frozen=True)
class _Asked:
    """A label column as it is probed: the rows that count and their values, or the reason why it cannot be."""

    name: str
    rows: Indices
    values: Array
    n_classes: int | None
    reason: str | None


def _asked(column: LabelColumn, folds: Indices) -> _Asked:
    given, present = present_places(column), present_values(column)
    rows, values, n_classes = given, np.zeros(0), None
    if column.type is LabelType.CATEGORICAL:
        # A class of one fold only is unknown whenever it is held out.
        classes, codes = np.unique(present, return_inverse=True)
        in_folds = [len(np.unique(folds[given[codes == code]])) for code in range(len(classes))]
        known = np.flatnonzero(np.array(in_folds, dtype=np.int64) >= 2)
        kept = np.isin(codes, known)
        rows, values, n_classes = given[kept], np.searchsorted(known, codes[kept]).astype(np.float64), len(known)
    elif len(given):
        values = present.astype(np.float64)
        # R^2 does not depend on a label's unit, but the squares of very small labels would underflow.
        values = values - values.mean()
        values = values / (np.abs(values).max() or 1.0)
    return _Asked(column.name, rows, values, n_classes, _reason(column.name, folds[given], folds[rows], values))


def _reason(name: str, folds_given: Indices, folds_used: Indices, values: Array) -> str | None:
    """Why a column cannot be scored; None if it can."""
    if len(np.unique(folds_given)) >= LEAST_FOLDS and len(np.unique(values)) < 2:
        return (
            f"Label column {name!r} does not vary enough to be predicted out of fold: it needs two values, and classes "
            "that occur in two folds at least. Label more rows, or use coarser classes."
        )
    if len(np.unique(folds_used)) < LEAST_FOLDS:
        return (
            f"Label column {name!r} has values in fewer than {LEAST_FOLDS} folds. Label more rows, of more groups "
            "where rows are grouped."
        )
    return None


def _rows(asked: _Asked, plan: Sequence[Planned], tallies: Sequence[Tally], groups: Indices) -> list[RehearsalRow]:
    scores = [score(tally) for tally in tallies]
    _, numbered = np.unique(groups[asked.rows], return_inverse=True)
    jackknifed = [scores_without_each(tally, numbered) for tally in tallies]
    single = [place for place, entry in enumerate(plan) if entry.encoder in (Encoder.X, Encoder.Y)]
    best = max(single, key=lambda place: scores[place])  # the first, x, on a tie
    return [
        RehearsalRow(
            encoder=entry.encoder,
            embedding_dim=entry.embedding_dim,
            label=asked.name,
            metric=Metric.R2 if asked.n_classes is None else Metric.BALANCED_ACCURACY,
            score=scores[place],
            standard_error=jackknife_error(jackknifed[place]),
            chance=0.0 if asked.n_classes is None else 1 / asked.n_classes,
            difference=scores[place] - scores[best],
            difference_se=jackknife_error(jackknifed[place] - jackknifed[best]),
        )
        for place, entry in enumerate(plan)
    ]


def _of_same_rows(asked: Sequence[_Asked]) -> list[list[_Asked]]:
    """Columns that have values in the same rows, which share every fit; the numeric ones of each list first."""
    by_rows: dict[bytes, list[_Asked]] = {}
    for one in sorted(asked, key=lambda one: one.n_classes is not None):
        by_rows.setdefault(one.rows.tobytes(), []).append(one)
    return list(by_rows.values())


def _probe_labels(together: Sequence[_Asked], folds: Indices) -> ProbeLabels:
    rows = together[0].rows
    numeric = [one.values for one in together if one.n_classes is None]
    return ProbeLabels(
        folds=folds[rows],
        numeric=np.array(numeric).reshape(len(numeric), len(rows)).T,
        categorical=tuple(
            Classes(one.values.astype(np.int64), one.n_classes) for one in together if one.n_classes is not None
        ),
    )
