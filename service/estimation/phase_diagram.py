"""The phase diagram of the spiked model: which objectives recover the signal, by its strength and the nuisance's
correlation (Kamai et al. 2026).

With one variance for all coordinates of a kind an objective recovers where nu lies below its boundary:

    CA           nu = kappa^2 / sqrt((kappa^2 + gamma_x) (kappa^2 + gamma_y))
    CP, x -> y   nu = kappa^2 / (sqrt(kappa^2 + gamma_x) sqrt(gamma_tilde_y))
    CP, y -> x   nu = kappa^2 / (sqrt(kappa^2 + gamma_y) sqrt(gamma_tilde_x))

On the boundary the ratio is 1 and nothing is recovered; what rounding alone sets apart from it is on it.

Raising the target's gamma_tilde lowers the boundary of CP (the variance trap) and leaves that of CA alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from service.estimation.errors import InvalidModel
from service.estimation.moments import Array
from service.estimation.record import Record
from service.estimation.spiked_model import (
    GAMMA_BOUNDS,
    GAMMA_TILDE_BOUNDS,
    KAPPA_BOUNDS,
    NU_BOUNDS,
    TIE,
    check_within,
    correlation,
    coupling_strength,
)
from service.estimation.terms import Direction, Regime

MAX_POINTS = 201  # of either axis
KAPPA_LOW_BOUNDS = (0.0, KAPPA_BOUNDS[1])  # a diagram may begin where there is no signal


@dataclass(frozen=True)
class Axis(Record):
    """Equally spaced points from `low` to `high`, both included."""

    low: float
    """First point."""
    high: float
    """Last point, above the first."""
    count: int
    """Number of points, 2 to 201."""

    @property
    def points(self) -> Array:
        """The points (count,)."""
        return np.linspace(self.low, self.high, self.count)


KAPPA_AXIS = Axis(0.0, 3.0, 61)  # the paper's figure
NU_AXIS = Axis(0.0, 1.0, 41)


@dataclass(frozen=True)
class UniformVariances(Record):
    """Variances of a model in which all coordinates of a kind have the same."""

    gamma_x: float
    """Private variance of x in the signal coordinates."""
    gamma_y: float
    """Private variance of y in the signal coordinates."""
    gamma_tilde_x: float
    """Variance of x in its nuisance coordinates; the regions of x_to_y do not depend on it."""
    gamma_tilde_y: float
    """Variance of y in its nuisance coordinates; the regions of y_to_x do not depend on it."""


@dataclass(frozen=True)
class CurvePoint(Record):
    """A point of a boundary."""

    kappa: float
    """Signal strength."""
    nu: float
    """Nuisance correlation at which the separation ratio is 1; above 1 no correlation is too strong. Where only
    rounding sets it apart from an entry of the grid's `nu`, it is that entry."""


@dataclass(frozen=True)
class Boundaries(Record):
    """Where an objective begins to recover the signal: it does so below its curve, one point per entry of `kappa`."""

    ca: tuple[CurvePoint, ...]
    """Boundary of alignment."""
    cp: tuple[CurvePoint, ...]
    """Boundary of prediction in the diagram's direction."""


@dataclass(frozen=True)
class PhaseDiagram(Record):
    """Regimes on a grid of signal strength and nuisance correlation, with the curves between them."""

    variances: UniformVariances
    """What holds throughout the diagram."""
    direction: Direction
    """Source and target of prediction; a regime belongs to a direction."""
    kappa: tuple[float, ...]
    """Signal strengths of the grid's columns."""
    nu: tuple[float, ...]
    """Nuisance correlations of the grid's rows."""
    regions: tuple[tuple[Regime, ...], ...]
    """A row for each entry of `nu`, holding a regime for each entry of `kappa`."""
    boundaries: Boundaries
    """The two curves."""


