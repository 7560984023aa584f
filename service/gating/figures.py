"""What a decision rests on: as much of a report as it takes to judge it again in years, when the report is gone."""

from __future__ import annotations

from dataclasses import dataclass, fields

from service.estimation.data_records import DataSummary, Provenance
from service.estimation.record import Record
from service.estimation.rehearsal_records import Rehearsal
from service.estimation.report import Evidence, ModelFit, Report
from service.estimation.report_warning import ReportWarning
from service.estimation.separation_records import RecoveryProbability, RegimeProbabilities, Regimes, Separations
from service.estimation.terms import Direction, Method


@dataclass(frozen=True)
class Figures(Record):
    """The report without its spectra: all that a policy may look at, and where it comes from."""

    schema_version: str
    """Version of the report's schema."""
    method: Method
    """Estimator that made the report: calibrated or reference."""
    regimes: Regimes
    """Regime of each direction: the most probable one."""
    conclusive: bool | None
    """Whether the regime of x_to_y has a probability of 0.8 or more; null with method reference."""
    regime_probabilities: RegimeProbabilities | None
    """Probability of each regime; null with method reference, which knows no probabilities."""
    recovery_probability: RecoveryProbability | None
    """Probability that each objective recovers the signal; null with method reference."""
    direction: Direction | None
    """The way with the larger prediction ratio among those that recover the signal; null when neither does."""
    direction_probability: float | None
    """Probability that the way named by `direction` has the larger ratio; null without a direction, and with method
    reference."""
    separation: Separations
    """Separation ratio of each objective, with its interval, verdict, floors and counts."""
    evidence: Evidence | None
    """The two tests behind a claim of signal; null with method reference."""
    model: ModelFit | None
    """The model that was fitted and what the data are worth to it; null with method reference."""
    rehearsal: Rehearsal | None
    """Linear encoders of every objective, scored on the labels; null with method reference."""
    warnings: tuple[ReportWarning, ...]
    """What a reader should know, most serious first."""
    data: DataSummary
    """Sizes, labels, groups and covariates."""
    provenance: Provenance
    """Digests of the input, options, versions, seeds."""


def figures_of(report: Report) -> Figures:
    """The figures of a report."""
    return Figures(**{field.name: getattr(report, field.name) for field in fields(Figures)})
