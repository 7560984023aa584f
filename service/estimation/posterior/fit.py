"""The best axes and how well they fit: Jacobi's sweeps, then Newton steps plane by plane with the curvature known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import linalg

from service.estimation.moments import Array
from service.estimation.posterior.diagonalize import diagonalize
from service.estimation.posterior.frames import (
    LARGEST_CORRELATION,
    Frames,
    Target,
    Variances,
    across,
    cayley,
    curvature,
    energy_gradient,
    measured,
)
from service.estimation.posterior.moments import PairMoments

SWEEPS = 1
STEPS = 40
SETTLED = 0.05  # a step that gains less log-likelihood is the last
HALVINGS = 5


@dataclass(frozen=True)
class BestAxes:
    """Axes of greatest likelihood, and the likelihood ratio against unrestricted covariances."""

    x: Array
    y: Array
    misfit: float  # over its degrees of freedom: about 1, or less, where the model holds
    freedom: float


def best_axes(pairs: PairMoments, n_pairs: int) -> BestAxes:
    """Orthogonal axes that make the moments most nearly diagonal; `n_pairs` are the pairs behind the moments.

    The ratio (n_pairs - (2 (dx + dy) + 11) / 6) (min f - log det S), S the covariance of [x, y], carries Bartlett's
    factor for many coordinates and is divided by the design effect n_pairs / pairs.n.  Correlations are bounded on both
    sides of it, so that a singular S does not decide alone.

    Returns: axes x (dx, dx), y (dy, dy) and the misfit, of mean about 1 where orthogonal components exist.
    """
    frames = measured(pairs, *diagonalize(pairs, SWEEPS))
    if not pairs.whitened:
        frames = _newton(pairs, frames)
    dx, dy = pairs.sxy.shape
    total = dx + dy
    minimum = float(frames.a.sum() + frames.b.sum() + np.log1p(-(np.tanh(frames.z) ** 2)).sum())
    parameters = total + pairs.paired + dx * (dx - 1) / 2 + dy * (dy - 1) / 2
    freedom = total * (total + 1) / 2 - parameters
    statistic = (n_pairs - (2 * total + 11) / 6) * (minimum - _joint_log_determinant(pairs)) * pairs.n / n_pairs
    return BestAxes(frames.x, frames.y, float(statistic / max(freedom, 1.0)), freedom)


def _joint_log_determinant(pairs: PairMoments) -> float:
    """log det of the covariance of [x, y], its canonical correlations bounded as the axes' correlations are.

    Where it is singular, as with no more pairs than coordinates, the likelihood ratio would be rounding otherwise.
    """
    root_x, root_y = linalg.cholesky(pairs.sxx, lower=True), linalg.cholesky(pairs.syy, lower=True)
    half = linalg.solve_triangular(root_x, pairs.sxy, lower=True)
    coupling = linalg.solve_triangular(root_y, half.T, lower=True)
    correlations = np.minimum(linalg.svdvals(coupling), LARGEST_CORRELATION)
    sides = 2 * float(np.log(root_x.diagonal()).sum() + np.log(root_y.diagonal()).sum())
    return sides + float(np.log1p(-(correlations**2)).sum())


def _newton(pairs: PairMoments, frames: Frames) -> Frames:
    flat = np.zeros(sum(pairs.sxy.shape))
    target = Target(pairs, pairs.n, None, Variances(flat, flat), labels=None)
    energy, gx, gy = energy_gradient(target, frames.x, frames.y)
    shape, length = curvature(frames, pairs.n), 1.0
    for taken in range(STEPS):
        if taken % 3 == 0:
            shape = curvature(frames, pairs.n)
        vx, vy = across(shape.inverse, -gx, -gy, pairs.paired)
        for _ in range(HALVINGS):
            x, y = frames.x @ cayley(vx, length), frames.y @ cayley(vy, length)
            lower, new_gx, new_gy = energy_gradient(target, x, y)
            if lower < energy:
                break
            length *= 0.4
        else:
            return frames
        gain, energy, gx, gy = energy - lower, lower, new_gx, new_gy
        frames, length = measured(pairs, x, y), min(1.0, 1.6 * length)
        if gain < SETTLED:
            break
    return frames
