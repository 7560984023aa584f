"""Optima of both cross-modal objectives in closed form, of a population or of a sample (Kamai et al. 2026).

Alignment minimises E|Wx - Vy|^2 subject to E[Wx (Vy)^T] = I_k: canonical correlation analysis.  Prediction minimises
E|y - DEx|^2 over rank k: reduced-rank regression.  Nothing is ridged: directions that do not vary are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import linalg

from service.estimation.coupling import singular_triplets
from service.estimation.errors import InvalidModel
from service.estimation.moments import Array, BlockMoments, block_moments, centred
from service.estimation.terms import Direction

RANK_TOLERANCE = 1e-13  # variance, or coupling, below this share of the largest is rounding


@dataclass(frozen=True)
class JointCovariance:
    """Sxx (dx, dx), Syy (dy, dy) and Sxy (dx, dy)."""

    x: Array
    y: Array
    cross: Array

    @cached_property
    def whitener_x(self) -> Array:
        """Sxx^{-1/2}."""
        return inverse_root(self.x)

    @cached_property
    def whitener_y(self) -> Array:
        """Syy^{-1/2}."""
        return inverse_root(self.y)


@dataclass(frozen=True)
class Triplets:
    """Singular values (m,) of a coupling matrix, with its singular vectors on either side, (dx, m) and (dy, m)."""

    values: Array
    x: Array
    y: Array


@dataclass(frozen=True)
class Alignment:
    """The optimum of alignment: encoders W (k, dx) and V (k, dy), and the triplets that they are made from."""

    W: Array
    V: Array
    triplets: Triplets


@dataclass(frozen=True)
class Prediction:
    """The optimum of prediction: encoder E (k, d_source), decoder D (d_target, k), and the triplets behind them."""

    E: Array
    D: Array
    triplets: Triplets


def sample_covariance(moments: BlockMoments) -> JointCovariance:
    """Covariances over n of the pairs of all blocks."""
    pooled = moments.pooled(np.ones(len(moments.counts))).covariance
    x, y = moments.sides
    return JointCovariance(pooled[x, x], pooled[y, y], pooled[x, y])


def joint_covariance(x: Array, y: Array) -> JointCovariance:
    """Covariances over n of pairs x (n, dx), y (n, dy), whatever their means."""
    one_block = np.zeros(len(x), dtype=np.int64)
    return sample_covariance(block_moments(centred(x), centred(y), one_block, 1))


def alignment_triplets(joint: JointCovariance) -> Triplets:
    """All triplets of C = Sxx^{-1/2} Sxy Syy^{-1/2} = P Phi Q^T; `x` holds P and `y` holds Q.  No value exceeds 1."""
    coupling = joint.whitener_x @ joint.cross @ joint.whitener_y
    left, values, right = singular_triplets(coupling, min(coupling.shape))
    return Triplets(np.clip(values, 0.0, 1.0), left, right)


def prediction_triplets(joint: JointCovariance, direction: Direction) -> Triplets:
    """All triplets of A = S_target,source S_source^{-1/2} = U Sigma V^T; U belongs to the target, V to the source."""
    forward = direction is Direction.X_TO_Y
    coupling = joint.cross.T @ joint.whitener_x if forward else joint.cross @ joint.whitener_y
    target, values, source = singular_triplets(coupling, min(coupling.shape))
    return Triplets(values, source, target) if forward else Triplets(values, target, source)


def align(joint: JointCovariance, k: int) -> Alignment:
    """W = Phi_k^{-1/2} P_k^T Sxx^{-1/2} and V = Phi_k^{-1/2} Q_k^T Syy^{-1/2}.

    They attain the least |W Sxx^{1/2}|_F^2 + |V Syy^{1/2}|_F^2 of any feasible pair, 2 sum_{i<=k} 1 / phi_i.

    Raises: InvalidModel when fewer than k directions are coupled.
    """
    triplets = alignment_triplets(joint)
    _check_rank(triplets, k)
    scale = np.sqrt(triplets.values[:k])
    return Alignment(
        W=(triplets.x[:, :k] / scale).T @ joint.whitener_x,
        V=(triplets.y[:, :k] / scale).T @ joint.whitener_y,
        triplets=triplets,
    )


def predict(joint: JointCovariance, k: int, direction: Direction) -> Prediction:
    """E = V_k^T S_source^{-1/2} and D = U_k Sigma_k, so that the best prediction of rank k is D E source.

    Raises: InvalidModel when fewer than k directions are coupled.
    """
    triplets = prediction_triplets(joint, direction)
    _check_rank(triplets, k)
    if direction is Direction.X_TO_Y:
        source, whitener, target = triplets.x, joint.whitener_x, triplets.y
    else:
        source, whitener, target = triplets.y, joint.whitener_y, triplets.x
    return Prediction(E=source[:, :k].T @ whitener, D=target[:, :k] * triplets.values[:k], triplets=triplets)


def subspace_distance(a: Array, b: Array) -> float | None:
    """Sine of the largest principal angle between the spans of the columns of a (d, k) and b (d, k), 0 to 1.

    0 when the spans are equal, 1 when one holds a direction orthogonal to the other; None for k = 0.  The columns of
    each must be independent; how long they are does not matter.
    """
    if a.shape[1] == 0:
        return None
    units = (columns / np.linalg.norm(columns, axis=0) for columns in (a, b))
    return float(np.sin(linalg.subspace_angles(*units)[0]))


def inverse_root(matrix: Array) -> Array:
    """S^{-1/2}, on the directions of S (d, d) that vary and 0 on the others."""
    variances, axes = linalg.eigh(matrix, check_finite=False)
    kept = variances > RANK_TOLERANCE * max(float(variances[-1]), 0.0)
    axes = axes[:, kept]
    root: Array = (axes / np.sqrt(variances[kept])) @ axes.T
    return root


def _check_rank(triplets: Triplets, k: int) -> None:
    values = triplets.values
    rank = int((values > RANK_TOLERANCE * values.max(initial=0.0)).sum())
    if k > rank:
        raise InvalidModel(
            f"A solution of rank {k} was asked for, but only {rank} directions of x and y are coupled. Ask for at most "
            f"{rank}.",
            part="model",
        )
