"""Worlds: data whose true ratios are known, wider than the accuracy benchmark's; probabilities are calibrated on them.

A seed names one world for ever: distributions and the order of the random draws are part of the definition, which is
this table (U uniform, LU log-uniform, N normal).  `crowded` worlds have many coordinates for their pairs.

    what                      wide                                       crowded, where it differs
    ------------------------  -----------------------------------------  ------------------------------------------
    regime x to y             seed mod 4, in the order of REGIMES
    pairs n                   LU(150, 8000)                              LU(150, 700)
    dx, dy                    each LU(5, min(90, 0.3 n))                 c n in all, c U(0.15, 0.55), a share
                                                                         U(0.25, 0.75) of them x's; 5 at least
    labeled pairs m           n LU(0.06, 1), at least 50, at most 2000   n LU(0.2, 1), at least 60
    signal coordinates k      half the time 1..8, else 1..4; at most half of min(dx, dy)
    signal kappa^2            LU(0.15, 8) exp U(-a, a) each, a U(0.1, 0.8)
    private gamma_x, gamma_y  LU(0.03, 4) exp U(-b, b) each, b U(0, 0.5)
    nuisance tilde_x, tilde_y LU(0.08, 6) exp N(0, s^2) each, s U(0.06, 0.6)
    nuisance nu               U(0.02, 0.98) times a spectrum:
      flat      0.25            exp -|N(0, 0.02^2)|
      power     0.25            j^-p, p U(0.3, 1.5)
      few       0.25            the first 1..6 are 1, or half the time U(0.85, 1); the rest are alike, U(0, 0.05)
      beta      0.2             Beta(U(0.3, 2), U(0.5, 4)), descending
      none      0.05            0
    mixing                    0.4 general, else orthogonal               0.25 general
      general                   Q exp(diag N(0, c^2)) Q', c U(0.2, 1.2), with Q, Q' orthogonal
    rows                      0.25 multivariate t, U(4.5, 10) degrees    0.2 t
                              of freedom, else normal
    groups                    0.15 grouped: ids uniform over n / U(1.5,  none
                              5) groups, 40 at least; a share U(0.3,
                              0.95) of every variance is the group's
    labels                    linear 0.25, single 0.25, classes 0.2, binary 0.1, mixed 0.1, rare 0.1 (`labelings`)

Parameters, and nothing else, are drawn anew until the regime is the one due; labels until one varies among the
labeled rows.  Labels depend on the signal scores alone.  Named families for reports are in `families`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.labelings import LABELINGS, Labeling, LabelKind, draw_kind
from benchmarks.populations import Population, draw_population, log_uniform
from benchmarks.problems import REGIMES, Size, TrueRatios
from service.estimation.moments import Array, Indices

WIDE_STREAM, CROWDED_STREAM = 77, 78  # beside the seed, so that no two generators share random numbers


@dataclass(frozen=True)
class Grouping:
    """Rows `members` (n,) belong to groups, which own a `share` of the variance of every hidden variable."""

    members: Indices
    share: float


@dataclass(frozen=True)
class Traits:
    """What a world is like besides its population and size."""

    degrees: float | None  # of freedom of multivariate t rows; None for normal ones
    grouping: Grouping | None
    label_kind: LabelKind


@dataclass(frozen=True)
class Sample:
    """x (n, dx), y (n, dy), the signal's scores (n, k), and the groups' part of them (groups, k), of unit variance."""

    x: Array
    y: Array
    signal: Array
    group_signal: Array | None


@dataclass(frozen=True)
class World:
    """What an estimator is given, x (n, dx), y (n, dy), labels (m, L) of the pairs `rows` (m,), groups; the truth."""

    x: Array
    y: Array
    labels: Array
    rows: Indices
    groups: Indices | None  # (n,)
    ratios: TrueRatios
    traits: Traits
    population: Population


def wide_world(seed: int) -> World:
    """World number `seed` of the wide generator."""
    rng = np.random.default_rng([seed, WIDE_STREAM])
    n = int(log_uniform(rng, 150, 8000))
    most = min(90.0, 0.3 * n)
    dx, dy = int(log_uniform(rng, 5, most)), int(log_uniform(rng, 5, most))
    m = int(min(n, 2000, max(50, n * log_uniform(rng, 0.06, 1))))
    general = bool(rng.random() < 0.4)
    degrees = float(rng.uniform(4.5, 10)) if rng.random() < 0.25 else None
    grouping = _random_groups(rng, n) if rng.random() < 0.15 else None
    return world(rng, seed, Size(n, m, dx, dy), Traits(degrees, grouping, draw_kind(rng)), general=general)


def crowded_world(seed: int) -> World:
    """World number `seed` of the generator of crowded worlds."""
    rng = np.random.default_rng([seed, CROWDED_STREAM])
    n = int(log_uniform(rng, 150, 700))
    coordinates, share = rng.uniform(0.15, 0.55) * n, rng.uniform(0.25, 0.75)
    dx, dy = max(5, int(coordinates * share)), max(5, int(coordinates * (1 - share)))
    m = int(min(n, max(60, n * log_uniform(rng, 0.2, 1))))
    general = bool(rng.random() < 0.25)
    degrees = float(rng.uniform(4.5, 10)) if rng.random() < 0.2 else None
    return world(rng, seed, Size(n, m, dx, dy), Traits(degrees, None, draw_kind(rng)), general=general)


def world(
    rng: np.random.Generator,
    seed: int,
    size: Size,
    traits: Traits,
    *,
    general: bool = False,
    signals: tuple[int, int] | None = None,
    labeling: Labeling | None = None,
    group_labels: bool = False,
) -> World:
    """Population of the regime due to `seed`, rows, labels of some.

    `labeling` instead of that of the label kind; with `group_labels` all rows of a group have the same labels, which
    depend on the group's part of the signal.
    """
    due = REGIMES[seed % len(REGIMES)]
    population = draw_population(rng, due, size.dx, size.dy, general=general, signals=signals)
    drawn = sample(rng, population, size.n_pairs, traits)
    rows = np.sort(rng.choice(size.n_pairs, size.n_labeled, replace=False))
    labels_by = labeling or LABELINGS[traits.label_kind]
    groups = None if traits.grouping is None else traits.grouping.members
    if group_labels:
        assert groups is not None
        assert drawn.group_signal is not None
        labels = labels_of(rng, labels_by, drawn.group_signal, groups[rows])
    else:
        labels = labels_of(rng, labels_by, drawn.signal, rows)
    return World(drawn.x, drawn.y, labels, rows, groups, population.ratios(), traits, population)


def sample(rng: np.random.Generator, population: Population, n: int, traits: Traits) -> Sample:
    """Draw n rows: hidden scores, coordinates, tails, mixing."""
    k, paired = len(population.kappa2), len(population.nu)
    dx, dy = len(population.mixing_x), len(population.mixing_y)
    signal, group_signal = _scores(rng, n, k, traits.grouping)
    shared = signal * np.sqrt(population.kappa2)
    signal_x = shared + _scores(rng, n, k, traits.grouping)[0] * np.sqrt(population.gamma_x)
    signal_y = shared + _scores(rng, n, k, traits.grouping)[0] * np.sqrt(population.gamma_y)
    left = _scores(rng, n, dx - k, traits.grouping)[0]
    right = _scores(rng, n, dy - k, traits.grouping)[0]
    right[:, :paired] = population.nu * left[:, :paired] + np.sqrt(1 - population.nu**2) * right[:, :paired]
    x = np.hstack([signal_x, left * np.sqrt(population.tilde_x)])
    y = np.hstack([signal_y, right * np.sqrt(population.tilde_y)])
    if traits.degrees is not None:
        scale = np.sqrt((traits.degrees - 2) / rng.chisquare(traits.degrees, n))[:, None]
        x, y, signal = x * scale, y * scale, signal * scale
    return Sample(x @ population.mixing_x, y @ population.mixing_y, signal, group_signal)


def labels_of(rng: np.random.Generator, labeling: Labeling, signal: Array, rows: Indices) -> Array:
    """Labels (m, L) of the `rows` (m,) of signal scores (n, k), those that vary among them; drawn until one does."""
    while True:
        labels = labeling(rng, signal)[rows]
        varying = np.ptp(labels, axis=0) > 0
        if varying.any():
            return labels[:, varying]


def _random_groups(rng: np.random.Generator, n: int) -> Grouping:
    n_groups = max(40, int(n / rng.uniform(1.5, 5)))
    return Grouping(rng.integers(0, n_groups, n), float(rng.uniform(0.3, 0.95)))


def _scores(rng: np.random.Generator, n: int, d: int, grouping: Grouping | None) -> tuple[Array, Array | None]:
    """Independent normal variables (n, d) of unit variance, and the groups' part of them."""
    own = rng.standard_normal((n, d))
    if grouping is None:
        return own, None
    common = rng.standard_normal((int(grouping.members.max()) + 1, d))
    return np.sqrt(grouping.share) * common[grouping.members] + np.sqrt(1 - grouping.share) * own, common
