"""The rehearsal from raw arrays, one fit at a time: explicit loops over folds, ridges and labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy.linalg import sqrtm

from service.estimation.probes import RIDGES

Embed = Callable[[np.ndarray, np.ndarray], np.ndarray]


def naive_encoder(x: np.ndarray, y: np.ndarray, encoder: str, k: int | None) -> Embed:
    """The encoder fitted on the pairs x, y."""
    n = len(x)
    sx, sy = np.cov(x.T, bias=True), np.cov(y.T, bias=True)
    sxy = (x - x.mean(0)).T @ (y - y.mean(0)) / n
    whiten_x = np.linalg.inv(sqrtm(sx + np.trace(sx) / n * np.eye(len(sx))).real)
    whiten_y = np.linalg.inv(sqrtm(sy + np.trace(sy) / n * np.eye(len(sy))).real)
    p, _, q = np.linalg.svd(whiten_x @ sxy @ whiten_y)
    w, v = whiten_x @ p[:, :k], whiten_y @ q[:k].T
    forward = whiten_x @ np.linalg.svd(sxy.T @ whiten_x)[2][:k].T
    reverse = whiten_y @ np.linalg.svd(sxy @ whiten_y)[2][:k].T
    top_x, top_y = np.linalg.svd(x - x.mean(0))[2][:k].T, np.linalg.svd(y - y.mean(0))[2][:k].T
    size_x, size_y = np.sqrt(np.trace(sx)), np.sqrt(np.trace(sy))
    return {
        "x": lambda a, b: a,
        "y": lambda a, b: b,
        "both": lambda a, b: np.hstack([a / size_x, b / size_y]),
        "ca_x": lambda a, b: a @ w,
        "ca_y": lambda a, b: b @ v,
        "ca_both": lambda a, b: np.hstack([a @ w, b @ v]),
        "cp_x_to_y": lambda a, b: a @ forward,
        "cp_y_to_x": lambda a, b: b @ reverse,
        "pca_x": lambda a, b: a @ top_x,
        "pca_y": lambda a, b: b @ top_y,
    }[encoder]


def naive_earned(
    embeddings: Sequence[np.ndarray], folds: np.ndarray, values: np.ndarray, n_classes: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Earned and possible of every row, by nested cross-validation with a fit for every ridge and fold."""
    earned, possible = np.zeros(len(values)), np.zeros(len(values))
    for held in np.unique(folds):
        z = embeddings[held]
        scores = []
        for ridge in RIDGES:
            inner_earned, inner_possible, inner_values = [], [], []
            for fold in np.unique(folds[folds != held]):
                train, test = (folds != held) & (folds != fold), folds == fold
                got, could = naive_fold(z[train], values[train], z[test], values[test], ridge, n_classes)
                inner_earned.extend(got)
                inner_possible.extend(could)
                inner_values.extend(values[test])
            scores.append(naive_score(inner_earned, inner_possible, inner_values, n_classes))
        ridge = RIDGES[int(np.argmax(scores))]
        train, test = folds != held, folds == held
        earned[test], possible[test] = naive_fold(z[train], values[train], z[test], values[test], ridge, n_classes)
    return earned, possible


def naive_fold(z, values, z_test, values_test, ridge, n_classes):
    """Earned and possible of the test rows."""
    n, d = z.shape
    penalty = np.sqrt(ridge * z.var(0).mean()) * np.eye(d)
    if n_classes is None:
        rows = np.vstack([(z - z.mean(0)) / np.sqrt(n), penalty])
        target = np.append((values - values.mean()) / np.sqrt(n), np.zeros(d))
        slopes = np.linalg.lstsq(rows, target)[0]
        predicted = values.mean() + (z_test - z.mean(0)) @ slopes
        could = (values_test - values.mean()) ** 2
        return could - (values_test - predicted) ** 2, could
    known = [c for c in range(n_classes) if (values == c).any()]
    residual = np.vstack([z[values == c] - z[values == c].mean(0) for c in known]) / np.sqrt(n)
    rows = np.vstack([residual, penalty])
    heights = np.full((len(z_test), n_classes), -np.inf)
    for c in known:
        mean = z[values == c].mean(0) - z.mean(0)
        slopes = np.linalg.lstsq(rows, np.linalg.lstsq(rows.T, mean)[0])[0]
        heights[:, c] = (z_test - z.mean(0)) @ slopes - mean @ slopes / 2
    return (heights.argmax(1) == values_test).astype(float), np.ones(len(z_test))


def naive_score(earned, possible, values, n_classes) -> float:
    """R^2, or recall averaged over the classes that occur."""
    earned, possible, values = np.array(earned), np.array(possible), np.array(values)
    if n_classes is None:
        return earned.sum() / possible.sum()
    return float(np.mean([earned[values == c].mean() for c in range(n_classes) if (values == c).any()]))


def naive_jackknife(score_of: Callable[[np.ndarray], float], groups: np.ndarray) -> float:
    """Standard error from leaving out one group after the other; `score_of` takes the rows kept."""
    left = np.array([score_of(groups != group) for group in np.unique(groups)])
    return float(np.sqrt((len(left) - 1) * left.var()))
