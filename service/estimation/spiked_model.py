"""The spiked signal-plus-noise model: its parameters, what they must obey, and what follows in closed form.

In hidden orthogonal bases of both modalities the first k coordinates are shared signal and the rest nuisance:

    Sxx = diag(kappa_i^2 + gamma_x_i ; gamma_tilde_x_j),   Syy alike,   Sxy = diag(kappa_i^2 ; eta_j),
    eta_j = nu_j sqrt(gamma_tilde_x_j gamma_tilde_y_j)

Source: Kamai et al. 2026, arXiv:2606.11190 (docs/notation.md has their symbols).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from service.estimation.errors import InvalidModel
from service.estimation.moments import Array
from service.estimation.record import Record
from service.estimation.separation import RATIO_FLOOR, direction_of, regime_of, separation, without_ties
from service.estimation.separation_records import Regimes, Separation, Separations
from service.estimation.terms import Direction

MAX_FEATURES = 512  # of either modality
# They hold the published coordinates, and leave the singular values of a sample seven digits or more.
KAPPA_BOUNDS = (1e-2, 1e3)
GAMMA_BOUNDS = (0.0, 1e5)
GAMMA_TILDE_BOUNDS = (1e-4, 1e4)
NU_BOUNDS = (0.0, 1.0)
TIE = 8 * float(np.finfo(np.float64).eps)  # closed forms take a handful of roundings; what differs by less is equal

Values = float | Sequence[float]


@dataclass(frozen=True)
class SpikedModel(Record):
    """A population of k signal coordinates and the nuisance of both modalities; made only of parameters that exist.

    Raises: InvalidModel.
    """

    kappa: tuple[float, ...]
    """Strength of each of the k signal coordinates: the square is the variance that x and y share in it."""
    gamma_x: tuple[float, ...]
    """Private variance of x in each signal coordinate."""
    gamma_y: tuple[float, ...]
    """Private variance of y in each signal coordinate."""
    gamma_tilde_x: tuple[float, ...]
    """Variance of each of the dx - k nuisance coordinates of x."""
    gamma_tilde_y: tuple[float, ...]
    """Variance of each of the dy - k nuisance coordinates of y."""
    nu: tuple[float, ...]
    """Correlation of nuisance coordinate j of x with that of y, for the min(dx, dy) - k that both have."""

    def __post_init__(self) -> None:
        """Refuse parameters that no population has."""
        _check(self)

    @property
    def k(self) -> int:
        """Signal coordinates."""
        return len(self.kappa)

    @property
    def dx(self) -> int:
        """Features of x."""
        return self.k + len(self.gamma_tilde_x)

    @property
    def dy(self) -> int:
        """Features of y."""
        return self.k + len(self.gamma_tilde_y)

    @property
    def shared(self) -> Array:
        """kappa^2 (k,): the shared variance of each signal coordinate."""
        return np.square(np.asarray(self.kappa, dtype=np.float64))

    @property
    def variances_x(self) -> Array:
        """Diagonal of Sxx (dx,) in the hidden basis."""
        return np.concatenate([self.shared + self.gamma_x, self.gamma_tilde_x])

    @property
    def variances_y(self) -> Array:
        """Diagonal of Syy (dy,) in the hidden basis."""
        return np.concatenate([self.shared + self.gamma_y, self.gamma_tilde_y])

    @property
    def covariances(self) -> Array:
        """Diagonal of Sxy (min(dx, dy),) in the hidden bases: kappa^2, then eta."""
        paired = len(self.nu)
        products = np.asarray(self.gamma_tilde_x[:paired]) * np.asarray(self.gamma_tilde_y[:paired])
        return np.concatenate([self.shared, np.asarray(self.nu) * np.sqrt(products)])


@dataclass(frozen=True)
class Directed(Record):
    """Singular values of cross-modal prediction, which has two directions."""

    x_to_y: tuple[float, ...]
    """When y is predicted from x."""
    y_to_x: tuple[float, ...]
    """When x is predicted from y."""


@dataclass(frozen=True)
class ModelSeparation(Record):
    """What a spiked model's parameters say of every objective, in closed form."""

    model: SpikedModel
    """The parameters, one value per coordinate."""
    rho: tuple[float, ...]
    """Singular values of alignment, signal: kappa^2 / sqrt((kappa^2 + gamma_x) (kappa^2 + gamma_y))."""
    nu: tuple[float, ...]
    """Singular values of alignment, nuisance: the nuisance correlations."""
    tau: Directed
    """Singular values of prediction, signal: kappa^2 / sqrt(kappa^2 + gamma of the source)."""
    xi: Directed
    """Singular values of prediction, nuisance: nu sqrt(gamma_tilde of the target)."""
    separation: Separations
    """Separation ratio of each objective. A population has no uncertainty: interval, would_settle and floor_component
    are null. Nuisance of which nothing is coupled counts as none."""
    regimes: Regimes
    """Regime of each direction."""
    direction: Direction | None
    """The way with the larger prediction ratio among those that recover the signal; null when neither does."""