def phase_diagram(
    variances: UniformVariances,
    direction: Direction = Direction.X_TO_Y,
    kappa_axis: Axis = KAPPA_AXIS,
    nu_axis: Axis = NU_AXIS,
) -> PhaseDiagram:
    """Regimes and boundaries of one direction.  Raises InvalidModel for variances or axes out of bounds."""
    for name, bounds in (
        ("gamma_x", GAMMA_BOUNDS),
        ("gamma_y", GAMMA_BOUNDS),
        ("gamma_tilde_x", GAMMA_TILDE_BOUNDS),
        ("gamma_tilde_y", GAMMA_TILDE_BOUNDS),
    ):
        check_within(name, (getattr(variances, name),), bounds)
    _check_axis("kappa", kappa_axis, KAPPA_LOW_BOUNDS)
    _check_axis("nu", nu_axis, NU_BOUNDS)
    kappa, nu = kappa_axis.points, nu_axis.points
    _check_strengths(kappa)
    ca = _on_grid(alignment_boundary(variances, kappa), nu)
    cp = _on_grid(prediction_boundary(variances, kappa, direction), nu)
    ca_recovers, cp_recovers = nu[:, None] < ca, nu[:, None] < cp
    return PhaseDiagram(
        variances=variances,
        direction=direction,
        kappa=tuple(kappa.tolist()),
        nu=tuple(nu.tolist()),
        regions=tuple(
            tuple(REGIME_OF[cell] for cell in zip(*row, strict=True))
            for row in zip(ca_recovers.tolist(), cp_recovers.tolist(), strict=True)
        ),
        boundaries=Boundaries(ca=_curve(kappa, ca), cp=_curve(kappa, cp)),
    )


REGIME_OF = {  # by whether alignment and prediction recover the signal
    (True, True): Regime.BOTH,
    (True, False): Regime.CA_ONLY,
    (False, True): Regime.CP_ONLY,
    (False, False): Regime.NEITHER,
}


def alignment_boundary(variances: UniformVariances, kappa: Array) -> Array:
    """The nu at which the separation ratio of alignment is 1, for each kappa; 0 where there is no signal."""
    shared = kappa[kappa > 0] ** 2
    boundary = np.zeros(len(kappa))
    boundary[kappa > 0] = correlation(shared, shared + variances.gamma_x, shared + variances.gamma_y)
    return boundary


def prediction_boundary(variances: UniformVariances, kappa: Array, direction: Direction) -> Array:
    """The nu at which the separation ratio of prediction is 1, for each kappa; 0 where there is no signal."""
    if direction is Direction.X_TO_Y:
        gamma, gamma_tilde = variances.gamma_x, variances.gamma_tilde_y
    else:
        gamma, gamma_tilde = variances.gamma_y, variances.gamma_tilde_x
    shared = kappa[kappa > 0] ** 2
    boundary = np.zeros(len(kappa))
    boundary[kappa > 0] = coupling_strength(shared, shared + gamma) / np.sqrt(gamma_tilde)
    return boundary


def _on_grid(boundary: Array, nu: Array) -> Array:
    """The boundary (K,), moved to entries of `nu` that are within TIE of it, so that rounding decides no cell."""
    near = np.abs(nu[:, None] - boundary) <= TIE * boundary
    return np.where(near.any(axis=0), nu[near.argmax(axis=0)], boundary)


def _curve(kappa: Array, nu: Array) -> tuple[CurvePoint, ...]:
    return tuple(CurvePoint(*point) for point in zip(kappa.tolist(), nu.tolist(), strict=True))


def _check_axis(name: str, axis: Axis, bounds: tuple[float, float]) -> None:
    check_within(f"{name}.low and {name}.high", (axis.low, axis.high), bounds)
    if not axis.low < axis.high:
        raise InvalidModel(
            f"The {name} axis goes from {axis.low:g} to {axis.high:g}. Give a {name}.high above {name}.low.",
            part="model",
        )
    if not 2 <= axis.count <= MAX_POINTS:
        raise InvalidModel(
            f"The {name} axis has {axis.count} points. Use a whole number from 2 to {MAX_POINTS}.", part="model"
        )


def _check_strengths(kappa: Array) -> None:
    """Refuse points between no signal and the weakest that a model may have."""
    low, high = KAPPA_BOUNDS
    weakest = float(kappa[kappa > 0].min())
    if weakest < low * (1 - TIE):
        raise InvalidModel(
            f"The kappa axis has a point at {weakest:g}. Its points may be 0 and numbers from {low:g} to {high:g}: let "
            f"it begin at 0 with steps of at least {low:g}, or at {low:g} or above.",
            part="model",
        )
