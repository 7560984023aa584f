"""The answer's numbers: separation ratios with their uncertainty, and the regimes that follow."""

from __future__ import annotations

from dataclasses import dataclass

from service.estimation.record import Record
from service.estimation.terms import RatioStatus, Regime, Verdict


@dataclass(frozen=True)
class Ratio(Record):
    """A separation ratio, or the reason why it is no number."""

    ratio: float | None
    """The ratio; null unless `status` is ok."""
    status: RatioStatus
    """ok: a finite ratio; no_signal: no component is signal, nothing to recover; no_nuisance: every component is
    signal, nothing to separate from."""

    @property
    def recovers(self) -> bool:
        """Whether the objective recovers the full signal: its ratio exceeds 1."""
        return self.status is RatioStatus.NO_NUISANCE or (self.ratio is not None and self.ratio > 1)


@dataclass(frozen=True)
class Interval(Record):
    """Where a ratio lies with a stated probability."""

    low: float
    """Lower end; 0 where the data do not exclude that there is no signal."""
    high: float | None
    """Upper end; null where the data set none: the nuisance may be nothing."""
    level: float
    """Probability that the ratio lies between."""


@dataclass(frozen=True)
class WouldSettle(Record):
    """How much more data would decide an objective, by the estimator's own extrapolation: the same moments, seen more
    often. Tried are 1, 3, 7 and 15 times as many more as there are."""

    more_labels: int | None
    """Labeled rows to add, with new pairs where all are labeled; null where even 15 times as many would not decide, and
    where no signal is claimed."""
    more_pairs: int | None
    """Pairs to add, labeled or not; null like `more_labels`."""


@dataclass(frozen=True)
class FloorComponent(Record):
    """The strongest nuisance component of the sample, and what it may be."""

    index: int
    """Its place in the objective's spectrum."""
    covariate: str | None
    """The covariate that explains most of it; null without covariates."""
    explained: float | None
    """Share of its variance that this covariate explains, 0 to 1 (adjusted R^2); null without covariates."""


@dataclass(frozen=True)
class Separation(Ratio):
    """How far the signal of one spectrum stands out from its nuisance."""

    ratio: float | None
    """signal_floor / nuisance_floor; null unless `status` is ok. Method calibrated gives the posterior median of the
    quotient, which need not be the quotient of the two medians below."""
    status: RatioStatus
    """ok: a finite ratio; no_signal: no component is signal, nothing to recover; no_nuisance: every component is
    signal, nothing to separate from."""
    interval: Interval | None
    """Interval of the ratio; null where there is no nuisance, and with method reference, which gives none."""
    verdict: Verdict
    """recovers or does_not_recover; undetermined only when the probability of recovery lies between 0.2 and 0.8."""
    would_settle: WouldSettle | None
    """What would decide an undetermined objective; null for the others."""
    signal_floor: float | None
    """Smallest singular value among signal components; null without any."""
    nuisance_floor: float | None
    """Largest singular value among nuisance components; null without any."""
    floor_component: FloorComponent | None
    """The nuisance component of the sample that is strongest; null without nuisance, and with method reference."""
    signal_count: int
    """Number of signal components in the population: with method calibrated the likeliest one. The sample's components
    are mixtures of these, so that another number of them may have the class signal."""
    recovered_count: int
    """Number of signal components strictly above the nuisance floor."""


@dataclass(frozen=True)
class Separations(Record):
    """One separation for each objective."""

    ca: Separation
    """Cross-modal alignment."""
    cp_x_to_y: Separation
    """Cross-modal prediction of y from x."""
    cp_y_to_x: Separation
    """Cross-modal prediction of x from y."""


@dataclass(frozen=True)
class Regimes(Record):
    """The regime of each direction: alignment is symmetric, prediction is not."""

    x_to_y: Regime
    """Regime when y is predicted from x."""
    y_to_x: Regime
    """Regime when x is predicted from y."""


@dataclass(frozen=True)
class RecoveryProbability(Record):
    """Probability that each objective recovers the full signal: that its ratio exceeds 1."""

    ca: float
    """Cross-modal alignment."""
    cp_x_to_y: float
    """Cross-modal prediction of y from x."""
    cp_y_to_x: float
    """Cross-modal prediction of x from y."""


@dataclass(frozen=True)
class RegimeShares(Record):
    """Probability of each regime of one direction; they add up to 1."""

    both: float
    """Alignment and prediction recover the signal."""
    ca_only: float
    """Alignment alone does."""
    cp_only: float
    """Prediction alone does."""
    neither: float
    """Neither does."""


@dataclass(frozen=True)
class RegimeProbabilities(Record):
    """Probabilities of the regimes of each direction."""

    x_to_y: RegimeShares
    """When y is predicted from x."""
    y_to_x: RegimeShares
    """When x is predicted from y."""
