"""Correlations of raw columns, gathered chunk by chunk: of x with y, and of either with label targets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.estimation.moments import Array, Indices

CONSTANT_VARIANCE = 1e-12  # of a standardised column: within some rows it then does not vary


class HalfProducts:
    """Products of every column of x with every column of y, within two halves of the rows."""

    def __init__(self, n_x: int, n_y: int) -> None:
        """Sums of no rows yet."""
        self._counts = np.zeros(2)
        self._cross = np.zeros((2, n_x, n_y))
        self._first = (np.zeros((2, n_x)), np.zeros((2, n_y)))
        self._second = (np.zeros((2, n_x)), np.zeros((2, n_y)))

    def add(self, half: Indices, x: Array, y: Array) -> None:
        """Add standardised rows x (m, dx) and y (m, dy), each to the half, 0 or 1, that `half` (m,) says."""
        for h in (0, 1):
            rows = np.flatnonzero(half == h)
            if len(rows) == 0:
                continue
            parts = (x[rows], y[rows])
            self._counts[h] += len(rows)
            self._cross[h] += parts[0].T @ parts[1]
            for first, second, part in zip(self._first, self._second, parts, strict=True):
                first[h] += part.sum(axis=0)
                second[h] += np.einsum("nd,nd->d", part, part)

    def correlations(self) -> Array:
        """Correlations (2, dx, dy) within each half; 0 where a column does not vary."""
        found = np.empty_like(self._cross)
        for h, n in enumerate(np.maximum(self._counts, 1)):
            mean_x, mean_y = (first[h] / n for first in self._first)
            root_x, root_y = (
                _inverse_root(second[h] / n - mean**2)
                for second, mean in zip(self._second, (mean_x, mean_y), strict=True)
            )
            found[h] = (self._cross[h] / n - np.outer(mean_x, mean_y)) * root_x[:, None] * root_y
        return found


@dataclass(frozen=True)
class StandardTargets:
    """Label targets of mean 0 and variance 1 over the rows that have them; a target that does not vary is 0."""

    values: Array  # (m, L), 0 where a row has none
    present: NDArray[np.bool_]  # (m, L)
    counts: Array  # (L,)


def standard_targets(targets: Array) -> StandardTargets:
    """Standardise `targets` (m, L), NaN where a row has none."""
    present = np.isfinite(targets)
    counts = np.maximum(present.sum(axis=0), 1).astype(np.float64)
    values = np.where(present, targets, 0.0)
    values = np.where(present, values - values.sum(axis=0) / counts, 0.0)
    # By the largest first: the squares of very small and very large labels leave double precision.
    largest = np.abs(values).max(axis=0, initial=0.0)
    values /= np.where(largest > 0, largest, 1.0)
    deviations = np.sqrt(np.einsum("ml,ml->l", values, values) / counts)
    values /= np.where(deviations > 0, deviations, 1.0)
    return StandardTargets(values, present, counts)


class LabelProducts:
    """Products of every column of a modality with every label target, over the rows that have the target."""

    def __init__(self, n_columns: int, targets: StandardTargets) -> None:
        """Sums of no rows yet."""
        self._targets = targets
        self._first = np.zeros((n_columns, targets.values.shape[1]))
        self._second = np.zeros_like(self._first)
        self._cross = np.zeros_like(self._first)

    def add(self, rows: Array, places: Indices) -> None:
        """Add standardised rows (k, d), which the targets at `places` (k,) belong to."""
        present = self._targets.present[places].astype(np.float64)
        self._first += rows.T @ present
        self._second += (rows**2).T @ present
        self._cross += rows.T @ self._targets.values[places]

    def correlations(self) -> Array:
        """Correlations (d, L); 0 where a column or a target does not vary."""
        counts = self._targets.counts
        mean = self._first / counts
        return np.asarray(self._cross / counts * _inverse_root(self._second / counts - mean**2))


def _inverse_root(variances: Array) -> Array:
    varies = variances > CONSTANT_VARIANCE
    return np.where(varies, 1.0 / np.sqrt(np.where(varies, variances, 1.0)), 0.0)
