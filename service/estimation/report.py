"""What leaves the core: the report, as frozen dataclasses.

A report is made once and never changed; the JSON of the service, the figures and the gate are pure functions of it.
Attribute docstrings are the fields' documentation, in code and on the wire.
"""

from __future__ import annotations

from dataclasses import dataclass

from service.estimation.data_records import DataSummary, Provenance
from service.estimation.record import Record
from service.estimation.rehearsal_records import Rehearsal
from service.estimation.report_warning import ReportWarning
from service.estimation.separation_records import RecoveryProbability, RegimeProbabilities, Regimes, Separations
from service.estimation.spectrum_records import PhasePoint, Rules, Spectra
from service.estimation.terms import Direction, Method, Modality, Objective, PairModel, Regime

SCHEMA_VERSION = "2.0"


@dataclass(frozen=True)
class Recommendation(Record):
    """What to train, and why."""

    objective: Objective
    """alignment, prediction, either, unimodal, or undetermined."""
    direction: Direction | None
    """The way to predict, for objectives that allow prediction."""
    modality: Modality | None
    """The single modality to train on, for unimodal."""
    reasons: tuple[str, ...]
    """Why, in sentences with the numbers."""


@dataclass(frozen=True)
class Evidence(Record):
    """The tests that stand before a claim of signal."""

    signal_claimed: bool
    """Whether any signal is claimed: both p-values are at most `alpha`, and the posterior finds signal more likely than
    none."""
    coupling_p_value: float
    """That the pairing of x and y is no better than shuffled rows."""
    held_out_correlation: float
    """Canonical correlation of the leading direction, on pairs left out of its fit."""
    labels_p_value: float
    """That labels have nothing to do with what is coupled; the larger of the next two."""
    labels_p_value_x: float
    """The same for the scores of x alone."""
    labels_p_value_y: float
    """The same for the scores of y alone."""


@dataclass(frozen=True)
class ModelFit(Record):
    """The model that was fitted, and what the data are worth to it."""

    kind: PairModel
    """spiked: components are orthogonal in both modalities, as the paper's model has it; general: the data reject that,
    and both modalities were whitened first."""
    misfit: float
    """Likelihood ratio of the spiked model over its degrees of freedom: about 1 where it holds."""
    effective_pairs: float
    """Independent, normally distributed pairs that the data are worth: fewer with groups and heavy tails."""
    effective_labels: float
    """Independent labeled rows that the best-covered label columns are worth."""
    crowding: float
    """Coordinates of x and y together per effective pair; probabilities are taken back the more the larger it is."""
    acceptance: float
    """Mean acceptance of the sampler's moves, 0 to 1."""


@dataclass(frozen=True)
class Timings(Record):
    """How long the estimation took. The only part of a report that differs between repetitions."""

    total_s: float
    """Whole estimation, seconds."""
    stages_s: dict[str, float]
    """Seconds by stage."""


@dataclass(frozen=True)
class Report(Record):
    """The answer: which objective recovers the shared signal, with everything it rests on."""

    schema_version: str
    """Version of this schema: a new minor version adds fields, a new major version changes or removes them."""
    method: Method
    """Estimator that made the report: calibrated or reference."""
    regime: Regime
    """Regime of the direction x_to_y; the same as `regimes.x_to_y`."""
    regimes: Regimes
    """Regime of each direction: the most probable one."""
    conclusive: bool | None
    """Whether `regime`, that of x_to_y, has a probability of 0.8 or more; a single objective may be sure where the
    regime is not. Null with method reference, which knows no probabilities."""
    regime_probabilities: RegimeProbabilities | None
    """Probability of each regime; null with method reference."""
    recovery_probability: RecoveryProbability | None
    """Probability that each objective recovers the signal; null with method reference."""
    direction: Direction | None
    """The way with the larger prediction ratio among those that recover the signal; null when neither does."""
    direction_probability: float | None
    """Probability that the way named by `direction` has the larger ratio; null without a direction, and with method
    reference."""
    recommendation: Recommendation
    """What to train."""
    separation: Separations
    """Separation ratio of each objective, with the floors and counts behind it."""
    evidence: Evidence | None
    """The two tests behind a claim of signal; null with method reference."""
    model: ModelFit | None
    """The model that was fitted and what the data are worth to it; null with method reference."""
    rehearsal: Rehearsal | None
    """Linear encoders of every objective, scored on the labels; null with method reference."""
    phase_point: PhasePoint
    """Model coordinates. Method calibrated compares the modalities where both have a mean variance of 1."""
    rules: Rules | None
    """What each of the published classification rules says; null with method calibrated, which uses none."""
    spectra: Spectra
    """Components of every spectrum."""
    data: DataSummary
    """Sizes, labels, groups and covariates."""
    warnings: tuple[ReportWarning, ...]
    """What a reader should know, most serious first."""
    provenance: Provenance
    """Digests, options, versions, seeds."""
    timings: Timings
    """Durations; the only part that differs between repetitions."""
