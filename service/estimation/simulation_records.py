"""What a simulation says: the truth, what a sample of it shows, and what the estimator makes of that sample."""

from __future__ import annotations

from dataclasses import dataclass

from service.estimation.options import Options
from service.estimation.record import Record
from service.estimation.separation_records import RecoveryProbability, RegimeProbabilities, Regimes, Separations
from service.estimation.spiked_model import ModelSeparation
from service.estimation.terms import Regime


@dataclass(frozen=True)
class SubspaceDistance(Record):
    """How far the optimum of rank k is from the true signal: the sine of the largest principal angle between the span
    of its k singular vectors and the signal coordinates, 0 (the same) to 1 (a direction of one is orthogonal to the
    other); null without signal. Whitened modalities are measured in coordinates of unit variance, so that the units of
    signal and nuisance do not count, as they do not for the objective; the target of a prediction in its own units."""

    x: float | None
    """Of the singular vectors in x."""
    y: float | None
    """Of the singular vectors in y."""


@dataclass(frozen=True)
class SampledObjective(Record):
    """An objective solved on the sample."""

    singular_values: tuple[float, ...]
    """Of the sample's coupling matrix, in decreasing order."""
    signal_overlap: tuple[float, ...]
    """Of each component: the squared length of its singular vectors' projections on the signal coordinates, mean over x
    and y, 0 to 1; measured like `distance`."""
    distance: SubspaceDistance
    """Distance of the linear optimum of rank k, the first k components, from the truth."""
    recovered: bool | None
    """Whether every direction of the optimum is closer to the true signal subspace than to its complement, in x and in
    y: both distances are below sqrt(1/2). Null without signal."""


@dataclass(frozen=True)
class SampledObjectives(Record):
    """Every objective solved on the sample."""

    ca: SampledObjective
    """Cross-modal alignment."""
    cp_x_to_y: SampledObjective
    """Cross-modal prediction of y from x."""
    cp_y_to_x: SampledObjective
    """Cross-modal prediction of x from y."""


@dataclass(frozen=True)
class SimulatedEstimate(Record):
    """What the estimator says of the sample, given noisy labels of some of its rows."""

    n_labeled: int
    """Labeled rows: as many linear labels as signal coordinates, at least one, with noise."""
    options: Options
    """Options of the estimation."""
    regime: Regime
    """Regime of the direction x_to_y."""
    regimes: Regimes
    """Regime of each direction."""
    conclusive: bool | None
    """Whether `regime` has a probability of 0.8 or more; null with method reference."""
    regime_probabilities: RegimeProbabilities | None
    """Probability of each regime; null with method reference."""
    recovery_probability: RecoveryProbability | None
    """Probability that each objective recovers the signal; null with method reference."""
    separation: Separations
    """Separation ratio of each objective."""


@dataclass(frozen=True)
class Simulation(Record):
    """A sampled problem of known truth: what is so, and what the sample shows of it."""

    n_pairs: int
    """Pairs drawn."""
    seed: int
    """Seed of the hidden bases, the pairs and the labels."""
    truth: ModelSeparation
    """The model, its separation ratios and regimes."""
    objectives: SampledObjectives
    """Every objective solved on the sample."""
    separation: Separations
    """Separation ratios of the sample when the truth says which components are signal: as many as the model has signal
    coordinates, those of largest `signal_overlap`. Sampling noise alone keeps them from the true ones."""
    regimes: Regimes
    """Regimes by these ratios."""
    estimate: SimulatedEstimate | None
    """What the estimator says, to which the truth is not told; null unless asked for."""
