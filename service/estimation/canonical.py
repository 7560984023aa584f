"""Canonical components of block moments, and their correlations on rows that they were not fitted to."""

from __future__ import annotations

import numpy as np
from scipy import linalg

from service.estimation.moments import Array, BlockMoments, Pooled

RIDGE = 1e-3  # of a coordinate's variance: fits to few rows stay finite, correlations near 1 stay near 1
FOLDS = 5
CANCELLATION = 1e-12  # share of a coordinate's mean square below which its variance is rounding


def canonical_weights(pooled: Pooled, sides: tuple[slice, slice], count: int) -> tuple[Array, Array]:
    """Weights (r_x, k) and (r_y, k) of the `count` leading canonical components; a ridge is added to every variance."""
    x, y = sides
    variances = np.diag(pooled.covariance)
    varying = variances > CANCELLATION * (variances + pooled.mean**2)
    # Infinite where nothing varies: such a coordinate is coupled to nothing and gets no weight.
    scale = np.sqrt(np.where(varying, variances, np.inf))
    covariance = pooled.covariance / np.outer(scale, scale) + RIDGE * np.eye(len(scale))
    roots = [linalg.cholesky(covariance[part, part], lower=True) for part in (x, y)]
    half = linalg.solve_triangular(roots[0], covariance[x, y], lower=True)
    coupling = linalg.solve_triangular(roots[1], half.T, lower=True).T
    left, _, right = linalg.svd(coupling, full_matrices=False)
    k = min(count, *coupling.shape)
    weights_x = linalg.solve_triangular(roots[0].T, left[:, :k]) / scale[x, None]
    weights_y = linalg.solve_triangular(roots[1].T, right[:k].T) / scale[y, None]
    return weights_x, weights_y


def held_out_correlations(moments: BlockMoments, count: int) -> Array:
    """The `count` leading canonical correlations, fitted to all blocks but a fifth and measured in that fifth.

    Of the correlation pooled over the fifths and its median over them the smaller: one row far out cannot raise both.
    Returns (k,), empty with a single block.
    """
    filled = np.flatnonzero(moments.counts)
    n_folds = min(FOLDS, len(filled))
    if n_folds < 2:
        return np.empty(0)
    everything = np.ones(len(moments.counts))
    x, y = moments.sides
    folds = []
    for fold in range(n_folds):
        held = np.zeros(len(everything))
        held[filled[fold::n_folds]] = 1.0
        a, b = canonical_weights(moments.pooled(everything - held), moments.sides, count)
        rows = moments.pooled(held)
        products = rows.n * rows.covariance
        folds.append(
            [_diagonal(a, products[x, y], b), _diagonal(a, products[x, x], a), _diagonal(b, products[y, y], b)]
        )
    pooled = _correlation(np.sum(folds, axis=0))
    each = np.array([_correlation(np.asarray(fold)) for fold in folds])
    return np.asarray(np.minimum(pooled, np.median(each, axis=0)))


def _diagonal(a: Array, products: Array, b: Array) -> Array:
    return np.asarray(np.einsum("ik,ik->k", a, products @ b))


def _correlation(products: Array) -> Array:
    """Correlations (k,) from sums of products (3, k) of a with b, a with a and b with b."""
    squares = products[1] * products[2]
    return np.clip(np.where(squares > 0, products[0] / np.sqrt(np.where(squares > 0, squares, 1.0)), 0.0), -1.0, 1.0)
