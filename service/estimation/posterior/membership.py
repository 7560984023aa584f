"""Which components are signal, and which of the others stand out; the priors of both.

Prior of S: p(k) proportional to exp(-SIZE_RATE k), all sets of one size alike; couplings z and log variances of the
signal components form exchangeable classes of their own, beside those of weak and of strong nuisance
(docs/calibrated.md, section 2).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from service.estimation.moments import Array, Indices
from service.estimation.posterior.exchangeable import Exchangeable, Stack
from service.estimation.posterior.labels import Loading

Flags = NDArray[np.bool_]

SIZE_RATE = 0.35  # of the geometric prior of the number of signal components
WEAK_ODDS, STRONG_ODDS = 4.5, 0.5  # beta prior of the share of strong nuisance


@dataclass(frozen=True)
class Classes:
    """Priors of the classes that components belong to."""

    weak: Exchangeable  # couplings of nuisance
    strong: Exchangeable  # couplings of the few nuisance components that stand out
    signal: Exchangeable  # couplings of signal
    variance_x: Exchangeable  # log variances of signal components in x
    variance_y: Exchangeable
    couplings: Stack  # weak, strong, signal
    signal_only: Stack  # the log variances: x, y


@dataclass(frozen=True)
class NuisanceVariances:
    """Mean and spread of the log variances of nuisance, in x and in y; None where both are whitened."""

    x: tuple[float, float]
    y: tuple[float, float]


@dataclass(frozen=True)
class Setting:
    """What the moves take as given."""

    classes: Classes
    nuisance: NuisanceVariances | None
    loading: Loading
    log_size_prior: Array  # (r + 2,), log p(S) by the size of S; the last is -inf


@dataclass(frozen=True)
class Membership:
    """Signal components (sorted), and which of the others count as strong nuisance (r,)."""

    signal: Indices
    strong: Flags

    def split(self) -> tuple[Indices, Indices]:
        """Weak and strong nuisance."""
        nuisance = np.ones(len(self.strong), dtype=bool)
        nuisance[self.signal] = False
        return np.flatnonzero(nuisance & ~self.strong), np.flatnonzero(nuisance & self.strong)


def log_size_prior(r: int) -> Array:
    """log p(S) for every size of S from 0 to r; one more, -inf, for sizes beyond."""
    k = np.arange(r + 2)
    choices = gammaln(r + 1) - gammaln(k + 1) - gammaln(np.maximum(r - k, 0) + 1)
    prior = -SIZE_RATE * k - choices
    prior[-1] = -np.inf
    return np.asarray(prior)


def flipped(members: Membership, i: int, strong: bool = False) -> Membership:
    """Component i out of the signal, as strong nuisance or weak, if it is there; else into it."""
    present = members.signal == i
    if not present.any():
        return replace(members, signal=np.sort(np.append(members.signal, i)))
    flags = members.strong.copy()
    flags[i] = strong
    return Membership(members.signal[~present], flags)
