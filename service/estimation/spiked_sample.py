"""Populations and samples of the spiked model: covariances, hidden bases, pairs whose signal is known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from service.estimation.moments import Array, Indices
from service.estimation.objectives import JointCovariance
from service.estimation.spiked_model import SpikedModel

CHUNK_ROWS = 2048  # rows drawn at a time: they bound memory, and are part of what a seed means


@dataclass(frozen=True)
class Bases:
    """Orthogonal bases x (dx, dx) and y (dy, dy); column i is the direction of the model's coordinate i."""

    x: Array
    y: Array


@dataclass(frozen=True)
class Pairs:
    """Pairs x (n, dx), y (n, dy) and the shared signal (n, k) behind them, of unit variance."""

    x: Array
    y: Array
    signal: Array


def own_bases(model: SpikedModel) -> Bases:
    """The bases in which nothing is hidden: the coordinates themselves."""
    return Bases(np.eye(model.dx), np.eye(model.dy))


def random_bases(model: SpikedModel, seed: int) -> Bases:
    """Bases drawn uniformly (Haar). They depend on dx, dy and the seed alone, not on what is sampled in them."""
    rng = np.random.default_rng(_stream(seed, 0))
    return Bases(_orthogonal(rng, model.dx), _orthogonal(rng, model.dy))


def population(model: SpikedModel, bases: Bases) -> JointCovariance:
    """Sxx, Syy and Sxy of the model in `bases`."""
    paired = len(model.covariances)
    return JointCovariance(
        x=(bases.x * model.variances_x) @ bases.x.T,
        y=(bases.y * model.variances_y) @ bases.y.T,
        cross=(bases.x[:, :paired] * model.covariances) @ bases.y[:, :paired].T,
    )


def draw_chunks(model: SpikedModel, bases: Bases, n_pairs: int, seed: int) -> Iterator[Pairs]:
    """`n_pairs` independent, normally distributed pairs, at most CHUNK_ROWS at a time."""
    rng = np.random.default_rng(_stream(seed, 1))
    for start in range(0, n_pairs, CHUNK_ROWS):
        yield _draw(model, bases, min(CHUNK_ROWS, n_pairs - start), rng)


def draw(model: SpikedModel, bases: Bases, n_pairs: int, seed: int) -> Pairs:
    """The pairs of `draw_chunks` at once: 8 n (dx + dy + k) bytes."""
    chunks = list(draw_chunks(model, bases, n_pairs, seed))
    return Pairs(*(np.concatenate([getattr(chunk, name) for chunk in chunks]) for name in ("x", "y", "signal")))


def draw_labels(signal: Array, n_labeled: int, noise: float, seed: int) -> tuple[Indices, Array]:
    """Label rows (m,) in order, and as many linear labels (m, k) of their signal as it has coordinates.

    The labels are the signal turned by a random rotation, so that they know all of it equally well, plus independent
    noise of standard deviation `noise`.  Without signal there is one label of noise alone.
    """
    rng = np.random.default_rng(_stream(seed, 2))
    n_pairs, k = signal.shape
    rows = np.sort(rng.choice(n_pairs, n_labeled, replace=False))
    turned = signal[rows] @ _orthogonal(rng, k) if k else np.zeros((n_labeled, 1))
    return rows, turned + noise * rng.standard_normal(turned.shape)


def _draw(model: SpikedModel, bases: Bases, n: int, rng: np.random.Generator) -> Pairs:
    k, paired = model.k, len(model.nu)
    signal = rng.standard_normal((n, k))
    x = rng.standard_normal((n, model.dx))
    y = rng.standard_normal((n, model.dy))
    shared = signal * model.kappa
    nu = np.asarray(model.nu)
    both = slice(k, k + paired)
    y[:, both] = nu * x[:, both] + np.sqrt(1 - nu**2) * y[:, both]
    for values, gamma, gamma_tilde in (
        (x, model.gamma_x, model.gamma_tilde_x),
        (y, model.gamma_y, model.gamma_tilde_y),
    ):
        values[:, :k] = shared + values[:, :k] * np.sqrt(gamma)
        values[:, k:] *= np.sqrt(gamma_tilde)
    return Pairs(x @ bases.x.T, y @ bases.y.T, signal)


def _orthogonal(rng: np.random.Generator, d: int) -> Array:
    """A uniformly drawn orthogonal matrix (d, d): QR of a normal one, made unique by a positive diagonal of R."""
    q, r = np.linalg.qr(rng.standard_normal((d, d)))
    turned: Array = q * np.where(np.diag(r) < 0, -1.0, 1.0)
    return turned


def _stream(seed: int, place: int) -> np.random.SeedSequence:
    """One of a seed's independent streams, so that what one draws leaves the others alone."""
    return np.random.SeedSequence(seed, spawn_key=(place,))
