"""Correlations of raw columns, gathered chunk by chunk: of x with y, and of either with label targets."""

from __future__ import annotations

import numpy as np

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


class LabelProducts:
    """Products of every column of a modality with every label target, over the rows that have the target."""

    def __init__(self, n_columns: int, targets: Array) -> None:
        """Sums of no rows yet; targets (m, L), NaN where a row has none."""
        self._present = np.isfinite(targets).astype(np.float64)
        filled = np.where(self._present > 0, targets, 0.0)
        counts = np.maximum(self._present.sum(axis=0), 1)
        centred = np.where(self._present > 0, filled - filled.sum(axis=0) / counts, 0.0)
        largest = np.abs(centred).max(axis=0, initial=0.0)
        centred /= np.where(largest > 0, largest, 1.0)
        deviations = np.sqrt((centred**2).sum(axis=0) / counts)
        self._targets = centred / np.where(deviations > 0, deviations, 1.0)  # mean 0, variance 1 or 0
        self._counts = counts
        self._first = np.zeros((n_columns, targets.shape[1]))
        self._second = np.zeros_like(self._first)
        self._cross = np.zeros_like(self._first)

    def add(self, rows: Array, places: Indices) -> None:
        """Add standardised rows (k, d), which the targets at `places` (k,) belong to."""
        present = self._present[places]
        self._first += rows.T @ present
        self._second += (rows**2).T @ present
        self._cross += rows.T @ self._targets[places]

    def correlations(self) -> Array:
        """Correlations (d, L); 0 where a column or a target does not vary."""
        mean = self._first / self._counts
        return np.asarray(self._cross / self._counts * _inverse_root(self._second / self._counts - mean**2))


def _inverse_root(variances: Array) -> Array:
    varies = variances > CONSTANT_VARIANCE
    return np.where(varies, 1.0 / np.sqrt(np.where(varies, variances, 1.0)), 0.0)
