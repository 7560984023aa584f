"""The optimal linear encoders of every objective, in closed form from sums over pairs (Kamai et al. 2026).

Whitening is ridged: (S + lambda I)^{-1/2} with lambda = tr(S) / n, which for p features and n pairs is p / n times the
mean variance, the order of the optimal ridge of a regression whose signal is as strong as its noise (Dobriban and Wager
2018, "High-dimensional asymptotics of prediction: ridge regression and classification").  It follows a modality's
unit, vanishes as n grows, so that the encoders tend to the population's, and where n comes near p it holds back the
directions of little variance, which sampling noise would otherwise make the most correlated ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from service.estimation.moments import Array, BlockMoments
from service.estimation.terms import Encoder

RANK_TOLERANCE = 1e-10  # a variance below this share of the modality's largest is rounding of the sums, not a direction


@dataclass(frozen=True)
class PrincipalAxes:
    """A modality's covariance S = axes diag(variances) axes^T, `axes` (r, rank), and the ridge of its whitening."""

    axes: Array
    variances: Array
    ridge: float

    @property
    def rank(self) -> int:
        """Directions that vary."""
        return len(self.variances)

    @property
    def deviations(self) -> Array:
        """Roots of the ridged variances (rank,): what whitening divides by."""
        roots: Array = np.sqrt(self.variances + self.ridge)
        return roots


@dataclass(frozen=True)
class Covariances:
    """What the encoders are made from: both modalities' axes and Sxy (rank_x, rank_y) in principal coordinates."""

    x: PrincipalAxes
    y: PrincipalAxes
    cross: Array


@dataclass(frozen=True)
class Planned:
    """One encoder to be probed, with the dimension of its embedding; None for raw features."""

    encoder: Encoder
    embedding_dim: int | None


def covariances(moments: BlockMoments, chosen: NDArray[np.bool_]) -> Covariances:
    """Covariances over all pairs of the `chosen` (B,) blocks."""
    pooled = moments.pooled(chosen.astype(np.float64))
    x, y = (_principal_axes(pooled.covariance[side, side], pooled.n) for side in moments.sides)
    return Covariances(x, y, x.axes.T @ pooled.covariance[moments.sides] @ y.axes)


def planned(dims: Sequence[int], rank_x: int, rank_y: int) -> tuple[Planned, ...]:
    """Every encoder at every dimension of `dims` that it can have: at least 1, at most its rank, each once.

    Raw features come first.  The cross-modal encoders have the rank of the coupling, the smaller of the two.
    """
    ranks = {
        Encoder.CA_X: min(rank_x, rank_y),
        Encoder.CA_Y: min(rank_x, rank_y),
        Encoder.CA_BOTH: min(rank_x, rank_y),
        Encoder.CP_X_TO_Y: min(rank_x, rank_y),
        Encoder.CP_Y_TO_X: min(rank_x, rank_y),
        Encoder.PCA_X: rank_x,
        Encoder.PCA_Y: rank_y,
    }
    raw = tuple(Planned(encoder, None) for encoder in (Encoder.X, Encoder.Y, Encoder.BOTH))
    return raw + tuple(
        Planned(encoder, dim)
        for encoder, rank in ranks.items()
        for dim in dict.fromkeys(min(dim, rank) for dim in dims if dim >= 1)
        if dim >= 1
    )


def encoding_matrices(found: Covariances, plan: Sequence[Planned]) -> tuple[Array, ...]:
    """The matrix (rx + ry, d) of every planned encoder; an embedding is [x, y] @ matrix, up to an offset.

    Embeddings need no common scale but must not depend on a modality's unit where two modalities meet: `both`
    divides each by the root of its total variance.  The canonical variates stand without the factor Phi_k^{-1/2} of the
    optimum: it only scales coordinates, and a ridged probe would be led to the weakly correlated ones.
    """
    x, y = found.x, found.y
    left, right = _singular_vectors(found.cross / np.outer(x.deviations, y.deviations))  # of C
    source_x, _ = _singular_vectors(found.cross / x.deviations[:, None])  # of A^T, X -> Y
    source_y, _ = _singular_vectors(found.cross.T / y.deviations[:, None])  # of A^T, Y -> X
    no_x, no_y = np.zeros((len(x.axes), 0)), np.zeros((len(y.axes), 0))

    def matrix(entry: Planned) -> Array:
        k = entry.embedding_dim
        match entry.encoder:
            case Encoder.X:
                parts = _scaled(x), no_y
            case Encoder.Y:
                parts = no_x, _scaled(y)
            case Encoder.BOTH:
                parts = _scaled(x), _scaled(y)
            case Encoder.CA_X:
                parts = _whitened(x, left[:, :k]), no_y
            case Encoder.CA_Y:
                parts = no_x, _whitened(y, right[:, :k])
            case Encoder.CA_BOTH:
                parts = _whitened(x, left[:, :k]), _whitened(y, right[:, :k])
            case Encoder.CP_X_TO_Y:
                parts = _whitened(x, source_x[:, :k]), no_y
            case Encoder.CP_Y_TO_X:
                parts = no_x, _whitened(y, source_y[:, :k])
            case Encoder.PCA_X:
                parts = x.axes[:, :k], no_y
            case Encoder.PCA_Y:
                parts = no_x, y.axes[:, :k]
        return np.asarray(linalg.block_diag(*parts), dtype=np.float64)

    return tuple(matrix(entry) for entry in plan)


def _principal_axes(matrix: Array, n: float) -> PrincipalAxes:
    variances, axes = linalg.eigh(matrix, check_finite=False)
    kept = np.flatnonzero(variances > RANK_TOLERANCE * max(float(variances[-1]), 0.0))[::-1]
    return PrincipalAxes(axes[:, kept], variances[kept], float(variances[kept].sum()) / n)


def _singular_vectors(matrix: Array) -> tuple[Array, Array]:
    """Left and right vectors as columns; their signs are free, for no probe depends on them."""
    left, _, right = linalg.svd(matrix, full_matrices=False, check_finite=False, lapack_driver="gesdd")
    return left, right.T


def _scaled(modality: PrincipalAxes) -> Array:
    """All features, divided by the root of their total variance."""
    total = float(modality.variances.sum())
    scale: Array = np.eye(len(modality.axes)) / np.sqrt(total if total > 0 else 1.0)
    return scale


def _whitened(modality: PrincipalAxes, directions: Array) -> Array:
    """(S + lambda I)^{-1/2} applied to `directions` (rank, k) in principal coordinates: (r, k)."""
    return modality.axes @ (directions / modality.deviations[:, None])