def spiked_model(
    kappa: Sequence[float],
    gamma_x: Values,
    gamma_y: Values,
    gamma_tilde_x: Values,
    gamma_tilde_y: Values,
    nu: Values,
    dx: int | None = None,
    dy: int | None = None,
) -> SpikedModel:
    """The model of these parameters, each a value per coordinate or one number for all of them.

    Arguments:
        kappa (k,): one entry per signal coordinate; empty for a model without signal.
        gamma_x, gamma_y: private signal variances (k,); gamma_tilde_x (dx - k,), gamma_tilde_y (dy - k,): nuisance
            variances; nu (min(dx, dy) - k,): nuisance correlations.
        dx, dy: features; needed where a gamma_tilde is one number.

    Raises: InvalidModel.
    """
    k = len(kappa)
    tilde_x = _spread(gamma_tilde_x, _nuisance_count("x", k, dx, gamma_tilde_x))
    tilde_y = _spread(gamma_tilde_y, _nuisance_count("y", k, dy, gamma_tilde_y))
    return SpikedModel(
        kappa=_spread(kappa, k),
        gamma_x=_spread(gamma_x, k),
        gamma_y=_spread(gamma_y, k),
        gamma_tilde_x=tilde_x,
        gamma_tilde_y=tilde_y,
        nu=_spread(nu, min(len(tilde_x), len(tilde_y))),
    )


def model_separation(model: SpikedModel) -> ModelSeparation:
    """Singular values of every objective, the three separation ratios, and the regimes of both directions."""
    k, paired = model.k, len(model.nu)
    signal_x, signal_y = model.variances_x[:k], model.variances_y[:k]
    nu = np.asarray(model.nu)
    ca = np.concatenate([correlation(model.shared, signal_x, signal_y), nu])
    forward = np.concatenate([coupling_strength(model.shared, signal_x), nu * np.sqrt(model.gamma_tilde_y[:paired])])
    reverse = np.concatenate([coupling_strength(model.shared, signal_y), nu * np.sqrt(model.gamma_tilde_x[:paired])])
    found = Separations(ca=_separation(ca, k), cp_x_to_y=_separation(forward, k), cp_y_to_x=_separation(reverse, k))
    return ModelSeparation(
        model=model,
        rho=_plain(ca[:k]),
        nu=model.nu,
        tau=Directed(x_to_y=_plain(forward[:k]), y_to_x=_plain(reverse[:k])),
        xi=Directed(x_to_y=_plain(forward[k:]), y_to_x=_plain(reverse[k:])),
        separation=found,
        regimes=Regimes(x_to_y=regime_of(found.ca, found.cp_x_to_y), y_to_x=regime_of(found.ca, found.cp_y_to_x)),
        direction=direction_of(found.cp_x_to_y, found.cp_y_to_x),
    )


def correlation(shared: Array, variances_x: Array, variances_y: Array) -> Array:
    """rho: shared variance / sqrt(variance of x times variance of y); exactly 1 without private variance."""
    values: Array = shared / np.sqrt(variances_x) / np.sqrt(variances_y)
    return np.where(values > 1 - TIE, 1.0, values)


