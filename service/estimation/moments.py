"""Moment sums over blocks of rows: what every covariance and every cross-validated fit here is made of.

A fit on all rows but one block needs only the sums over that block and over all blocks, so that folds (and
permutations of label rows) cost a matrix product each and never a pass per component.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Indices = NDArray[np.int64]


def centred(values: Array) -> Array:
    """Columns of `values` (n, d) minus their means."""
    deviations: Array = values - values.mean(axis=0)
    return deviations


def covariance(a: Array, b: Array) -> Array:
    """Cross-covariance a^T b / n of two centred matrices (n, da) and (n, db): (da, db), with n and not n - 1."""
    return a.T @ b / len(a)


@dataclass(frozen=True)
class Blocks:
    """A partition of the rows 0..n-1 into consecutive runs of `order`; block b is order[bounds[b]:bounds[b+1]]."""

    order: Indices
    bounds: tuple[int, ...]

    @property
    def sizes(self) -> Array:
        """Rows of each block."""
        return np.diff(np.asarray(self.bounds, dtype=np.float64))

    def slices(self) -> tuple[slice, ...]:
        """Each block's place in `order`."""
        return tuple(slice(a, b) for a, b in zip(self.bounds[:-1], self.bounds[1:], strict=True))


def shuffled_blocks(n: int, count: int, seed: int) -> Blocks:
    """Cut a seeded shuffle of n rows into `count` blocks, the first n mod count of them one longer.

    The generator is `numpy.random.RandomState`, whose stream is frozen: the blocks never change with numpy's version.
    """
    order = np.arange(n)
    np.random.RandomState(seed).shuffle(order)
    sizes = np.full(count, n // count)
    sizes[: n % count] += 1
    return Blocks(order, (0, *(int(b) for b in np.cumsum(sizes))))


@dataclass(frozen=True)
class LabelSums:
    """Per block and label column: sum and sum of squares, each (blocks, L)."""

    first: Array
    second: Array


def label_sums(labels: Array, blocks: Blocks) -> LabelSums:
    """Sums of `labels` (n, L), whose rows are already in block order."""
    parts = [labels[rows] for rows in blocks.slices()]
    return LabelSums(
        first=np.stack([part.sum(axis=0) for part in parts]),
        second=np.stack([np.einsum("nl,nl->l", part, part) for part in parts]),
    )


@dataclass(frozen=True)
class PredictorSums:
    """Per block and component: sums (blocks, c, p) and products (blocks, c, p, p) of the component's p predictors."""

    first: Array
    second: Array


def predictor_sums(predictors: Array, blocks: Blocks) -> PredictorSums:
    """Sums of `predictors` (p, n, c), whose rows are already in block order."""
    parts = [predictors[:, rows] for rows in blocks.slices()]
    return PredictorSums(
        first=np.stack([part.sum(axis=1).T for part in parts]),
        second=np.stack([np.einsum("pnc,qnc->cpq", part, part) for part in parts]),
    )


def cross_sums(predictors: Array, labels: Array, blocks: Blocks) -> Array:
    """Products of every predictor with every label, per block: (blocks, c, p, L); one matrix product a predictor."""
    return np.stack(
        [np.stack([predictor[rows].T @ labels[rows] for predictor in predictors], axis=1) for rows in blocks.slices()]
    )
