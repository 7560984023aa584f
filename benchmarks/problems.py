"""Problems whose true regime is known: the spiked signal-plus-noise model (Kamai et al. 2026, arXiv:2606.11190).

In hidden orthogonal bases of both modalities the first k coordinates are shared signal and the rest nuisance:

    Sxx = diag(kappa_i^2 + gamma_x ; tilde_x_j),  Syy alike,  Sxy = diag(kappa_i^2 ; eta_j)

and labels depend on the shared signal alone.  The separation ratios then follow in closed form.

A seed names one problem for ever: the distributions and the order of the random draws are part of the definition.
Regimes come in equal shares (seed mod 4), so that always naming one of them scores 0.25.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from service.estimation.moments import Array, Indices
from service.estimation.terms import Regime

REGIMES = tuple(Regime)
MAX_SIGNALS = 5
CLASSES = 8
BOUNDARY_WIDTH = 0.1  # |log ratio| below which a problem lies on the boundary


@dataclass(frozen=True)
class Size:
    """Numbers of pairs, of labeled pairs, and of features."""

    n_pairs: int
    n_labeled: int
    dx: int
    dy: int


SIZES = {
    "small": Size(600, 200, 24, 36),
    "medium": Size(2000, 500, 40, 60),
    "large": Size(10000, 1000, 80, 64),
    "tight": Size(300, 150, 60, 50),
}


class NuisanceProfile(StrEnum):
    """How the nuisance correlations fall off."""

    FLAT = "flat"
    DECAYING = "decaying"
    FEW = "few"


class LabelKind(StrEnum):
    """How labels depend on the signal."""

    LINEAR = "linear"
    CLASSES = "classes"
    SINGLE = "single"


@dataclass(frozen=True)
class TrueRatios:
    """Separation ratios of the population."""

    ca: float
    cp_x_to_y: float
    cp_y_to_x: float

    @property
    def regime(self) -> Regime:
        """The regime of the direction x to y."""
        if self.ca > 1:
            return Regime.BOTH if self.cp_x_to_y > 1 else Regime.CA_ONLY
        return Regime.CP_ONLY if self.cp_x_to_y > 1 else Regime.NEITHER

    @property
    def near_boundary(self) -> bool:
        """Whether a ratio that decides the regime is close to 1."""
        with np.errstate(divide="ignore"):  # a ratio is 0 without signal
            return min(abs(float(np.log(self.ca))), abs(float(np.log(self.cp_x_to_y)))) < BOUNDARY_WIDTH


@dataclass(frozen=True)
class SpikedModel:
    """Parameters of a population: kappa2 (k,), tilde_x (dx - k,), tilde_y (dy - k,), nu (min(dx, dy) - k,)."""

    kappa2: Array
    gamma_x: float
    gamma_y: float
    tilde_x: Array
    tilde_y: Array
    nu: Array
    profile: NuisanceProfile

    def ratios(self) -> TrueRatios:
        """Closed forms: min rho / max nu, and min tau / max xi in either direction."""
        paired = len(self.nu)
        eta = self.nu * np.sqrt(self.tilde_x[:paired] * self.tilde_y[:paired])
        strength_x, strength_y = self.kappa2 + self.gamma_x, self.kappa2 + self.gamma_y
        rho = self.kappa2 / np.sqrt(strength_x * strength_y)
        return TrueRatios(
            ca=float(rho.min() / self.nu.max()),
            cp_x_to_y=_prediction_ratio(self.kappa2, strength_x, eta, self.tilde_x[:paired]),
            cp_y_to_x=_prediction_ratio(self.kappa2, strength_y, eta, self.tilde_y[:paired]),
        )


@dataclass(frozen=True)
class Problem:
    """What an estimator is given, x (n, dx), y (n, dy), labels (m, L) of the pairs `rows` (m,), and the truth."""

    x: Array
    y: Array
    labels: Array
    rows: Indices
    ratios: TrueRatios
    label_kind: LabelKind
    profile: NuisanceProfile


def draw_problem(seed: int, size: Size) -> Problem:
    """Problem number `seed`.  Only the parameters are drawn again until the regime is the one due."""
    rng = np.random.default_rng(seed)
    due = REGIMES[seed % len(REGIMES)]
    while True:
        model = draw_model(rng, size.dx, size.dy)
        if model.ratios().regime is due:
            return sample(rng, model, size)


def draw_model(rng: np.random.Generator, dx: int, dy: int) -> SpikedModel:
    """Draw the parameters of a population."""
    k = int(rng.integers(1, MAX_SIGNALS + 1))
    kappa2 = _log_uniform(rng, 0.2, 6.0) * np.exp(rng.uniform(-0.4, 0.4, k))
    gamma_x = _log_uniform(rng, 0.05, 3.0)
    gamma_y = _log_uniform(rng, 0.05, 3.0)
    tilde_x = _log_uniform(rng, 0.1, 5.0) * np.exp(rng.uniform(-0.5, 0.5, dx - k))
    tilde_y = _log_uniform(rng, 0.1, 5.0) * np.exp(rng.uniform(-0.5, 0.5, dy - k))
    profile = tuple(NuisanceProfile)[int(rng.integers(len(NuisanceProfile)))]
    strong = int(rng.integers(1, 6))  # drawn for every profile, so that the stream does not depend on it
    shape = _nuisance_shape(profile, min(dx, dy) - k, strong)
    nu = rng.uniform(0.02, 0.98) * shape
    return SpikedModel(kappa2, gamma_x, gamma_y, tilde_x, tilde_y, nu, profile)


def sample(rng: np.random.Generator, model: SpikedModel, size: Size) -> Problem:
    """Draw pairs, hide their bases by rotations, and label some of them."""
    signal = rng.standard_normal((size.n_pairs, len(model.kappa2)))
    x, y = _modalities(rng, model, signal, size)
    x = x @ _rotation(rng, size.dx)
    y = y @ _rotation(rng, size.dy)
    kind = tuple(LabelKind)[int(rng.integers(len(LabelKind)))]
    labels = _labels(rng, kind, signal)
    rows = np.sort(rng.choice(size.n_pairs, size.n_labeled, replace=False))
    labels = labels[rows]
    return Problem(x, y, labels[:, labels.std(0) > 0], rows, model.ratios(), kind, model.profile)


def _prediction_ratio(kappa2: Array, strength: Array, eta: Array, tilde: Array) -> float:
    tau = kappa2 / np.sqrt(strength)
    xi = eta / np.sqrt(tilde)
    return float(tau.min() / xi.max())


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _nuisance_shape(profile: NuisanceProfile, count: int, strong: int) -> Array:
    match profile:
        case NuisanceProfile.FLAT:
            return np.ones(count)
        case NuisanceProfile.DECAYING:
            return np.asarray(np.arange(1, count + 1) ** -0.7)
        case NuisanceProfile.FEW:
            return np.where(np.arange(count) < strong, 1.0, 0.02)


def _modalities(rng: np.random.Generator, model: SpikedModel, signal: Array, size: Size) -> tuple[Array, Array]:
    """x and y in the bases of the model: signal coordinates first, then nuisance."""
    k, paired = len(model.kappa2), len(model.nu)
    shared = signal * np.sqrt(model.kappa2)
    signal_x = shared + rng.standard_normal(signal.shape) * np.sqrt(model.gamma_x)
    signal_y = shared + rng.standard_normal(signal.shape) * np.sqrt(model.gamma_y)
    left = rng.standard_normal((size.n_pairs, size.dx - k))
    right = rng.standard_normal((size.n_pairs, size.dy - k))
    right[:, :paired] = model.nu * left[:, :paired] + np.sqrt(1 - model.nu**2) * right[:, :paired]
    return (
        np.hstack([signal_x, left * np.sqrt(model.tilde_x)]),
        np.hstack([signal_y, right * np.sqrt(model.tilde_y)]),
    )


def _rotation(rng: np.random.Generator, d: int) -> Array:
    return np.linalg.qr(rng.standard_normal((d, d)))[0]


def _labels(rng: np.random.Generator, kind: LabelKind, signal: Array) -> Array:
    """Labels (n, L): noisy linear maps of the signal, one-hot nearest centres, or one noisy weighted sum."""
    k = signal.shape[1]
    match kind:
        case LabelKind.LINEAR:
            width = int(rng.integers(k, 2 * k + 2))
            labels = signal @ rng.standard_normal((k, width))
            noise = rng.standard_normal(labels.shape) * labels.std(0)
            return np.asarray(labels + noise * np.sqrt(rng.uniform(0, 1)))
        case LabelKind.CLASSES:
            centres = rng.standard_normal((CLASSES, k)) * 1.2
            nearest = ((signal[:, None] - centres) ** 2).sum(-1).argmin(1)
            return np.asarray(np.eye(CLASSES)[nearest])
        case LabelKind.SINGLE:
            total = (signal @ rng.uniform(0.5, 1.0, k))[:, None]
            return np.asarray(total + rng.standard_normal(total.shape) * total.std() * 0.5)
