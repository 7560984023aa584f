"""Populations with known separation ratios, wider than the spiked model; `worlds` says what is drawn from what.

In hidden coordinates x and y have diagonal covariances and couple coordinate by coordinate:

    signal i = 1..k        variances kappa_i^2 + gamma_x,i and kappa_i^2 + gamma_y,i, covariance kappa_i^2
    nuisance j             variances tilde_x,j and tilde_y,j, correlation nu_j

Rows are coordinates times a mixing matrix.  With an orthogonal one this is the spiked model (Kamai et al. 2026,
arXiv:2606.11190, section 2); with any other invertible one alignment sees the same population and prediction does not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from benchmarks.problems import TrueRatios
from service.estimation.moments import Array
from service.estimation.terms import Regime

MOST_SIGNALS, USUAL_SIGNALS = 8, 4


class Spectrum(StrEnum):
    """How the nuisance correlations fall off from the largest."""

    FLAT = "flat"
    POWER = "power"
    FEW = "few"
    BETA = "beta"
    NONE = "none"


SPECTRUM_SHARES = {
    Spectrum.FLAT: 0.25,
    Spectrum.POWER: 0.25,
    Spectrum.FEW: 0.25,
    Spectrum.BETA: 0.2,
    Spectrum.NONE: 0.05,
}


@dataclass(frozen=True)
class Population:
    """Parameters in hidden coordinates, and the mixing that hides them: rows are coordinates @ mixing."""

    kappa2: Array  # (k,)
    gamma_x: Array  # (k,)
    gamma_y: Array  # (k,)
    tilde_x: Array  # (dx - k,)
    tilde_y: Array  # (dy - k,)
    nu: Array  # (min(dx, dy) - k,), all 0 without coupled nuisance
    mixing_x: Array  # (dx, dx)
    mixing_y: Array  # (dy, dy)
    general: bool  # whether the mixing is invertible and no more
    spectrum: Spectrum

    @property
    def rho(self) -> Array:
        """Correlations (k,) of the signal coordinates."""
        return np.asarray(self.kappa2 / np.sqrt((self.kappa2 + self.gamma_x) * (self.kappa2 + self.gamma_y)))

    def ratios(self) -> TrueRatios:
        """Alignment: min rho / max nu, whatever the mixing.  Prediction: least gain on signal, largest on nuisance.

        Gains are singular values of A = Syx Sxx^{-1/2} (reversed: Sxy Syy^{-1/2}) on the subspaces of whitened sources
        that carry the signal and the nuisance.  With orthogonal mixing they are the closed forms tau and xi.
        """
        return TrueRatios(
            ca=_divided(self.rho.min(), self.nu.max()),
            cp_x_to_y=self._prediction(np.concatenate([self.kappa2 + self.gamma_y, self.tilde_y]), self.mixing_y),
            cp_y_to_x=self._prediction(np.concatenate([self.kappa2 + self.gamma_x, self.tilde_x]), self.mixing_x),
        )

    def _prediction(self, variances: Array, mixing: Array) -> float:
        """The ratio of a prediction whose target has these coordinate variances and this mixing."""
        k, paired = len(self.kappa2), len(self.kappa2) + len(self.nu)
        gains = np.concatenate([self.rho, self.nu]) * np.sqrt(variances[:paired])
        if not self.general:
            return _divided(gains[:k].min(), gains[k:].max())
        images = gains[:, None] * mixing[:paired]
        signal = np.linalg.svd(images[:k], compute_uv=False)
        nuisance = np.linalg.svd(images[k:], compute_uv=False)
        return _divided(signal[-1], nuisance[0])


def draw_population(
    rng: np.random.Generator, due: Regime, dx: int, dy: int, *, general: bool, signals: tuple[int, int] | None = None
) -> Population:
    """Draw until the regime x to y is the one due; `signals` are least and most signal coordinates."""
    while True:
        drawn = _draw_any(rng, dx, dy, general, signals)
        if drawn.ratios().regime is due:
            return drawn


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """A number whose logarithm is uniform."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _draw_any(rng: np.random.Generator, dx: int, dy: int, general: bool, signals: tuple[int, int] | None) -> Population:
    paired = min(dx, dy)
    k = _signal_count(rng, paired, signals)
    kappa2 = log_uniform(rng, 0.15, 8.0) * _spread(rng, k, rng.uniform(0.1, 0.8))
    private = rng.uniform(0, 0.5)
    gamma_x = log_uniform(rng, 0.03, 4.0) * _spread(rng, k, private)
    gamma_y = log_uniform(rng, 0.03, 4.0) * _spread(rng, k, private)
    deviation = rng.uniform(0.06, 0.6)
    tilde_x = log_uniform(rng, 0.08, 6.0) * np.exp(rng.normal(0, deviation, dx - k))
    tilde_y = log_uniform(rng, 0.08, 6.0) * np.exp(rng.normal(0, deviation, dy - k))
    spectrum = tuple(SPECTRUM_SHARES)[int(rng.choice(len(SPECTRUM_SHARES), p=list(SPECTRUM_SHARES.values())))]
    nu = rng.uniform(0.02, 0.98) * _nuisance_shape(rng, spectrum, paired - k)
    condition = rng.uniform(0.2, 1.2) if general else 0.0
    mixing_x, mixing_y = _mixing(rng, dx, condition), _mixing(rng, dy, condition)
    return Population(kappa2, gamma_x, gamma_y, tilde_x, tilde_y, nu, mixing_x, mixing_y, general, spectrum)


def _signal_count(rng: np.random.Generator, paired: int, signals: tuple[int, int] | None) -> int:
    if signals is not None:
        low, high = signals
        return int(rng.integers(low, min(high, paired // 2) + 1))
    most = max(1, min(MOST_SIGNALS, paired // 2))
    return int(rng.integers(1, (most if rng.random() < 0.5 else min(most, USUAL_SIGNALS)) + 1))


def _spread(rng: np.random.Generator, count: int, width: float) -> Array:
    return np.asarray(np.exp(rng.uniform(-width, width, count)))


def _nuisance_shape(rng: np.random.Generator, spectrum: Spectrum, count: int) -> Array:
    match spectrum:
        case Spectrum.FLAT:
            return np.asarray(np.exp(-np.abs(rng.normal(0, 0.02, count))))
        case Spectrum.POWER:
            return np.asarray(np.arange(1, count + 1) ** -rng.uniform(0.3, 1.5))
        case Spectrum.FEW:
            strong = rng.uniform(0.85, 1, count) if rng.random() < 0.5 else np.ones(count)
            return np.where(np.arange(count) < rng.integers(1, 7), strong, rng.uniform(0, 0.05))
        case Spectrum.BETA:
            return np.asarray(np.sort(rng.beta(rng.uniform(0.3, 2), rng.uniform(0.5, 4), count))[::-1])
        case Spectrum.NONE:
            return np.zeros(count)


def _mixing(rng: np.random.Generator, d: int, condition: float) -> Array:
    """Orthogonal; with a positive `condition` two orthogonal matrices around a diagonal exp(N(0, condition^2))."""
    first = np.linalg.qr(rng.standard_normal((d, d)))[0]
    if not condition:
        return first
    second = np.linalg.qr(rng.standard_normal((d, d)))[0]
    return np.asarray((first * np.exp(rng.normal(0, condition, d))) @ second)


def _divided(signal: float, nuisance: float) -> float:
    return float(signal / nuisance) if nuisance > 0 else math.inf
