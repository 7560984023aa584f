"""The coupling matrices of the two objectives and their singular triplets.

C = Sxx^{-1/2} Sxy Syy^{-1/2} (alignment) and A = Syx Sxx^{-1/2} (prediction X -> Y); Kamai et al. 2026.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import linalg

from service.estimation.moments import Array, centred, covariance


@dataclass(frozen=True)
class Components:
    """Singular values (c,), descending, and the scores (p, n, c) of each component's p predictors."""

    singular_values: Array
    scores: Array


@dataclass(frozen=True)
class Reduced:
    """A modality in its principal coordinates: scores (n, r), centred, with their singular values (r,)."""

    scores: Array
    singular_values: Array

    @property
    def rank(self) -> int:
        """Components that vary: singular values above n eps times the largest, the usual bound on rounding."""
        largest = self.singular_values.max(initial=0.0)
        return int((self.singular_values > len(self.scores) * np.finfo(np.float64).eps * largest).sum())


@dataclass(frozen=True)
class Whitened:
    """A modality with its ridged inverse square root: `whitener` = (S + ridge I)^{-1/2}, (r, r)."""

    scores: Array
    whitener: Array


def principal_components(values: Array, count: int) -> Reduced:
    """Exact PCA of `values` (n, d) to at most `count` components, by SVD of the centred matrix.

    The covariance is never formed: its eigenvalues below 1e-16 of the largest would be lost, and features in raw
    units reach there.  The sign of a component is fixed by `fix_signs`.
    """
    matrix = centred(values)
    _, singular_values, right = linalg.svd(matrix, full_matrices=False, check_finite=False, lapack_driver="gesdd")
    kept = min(count, len(singular_values))
    directions = fix_signs(right[:kept].T)
    return Reduced(centred(matrix @ directions), singular_values[:kept])


def whiten(reduced: Reduced, ridge: float, floor: float) -> Whitened:
    """Attach (S + ridge I)^{-1/2}, S the covariance over n, its eigenvalues floored at `floor`."""
    scores = reduced.scores
    eigenvalues, vectors = linalg.eigh(covariance(scores, scores) + ridge * np.eye(scores.shape[1]))
    return Whitened(scores, (vectors / np.sqrt(np.maximum(eigenvalues, floor))) @ vectors.T)


def alignment_components(x: Whitened, y: Whitened, count: int) -> Components:
    """Triplets of C (r_x, r_y); component i scores the pair (X Sxx^{-1/2} p_i, Y Syy^{-1/2} q_i)."""
    coupling = x.whitener @ covariance(x.scores, y.scores) @ y.whitener
    left, values, right = singular_triplets(coupling, count)
    return Components(
        np.clip(values, 0.0, 1.0), np.stack([x.scores @ (x.whitener @ left), y.scores @ (y.whitener @ right)])
    )


def prediction_components(source: Whitened, target: Whitened, count: int) -> Components:
    """Triplets U S V^T of A = S_target,source S_source^{-1/2}; component i scores X_source S_source^{-1/2} v_i."""
    coupling = covariance(target.scores, source.scores) @ source.whitener
    _, values, right = singular_triplets(coupling, count)
    return Components(values, (source.scores @ (source.whitener @ right))[None])


def covariance_components(x: Whitened, y: Whitened, count: int) -> Components:
    """Triplets of Sxy itself (partial least squares); component i scores the pair (X u_i, Y v_i)."""
    left, values, right = singular_triplets(covariance(x.scores, y.scores), count)
    return Components(values, np.stack([x.scores @ left, y.scores @ right]))


def unimodal_components(reduced: Reduced, count: int) -> Components:
    """Principal components of one modality; the singular value is the standard deviation s / sqrt(n) along it."""
    kept = min(count, len(reduced.singular_values))
    deviations = reduced.singular_values[:kept] / np.sqrt(len(reduced.scores))
    return Components(deviations, reduced.scores[None, :, :kept])


def singular_triplets(matrix: Array, count: int) -> tuple[Array, Array, Array]:
    """The `count` leading triplets (U, s, V) with matrix = U diag(s) V^T; signs as `fix_signs` sets them for U."""
    left, values, right = linalg.svd(matrix, full_matrices=False, check_finite=False, lapack_driver="gesdd")
    kept = min(count, len(values))
    left, right = left[:, :kept], right[:kept].T
    signs = _signs(left)
    return left * signs, values[:kept], right * signs


def fix_signs(vectors: Array) -> Array:
    """Turn every column so that its entry of largest absolute value is positive."""
    return vectors * _signs(vectors)


def _signs(vectors: Array) -> Array:
    largest = vectors[np.abs(vectors).argmax(axis=0), np.arange(vectors.shape[1])]
    return np.where(largest < 0, -1.0, 1.0)
