"""How strongly each component predicts each label: cross-validated R^2 from per-fold moment sums."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from service.estimation.moments import (
    Array,
    Blocks,
    PredictorSums,
    cross_sums,
    label_sums,
    predictor_sums,
)


@dataclass(frozen=True)
class Scores:
    """Component scores laid out for cross-validation: centred, rows in fold order, with their per-fold sums."""

    predictors: Array  # (p, n, c): p predictors for each of c components
    sums: PredictorSums
    folds: Blocks


def fold_scores(scores: Array, folds: Blocks) -> Scores:
    """Prepare `scores` (p, n, c), rows in the data's order, for any number of label sets."""
    # Centring over all rows changes no fit (every fit removes its own means) and avoids cancellation in the sums.
    predictors = np.ascontiguousarray((scores - scores.mean(axis=1, keepdims=True))[:, folds.order])
    return Scores(predictors, predictor_sums(predictors, folds), folds)


def cross_validated_r2(scores: Scores, labels: Array, alpha: float) -> Array:
    """R^2 of ridge regression of every label on every component's predictors, out of fold, clipped below at 0.

    Each fit is made on all folds but one, means of those rows removed, with penalty `alpha` on the slopes;
    R^2 = 1 - (residual sum of squares over all held-out rows) / (their sum of squares about each held-out fold's mean).

    Arguments: labels (n, L), rows in the data's order.  Returns (c, L); 0 where a label does not vary.
    Source: Kamai et al. 2026, step 4 of the procedure as reference.py numbers it.
    """
    folds = scores.folds
    targets = (labels - labels.mean(axis=0))[folds.order]
    # R^2 does not depend on a label's unit, but the squares of very small labels would underflow.
    largest = np.abs(targets).max(axis=0)
    targets /= np.where(largest > 0, largest, 1.0)
    y = label_sums(targets, folds)
    t = scores.sums
    ty = cross_sums(scores.predictors, targets, folds)

    n_test = folds.sizes
    n_train = n_test.sum() - n_test
    y_mean = (y.first.sum(axis=0) - y.first) / n_train[:, None]  # training means, (F, L)
    t_mean = (t.first.sum(axis=0) - t.first) / n_train[:, None, None]  # (F, c, p)

    gram = (t.second.sum(axis=0) - t.second) - n_train[:, None, None, None] * (
        t_mean[..., :, None] * t_mean[..., None, :]
    )
    cross = (ty.sum(axis=0) - ty) - n_train[:, None, None, None] * (t_mean[..., None] * y_mean[:, None, None, :])
    slopes = np.linalg.solve(gram + alpha * np.eye(gram.shape[-1]), cross)  # (F, c, p, L)

    # Held-out sums about the training means: what the fit predicts deviates from those.
    size = n_test[:, None, None, None]
    held_gram = (
        t.second
        - t.first[..., :, None] * t_mean[..., None, :]
        - t_mean[..., :, None] * t.first[..., None, :]
        + size * t_mean[..., :, None] * t_mean[..., None, :]
    )
    held_cross = (
        ty
        - t.first[..., None] * y_mean[:, None, None, :]
        - t_mean[..., None] * y.first[:, None, None, :]
        + size * t_mean[..., None] * y_mean[:, None, None, :]
    )
    held_square = y.second - 2 * y_mean * y.first + n_test[:, None] * y_mean**2  # (F, L)

    explained = np.einsum("fcpl,fcpl->cl", slopes, 2 * held_cross - held_gram @ slopes)
    residual = held_square.sum(axis=0) - explained
    total = (y.second - y.first**2 / n_test[:, None]).sum(axis=0)
    varies = total > 0
    return np.where(varies, np.maximum(1 - residual / np.where(varies, total, 1.0), 0.0), 0.0)


def permuted_r2(scores: Scores, labels: Array, alpha: float, count: int, seed: int) -> Iterator[Array]:
    """`cross_validated_r2` under `count` shuffles of the label rows, one (c, L) array each.

    The shuffles are `RandomState(seed).permutation(n)`, drawn in sequence (step 5).
    """
    generator = np.random.RandomState(seed)
    for _ in range(count):
        yield cross_validated_r2(scores, labels[generator.permutation(len(labels))], alpha)
