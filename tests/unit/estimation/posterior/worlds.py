"""Moments and data for the tests of the posterior: spiked worlds, others, and problems small enough to enumerate."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from service.estimation.posterior.moments import LabelMoments, PairMoments


class World(NamedTuple):
    x: np.ndarray
    y: np.ndarray
    labels: np.ndarray
    signal: np.ndarray


def rotation(rng: np.random.Generator, d: int) -> np.ndarray:
    q, r = np.linalg.qr(rng.standard_normal((d, d)))
    return q * np.sign(np.diag(r))


def spiked_world(
    seed: int = 0,
    n: int = 300,
    dx: int = 7,
    dy: int = 5,
    k: int = 2,
    kappa: float = 1.5,
    nu: float = 0.3,
    n_labels: int = 2,
    noise: float = 0.5,
) -> World:
    """k signal components of correlation kappa^2 / (kappa^2 + 0.36); nuisance of variance 1 and correlation nu."""
    rng = np.random.default_rng(seed)
    r = min(dx, dy)
    shared = rng.standard_normal((n, r))
    x, y = rng.standard_normal((n, dx)), rng.standard_normal((n, dy))
    for side in (x, y):
        side[:, :k] = kappa * shared[:, :k] + 0.6 * side[:, :k]
        side[:, k:r] = np.sqrt(nu) * shared[:, k:] + np.sqrt(1 - nu) * side[:, k:r]
    signal = shared[:, :k]
    labels = signal @ rng.standard_normal((k, n_labels)) + noise * rng.standard_normal((n, n_labels))
    return World(x @ rotation(rng, dx), y @ rotation(rng, dy), labels, signal)


def pair_moments(x: np.ndarray, y: np.ndarray) -> PairMoments:
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    n = len(x)
    return PairMoments(x.T @ x / n, x.T @ y / n, y.T @ y / n, float(n), whitened=False)


def label_moments(x: np.ndarray, y: np.ndarray, targets: np.ndarray) -> LabelMoments:
    z = np.hstack([x - x.mean(axis=0), y - y.mean(axis=0)])
    t = targets - targets.mean(axis=0)
    return LabelMoments(float(len(z)), z.T @ z, z.T @ t, (t**2).sum(axis=0))


def general_moments(seed: int, dx: int, dy: int, n: float = 50.0) -> PairMoments:
    """A covariance without structure."""
    rng = np.random.default_rng(seed)
    z = rng.standard_normal((4 * (dx + dy), dx + dy)) @ rng.standard_normal((dx + dy, dx + dy))
    s = z.T @ z / len(z)
    return PairMoments(s[:dx, :dx], s[:dx, dx:], s[dx:, dx:], n, whitened=False)


def diagonal_moments(
    log_variances_x: np.ndarray, log_variances_y: np.ndarray, correlations: np.ndarray, n: float
) -> PairMoments:
    """Moments that are diagonal as they are."""
    dx, dy, r = len(log_variances_x), len(log_variances_y), len(correlations)
    cross = np.zeros((dx, dy))
    cross[np.arange(r), np.arange(r)] = correlations * np.exp(0.5 * (log_variances_x[:r] + log_variances_y[:r]))
    return PairMoments(np.diag(np.exp(log_variances_x)), cross, np.diag(np.exp(log_variances_y)), n, whitened=False)


def turned(pairs: PairMoments, x: np.ndarray, y: np.ndarray) -> PairMoments:
    """The same moments in coordinates turned by x and y."""
    return PairMoments(x @ pairs.sxx @ x.T, x @ pairs.sxy @ y.T, y @ pairs.syy @ y.T, pairs.n, pairs.whitened)
