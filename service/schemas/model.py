"""Questions about the spiked model on the wire.  The answers are the core's own dataclasses."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Field

from service.estimation import inputs, phase_diagram, simulation, spiked_model
from service.estimation.phase_diagram import KAPPA_AXIS, NU_AXIS, Axis, UniformVariances
from service.estimation.spiked_model import SpikedModel
from service.estimation.terms import Direction
from service.schemas.options import EstimationOptions
from service.schemas.wire import WireModel


def _within(bounds: tuple[float, float]) -> Any:
    return Field(ge=bounds[0], le=bounds[1], strict=True)


Kappa = Annotated[float, _within(spiked_model.KAPPA_BOUNDS)]
Gamma = Annotated[float, _within(spiked_model.GAMMA_BOUNDS)]
GammaTilde = Annotated[float, _within(spiked_model.GAMMA_TILDE_BOUNDS)]
Nu = Annotated[float, _within(spiked_model.NU_BOUNDS)]
Features = Annotated[int, Field(ge=1, le=spiked_model.MAX_FEATURES, strict=True)]
UpTo = Field(max_length=spiked_model.MAX_FEATURES)


class Question(WireModel):
    """What every question shares: JSON has no NaN, and text is not read as a number."""

    model_config = ConfigDict(allow_inf_nan=False)


class ModelParameters(Question):
    """A spiked model: in hidden bases of x and y, one entry of `kappa` for each shared signal coordinate, and the rest
    of the dx and dy coordinates nuisance."""

    kappa: Annotated[list[Kappa], UpTo]
    """Strength of each signal coordinate: the square is the variance that x and y share in it. Empty: no signal."""
    gamma_x: Gamma | Annotated[list[Gamma], UpTo]
    """Private variance of x in the signal coordinates: one number for all, or one per entry of `kappa`."""
    gamma_y: Gamma | Annotated[list[Gamma], UpTo]
    """Private variance of y in the signal coordinates: one number for all, or one per entry of `kappa`."""
    gamma_tilde_x: GammaTilde | Annotated[list[GammaTilde], UpTo]
    """Variance of the nuisance coordinates of x: one number for all, or a list of dx - k."""
    gamma_tilde_y: GammaTilde | Annotated[list[GammaTilde], UpTo]
    """Variance of the nuisance coordinates of y: one number for all, or a list of dy - k."""
    nu: Nu | Annotated[list[Nu], UpTo]
    """Correlation of nuisance coordinate j of x with that of y: one number for all, or a list of min(dx, dy) - k."""
    dx: Features | None = None
    """Features of x; needed where `gamma_tilde_x` is one number."""
    dy: Features | None = None
    """Features of y; needed where `gamma_tilde_y` is one number."""

    def spiked_model(self) -> SpikedModel:
        """The model of these parameters.  Raises InvalidModel."""
        return spiked_model.spiked_model(
            kappa=self.kappa,
            gamma_x=self.gamma_x,
            gamma_y=self.gamma_y,
            gamma_tilde_x=self.gamma_tilde_x,
            gamma_tilde_y=self.gamma_tilde_y,
            nu=self.nu,
            dx=self.dx,
            dy=self.dy,
        )


class KappaAxis(Question):
    """Signal strengths of a phase diagram."""

    low: Annotated[float, _within(phase_diagram.KAPPA_LOW_BOUNDS)] = KAPPA_AXIS.low
    """First point: 0, or a strength that a model may have. Points after 0 are such strengths too."""
    high: Kappa = KAPPA_AXIS.high
    """Last point, above the first."""
    count: int = Field(KAPPA_AXIS.count, ge=2, le=phase_diagram.MAX_POINTS, strict=True)
    """Number of equally spaced points."""


class NuAxis(Question):
    """Nuisance correlations of a phase diagram."""

    low: Nu = NU_AXIS.low
    """First point."""
    high: Nu = NU_AXIS.high
    """Last point, above the first."""
    count: int = Field(NU_AXIS.count, ge=2, le=phase_diagram.MAX_POINTS, strict=True)
    """Number of equally spaced points."""


class PhaseDiagramRequest(Question):
    """A phase diagram of models in which all coordinates of a kind have the same variance."""

    gamma_x: Gamma
    """Private variance of x in the signal coordinates."""
    gamma_y: Gamma
    """Private variance of y in the signal coordinates."""
    gamma_tilde_x: GammaTilde
    """Variance of x in its nuisance coordinates; it bears on the direction y_to_x alone."""
    gamma_tilde_y: GammaTilde
    """Variance of y in its nuisance coordinates; it bears on the direction x_to_y alone."""
    direction: Direction = Direction.X_TO_Y
    """Source and target of prediction."""
    kappa: KappaAxis = KappaAxis()
    """Signal strengths."""
    nu: NuAxis = NuAxis()
    """Nuisance correlations."""

    def variances(self) -> UniformVariances:
        """What holds throughout the diagram."""
        return UniformVariances(self.gamma_x, self.gamma_y, self.gamma_tilde_x, self.gamma_tilde_y)

    def axes(self) -> tuple[Axis, Axis]:
        """The axes of kappa and of nu."""
        return tuple(Axis(axis.low, axis.high, axis.count) for axis in (self.kappa, self.nu))  # type: ignore[return-value]


class SimulationRequest(ModelParameters):
    """A problem to be drawn from a spiked model. With `n_labeled`, n_pairs (dx + dy) may be 20,000,000 at most."""

    n_pairs: int = Field(ge=inputs.MIN_PAIRS, le=simulation.MAX_PAIRS, strict=True)
    """Pairs to draw; more than there are signal coordinates."""
    seed: int = Field(0, ge=inputs.SEED_BOUNDS[0], le=inputs.SEED_BOUNDS[1], strict=True)
    """Seed of the hidden bases, the pairs and the labels."""
    n_labeled: int | None = Field(None, ge=inputs.MIN_LABELED_ROWS, le=simulation.MAX_PAIRS, strict=True)
    """Rows that get as many linear labels as there are signal coordinates, with noise of half the signal's spread, and
    that the estimator is then asked about; left out, it is not asked."""
    options: EstimationOptions | None = None
    """Options of the estimator; left out, its defaults."""
