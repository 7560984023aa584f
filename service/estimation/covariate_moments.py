"""How much of a component's scores covariates explain, from products gathered in the second pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from service.estimation.labels import LabelColumn, LabelType
from service.estimation.moments import Array, Indices

RANK_TOLERANCE = 1e-9  # of a covariate's largest eigenvalue: one-hot columns add up to a constant


@dataclass(frozen=True)
class CovariateMoments:
    """Products of reduced scores z = [x, y] (D columns) with the design columns of every covariate, centred."""

    n: int
    names: tuple[str, ...]
    parts: tuple[slice, ...]  # each covariate's design columns
    cross: Array  # (D, Q)
    gram: Array  # (Q, Q)
    second: Array  # (D, D), products of z with itself

    def explained(self, directions: Array) -> dict[str, Array]:
        """Adjusted R^2 (c,) of the scores z @ directions (D, c) on each covariate, clipped below at 0.

        R^2 = b^T G^+ b / s with b, G the products of the covariate's design with the score and itself, s the score's
        sum of squares; adjusted to 1 - (1 - R^2) (n - 1) / (n - 1 - rank), which is 0 on average for pure chance.
        """
        total = np.einsum("dc,de,ec->c", directions, self.second, directions)
        found = {}
        for name, part in zip(self.names, self.parts, strict=True):
            between = self.cross[:, part].T @ directions
            values, vectors = np.linalg.eigh(self.gram[part, part])
            kept = values > RANK_TOLERANCE * max(values[-1], 0.0)
            kept &= values > 0
            rank = int(kept.sum())
            if rank == 0 or self.n - 1 <= rank:
                found[name] = np.zeros(directions.shape[1])
                continue
            projected = vectors[:, kept].T @ between
            share = ((projected**2) / values[kept, None]).sum(axis=0) / np.where(total > 0, total, 1.0)
            found[name] = np.maximum(1 - (1 - share) * (self.n - 1) / (self.n - 1 - rank), 0.0)
        return found


class CovariateSums:
    """The products while rows are being read."""

    def __init__(self, covariates: Sequence[LabelColumn], n_columns: int) -> None:
        """Sums of no rows yet; covariates (n,) each, scores of n_columns."""
        self._designs = [_design(column) for column in covariates]
        self._names = tuple(column.name for column in covariates)
        widths = [design.width for design in self._designs]
        edges = np.cumsum([0, *widths])
        self._parts = tuple(slice(int(a), int(b)) for a, b in pairwise(edges))
        q = int(edges[-1])
        self._n = 0
        self._first_z, self._first_q = np.zeros(n_columns), np.zeros(q)
        self._cross, self._gram = np.zeros((n_columns, q)), np.zeros((q, q))
        self._second = np.zeros((n_columns, n_columns))

    def add(self, numbers: Indices, x: Array, y: Array) -> None:
        """Add the rows `numbers` (m,), of reduced scores x (m, rx) and y (m, ry)."""
        z = np.hstack([x, y])
        q = np.hstack([design.rows(numbers) for design in self._designs])
        self._n += len(z)
        self._first_z += z.sum(axis=0)
        self._first_q += q.sum(axis=0)
        self._cross += z.T @ q
        self._gram += q.T @ q
        self._second += z.T @ z

    def finish(self) -> CovariateMoments:
        """The products of all rows added, about their means."""
        n = max(self._n, 1)
        return CovariateMoments(
            self._n,
            self._names,
            self._parts,
            self._cross - np.outer(self._first_z, self._first_q) / n,
            self._gram - np.outer(self._first_q, self._first_q) / n,
            self._second - np.outer(self._first_z, self._first_z) / n,
        )


@dataclass(frozen=True)
class _Design:
    """A covariate as columns of numbers: one-hot classes, or standardised values with missing ones at the mean."""

    width: int
    codes: Indices | None
    values: Array | None

    def rows(self, numbers: Indices) -> Array:
        if self.codes is not None:
            one_hot = np.zeros((len(numbers), self.width))
            one_hot[np.arange(len(numbers)), self.codes[numbers]] = 1.0
            return one_hot
        assert self.values is not None  # noqa: S101  # nosec B101
        return self.values[numbers][:, None]


def _design(column: LabelColumn) -> _Design:
    if column.type is LabelType.CATEGORICAL:
        classes, codes = np.unique(column.values, return_inverse=True)
        return _Design(len(classes), codes.astype(np.int64), None)
    values = column.values.astype(np.float64)
    known = np.isfinite(values)
    if not known.any():
        return _Design(1, None, np.zeros(len(values)))
    centred = np.where(known, values - values[known].mean(), 0.0)
    largest = np.abs(centred).max()
    # By the largest: squares of very small and very large values leave double precision.
    return _Design(1, None, centred / largest if largest > 0 else centred)
