"""How the labels of worlds depend on the signal; `worlds` says what is drawn from what."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

import numpy as np

from service.estimation.moments import Array

RARE_SHARES = (0.03, 0.06)  # of the rows, between which that of the smallest class is drawn, in `one_rare_class`

Labeling = Callable[[np.random.Generator, Array], Array]
"""Labels (n, L) of signal scores (n, k); a column may turn out constant."""


class LabelKind(StrEnum):
    """What labels are."""

    LINEAR = "linear"
    SINGLE = "single"
    CLASSES = "classes"
    BINARY = "binary"
    MIXED = "mixed"
    RARE = "rare"


KIND_SHARES = {
    LabelKind.LINEAR: 0.25,
    LabelKind.SINGLE: 0.25,
    LabelKind.CLASSES: 0.2,
    LabelKind.BINARY: 0.1,
    LabelKind.MIXED: 0.1,
    LabelKind.RARE: 0.1,
}


def draw_kind(rng: np.random.Generator) -> LabelKind:
    """A kind by KIND_SHARES."""
    return tuple(KIND_SHARES)[int(rng.choice(len(KIND_SHARES), p=list(KIND_SHARES.values())))]


def linear(rng: np.random.Generator, signal: Array) -> Array:
    """k to 2k + 1 noisy linear maps."""
    k = signal.shape[1]
    width = int(rng.integers(k, 2 * k + 2))
    exact = signal @ (rng.standard_normal((k, width)) * rng.uniform(0.3, 1, (k, 1)))
    noise = rng.standard_normal(exact.shape) * exact.std(axis=0)
    return np.asarray(exact + noise * np.sqrt(rng.uniform(0.05, 2)))


def single(rng: np.random.Generator, signal: Array) -> Array:
    """One noisy weighted sum of all signal coordinates."""
    k = signal.shape[1]
    exact = (signal @ (rng.uniform(0.3, 1, k) * rng.choice([-1, 1], k)))[:, None]
    return np.asarray(exact + rng.standard_normal(exact.shape) * exact.std() * rng.uniform(0.1, 1.2))


def classes(rng: np.random.Generator, signal: Array) -> Array:
    """One-hot classes by the nearest of 3 to 12 centres, up to Gumbel noise."""
    return _one_hot(_noisy_distances(rng, signal).argmin(axis=1))


def rare(rng: np.random.Generator, signal: Array) -> Array:
    """The same, every class at a handicap that is exponential with mean 2: some are rare."""
    distances = _noisy_distances(rng, signal)
    return _one_hot((distances + rng.exponential(2.0, distances.shape[1])).argmin(axis=1))


def one_rare_class(rng: np.random.Generator, signal: Array) -> Array:
    """The same as `classes`, the last class, which is the smallest, cut to a share within RARE_SHARES of the rows.

    It holds the rows that are nearest to its centre compared to the others.  Drawn until no other class is smaller.
    """
    while True:
        share = rng.uniform(*RARE_SHARES)
        distances = _noisy_distances(rng, signal)
        others = distances[:, :-1]
        nearest = others.argmin(axis=1)
        advantage = others.min(axis=1) - distances[:, -1]
        nearest[advantage > np.quantile(advantage, 1 - share)] = others.shape[1]
        counts = np.bincount(nearest, minlength=distances.shape[1])
        if counts.argmin() == others.shape[1]:
            return _one_hot(nearest)


def binary(rng: np.random.Generator, signal: Array) -> Array:
    """Whether a noisy weighted sum of all signal coordinates exceeds a quantile of the sum."""
    exact = signal @ rng.uniform(0.4, 1, signal.shape[1])
    noisy = exact + rng.standard_normal(len(exact)) * exact.std() * rng.uniform(0.1, 0.8)
    return np.asarray((noisy > np.quantile(exact, rng.uniform(0.15, 0.85))).astype(float)[:, None])


def mixed(rng: np.random.Generator, signal: Array) -> Array:
    """Linear maps, the first of them cut in two at a quantile, and two columns that hang on nothing."""
    maps = linear(rng, signal)
    first = maps[:, :1]
    cut = (first > np.quantile(first, rng.uniform(0.2, 0.8))).astype(float)
    return np.hstack([maps, cut, rng.standard_normal((len(signal), 2))])


LABELINGS: dict[LabelKind, Labeling] = {
    LabelKind.LINEAR: linear,
    LabelKind.SINGLE: single,
    LabelKind.CLASSES: classes,
    LabelKind.BINARY: binary,
    LabelKind.MIXED: mixed,
    LabelKind.RARE: rare,
}


def _noisy_distances(rng: np.random.Generator, signal: Array) -> Array:
    """Squared distances (n, C) to the centres of C classes, with Gumbel noise of scale 0 to 1."""
    n_classes = int(rng.integers(3, 13))
    centres = rng.standard_normal((n_classes, signal.shape[1])) * rng.uniform(0.8, 2)
    distances = ((signal[:, None] - centres) ** 2).sum(axis=-1)
    return np.asarray(distances + rng.gumbel(size=distances.shape) * rng.uniform(0, 1))


def _one_hot(found: Array) -> Array:
    return np.asarray(np.eye(int(found.max()) + 1)[found])
