"""Moment sums over blocks of rows: what every covariance and every cross-validated fit here is made of.

A fit on all rows but one block needs only the sums over that block and over all blocks, so that folds (and
permutations of label rows) cost a matrix product each and never a pass per component.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import Any

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


def assign_blocks(
    n: int, groups: NDArray[Any] | None, count: int, seed: int, kept: NDArray[np.bool_] | None = None
) -> Indices:
    """The block (n,) of each row, 0 to at most count - 1: groups are never split, sizes are as even as that allows.

    With `groups` (n,), one id per row, the largest group first goes to the block that has fewest rows, equal groups in
    a seeded order; there are no more blocks than groups.  Without groups a seeded shuffle is cut evenly.  Rows for
    which `kept` (n,) is false are in block -1 and count nowhere.
    """
    rows = np.arange(n) if kept is None else np.flatnonzero(kept)
    generator = np.random.RandomState(seed)
    blocks = np.full(n, -1, dtype=np.int64)
    if groups is None:
        blocks[rows[generator.permutation(len(rows))]] = np.arange(len(rows)) % count
        return blocks
    _, group_of_row, sizes = np.unique(groups[rows], return_inverse=True, return_counts=True)
    shuffled = generator.permutation(len(sizes))
    block_of_group = np.empty(len(sizes), dtype=np.int64)
    filled = [(0, block) for block in range(min(count, len(sizes)))]
    for group in shuffled[np.argsort(-sizes[shuffled], kind="stable")]:
        size, block = filled[0]
        block_of_group[group] = block
        heapq.heapreplace(filled, (size + int(sizes[group]), block))
    blocks[rows] = block_of_group[group_of_row]
    return blocks


@dataclass(frozen=True)
class Pooled:
    """Moments of all rows of some blocks: how many, mean (D,) and covariance (D, D), over n."""

    n: float
    mean: Array
    covariance: Array


@dataclass(frozen=True)
class BlockMoments:
    """Moment sums of z = [x, y] (D columns, x's first) over each of B disjoint blocks of rows.

    Memory is 8 B D^2 bytes.  The origin is free but common to all blocks; covariances lose digits to an origin many
    standard deviations off the mean.
    """

    counts: Array  # (B,), rows
    first: Array  # (B, D), sums
    second: Array  # (B, D, D), sums of products
    n_x: int  # columns of x

    @property
    def sides(self) -> tuple[slice, slice]:
        """The places of x's columns and of y's."""
        return slice(None, self.n_x), slice(self.n_x, None)

    def pooled(self, weights: Array) -> Pooled:
        """Moments of the blocks, each counted `weights` (B,) times: folds and jackknife leave out, bootstraps repeat.

        The weights must not all be 0.
        """
        n = float(weights @ self.counts)
        mean = weights @ self.first / n
        covariance = np.tensordot(weights, self.second, axes=1) / n - np.outer(mean, mean)
        return Pooled(n, mean, covariance)


class BlockSums:
    """Block moments while rows are being read."""

    def __init__(self, n_blocks: int, n_x: int, n_y: int) -> None:
        """Sums of no rows yet."""
        width = n_x + n_y
        self._n_x = n_x
        self._counts = np.zeros(n_blocks)
        self._first = np.zeros((n_blocks, width))
        self._second = np.zeros((n_blocks, width, width))

    def add(self, blocks: Indices, x: Array, y: Array) -> None:
        """Add rows x (m, n_x), y (m, n_y) to the blocks (m,) that they belong to; those of block -1 count nowhere."""
        order = np.argsort(blocks, kind="stable")
        z = np.hstack([x, y])[order]
        bounds = np.searchsorted(blocks[order], np.arange(len(self._counts) + 1))
        for block in np.flatnonzero(np.diff(bounds)):
            rows = z[bounds[block] : bounds[block + 1]]
            self._counts[block] += len(rows)
            self._first[block] += rows.sum(axis=0)
            self._second[block] += rows.T @ rows

    def finish(self) -> BlockMoments:
        """The moments of all rows added."""
        return BlockMoments(self._counts, self._first, self._second, self._n_x)


def block_moments(x: Array, y: Array, blocks: Indices, n_blocks: int) -> BlockMoments:
    """Moments of x (n, n_x) and y (n, n_y) over the blocks 0..n_blocks-1 that `blocks` (n,) puts the rows in."""
    sums = BlockSums(n_blocks, x.shape[1], y.shape[1])
    sums.add(blocks, x, y)
    return sums.finish()


def without(moments: BlockMoments, part: BlockMoments) -> BlockMoments:
    """Moments of the same blocks without the rows of `part`, which are among them: all pairs less the labeled ones."""
    return BlockMoments(
        moments.counts - part.counts, moments.first - part.first, moments.second - part.second, moments.n_x
    )


def side_by_side(moments: BlockMoments, others: BlockMoments) -> BlockMoments:
    """The blocks of `moments`, then those of `others`."""
    return BlockMoments(
        counts=np.concatenate([moments.counts, others.counts]),
        first=np.concatenate([moments.first, others.first]),
        second=np.concatenate([moments.second, others.second]),
        n_x=moments.n_x,
    )


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
