"""What the posterior is computed from: second moments of the pairs, and of each set of labeled rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from service.estimation.moments import Array


@dataclass(frozen=True)
class PairMoments:
    """Covariances of the pairs in the coordinates in which components are orthogonal, and the pairs they are worth.

    With `whitened`, both modalities were given unit covariance first: sxx and syy are identities.
    """

    sxx: Array  # (dx, dx)
    sxy: Array  # (dx, dy)
    syy: Array  # (dy, dy)
    n: float  # effective pairs
    whitened: bool

    @property
    def paired(self) -> int:
        """Components that both modalities have: min(dx, dy)."""
        return int(min(self.sxy.shape))


@dataclass(frozen=True)
class LabelMoments:
    """Sums of products over one set of labeled rows, centred; targets are uncorrelated with unit variance."""

    m: float  # effective rows
    products: Array  # (dx + dy, dx + dy), of [x, y] with itself
    cross: Array  # (dx + dy, L), of [x, y] with the targets
    tt: Array  # (L,), sums of squares
    log_determinant: float = 0.0  # of the noise's covariance over its variance

    def mapped(self, to_x: Array, to_y: Array) -> LabelMoments:
        """The same rows in the coordinates x @ to_x, y @ to_y."""
        to = block_diagonal(to_x, to_y)
        return LabelMoments(self.m, to.T @ self.products @ to, to.T @ self.cross, self.tt, self.log_determinant)


def block_diagonal(of_x: Array, of_y: Array) -> Array:
    """[[of_x, 0], [0, of_y]]."""
    (dx, kx), (dy, ky) = of_x.shape, of_y.shape
    both = np.zeros((dx + dy, kx + ky))
    both[:dx, :kx], both[dx:, kx:] = of_x, of_y
    return both


def inverse_root(symmetric: Array, tolerance: float = 1e-10) -> tuple[Array, Array]:
    """S^{-1/2} and S^{1/2} of a positive definite matrix, eigenvalues floored at `tolerance` of the largest."""
    values, vectors = np.linalg.eigh(symmetric)
    roots = np.sqrt(np.maximum(values, tolerance * values[-1]))
    return (vectors / roots) @ vectors.T, (vectors * roots) @ vectors.T