def coupling_strength(shared: Array, source_variances: Array) -> Array:
    """tau: shared variance / sqrt(variance of the source)."""
    values: Array = shared / np.sqrt(source_variances)
    return values


def _separation(singular_values: Array, k: int) -> Separation:
    """The separation of singular values whose first k are signal; nuisance that is not coupled is left out.

    A ratio within TIE of 1 is 1, and does not recover.
    """
    signal = np.arange(len(singular_values)) < k
    counted = signal | (singular_values > RATIO_FLOOR)
    values, signal = singular_values[counted], signal[counted]
    return separation(without_ties(values, signal, TIE), signal)


def _spread(values: Values, count: int) -> tuple[float, ...]:
    return (float(values),) * count if isinstance(values, int | float) else tuple(float(value) for value in values)


def _plain(values: Array) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def _nuisance_count(modality: str, k: int, n_features: int | None, gamma_tilde: Values) -> int:
    """How many nuisance coordinates a modality has, by its number of features or by its list of variances."""
    name = f"d{modality}"
    if n_features is None:
        if isinstance(gamma_tilde, int | float):
            raise InvalidModel(
                f"gamma_tilde_{modality} is one number for all nuisance coordinates of {modality}, and {name} is not "
                f"given. Give {name}, or one variance per nuisance coordinate.",
                part="model",
            )
        return len(gamma_tilde)
    if not 1 <= n_features <= MAX_FEATURES:
        raise InvalidModel(f"{name} is {n_features}. Use a whole number from 1 to {MAX_FEATURES}.", part="model")
    if n_features < k:
        raise InvalidModel(
            f"{name} is {n_features}, but kappa has {k} signal coordinates. Both modalities have every signal "
            f"coordinate: use {name} of at least {k}, or a shorter kappa.",
            part="model",
        )
    if not isinstance(gamma_tilde, int | float) and len(gamma_tilde) != n_features - k:
        raise InvalidModel(
            f"gamma_tilde_{modality} has {len(gamma_tilde)} values, but {name} = {n_features} leaves "
            f"{n_features - k} nuisance coordinates beside {k} of signal. Give {n_features - k} values, or leave out "
            f"{name}.",
            part="model",
        )
    return n_features - k


def _check(model: SpikedModel) -> None:
    for name in ("x", "y"):
        n_features = getattr(model, f"d{name}")
        if not 1 <= n_features <= MAX_FEATURES:
            raise InvalidModel(
                f"{name} has {n_features} coordinates, signal and nuisance together. Use 1 to {MAX_FEATURES}.",
                part="model",
            )
        if len(getattr(model, f"gamma_{name}")) != model.k:
            raise InvalidModel(
                f"gamma_{name} has {len(getattr(model, f'gamma_{name}'))} values for {model.k} signal coordinates. "
                "Give one value per entry of kappa, or one number for all.",
                part="model",
            )
    paired = min(model.dx, model.dy) - model.k
    if len(model.nu) != paired:
        raise InvalidModel(
            f"nu has {len(model.nu)} values, but x and y have {paired} nuisance coordinates in common. Give {paired} "
            "values, or one number for all.",
            part="model",
        )
    for name, bounds in (
        ("kappa", KAPPA_BOUNDS),
        ("gamma_x", GAMMA_BOUNDS),
        ("gamma_y", GAMMA_BOUNDS),
        ("gamma_tilde_x", GAMMA_TILDE_BOUNDS),
        ("gamma_tilde_y", GAMMA_TILDE_BOUNDS),
        ("nu", NU_BOUNDS),
    ):
        check_within(name, getattr(model, name), bounds)


def check_within(name: str, values: Sequence[float], bounds: tuple[float, float]) -> None:
    """Refuse values outside their bounds, NaN among them.  Raises InvalidModel."""
    low, high = bounds
    for place, value in enumerate(values):
        if not low <= value <= high:
            advice = " A coordinate without signal is nuisance: leave it out of kappa." if name == "kappa" else ""
            entry = f"{name}[{place}]" if len(values) > 1 else name
            raise InvalidModel(f"{entry} is {value:g}. Use a number from {low:g} to {high:g}.{advice}", part="model")
