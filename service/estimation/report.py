"""What leaves the core: the report, as frozen dataclasses.

A report is made once and never changed; the JSON of the service, the figures and the gate are pure functions of it.
Attribute docstrings are the fields' documentation, in code and on the wire.
"""

from __future__ import annotations

from dataclasses import dataclass

from service.estimation.labels import LabelType
from service.estimation.options import Options
from service.estimation.record import Record
from service.estimation.terms import ComponentClass, Direction, Method, Modality, Objective, RatioStatus, Regime

SCHEMA_VERSION = "2.0"


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
class Separation(Ratio):
    """How far the signal of one spectrum stands out from its nuisance."""

    ratio: float | None
    """signal_floor / nuisance_floor; null unless `status` is ok."""
    status: RatioStatus
    """ok: a finite ratio; no_signal: no component is signal, nothing to recover; no_nuisance: every component is
    signal, nothing to separate from."""
    signal_floor: float | None
    """Smallest singular value among signal components; null without any."""
    nuisance_floor: float | None
    """Largest singular value among nuisance components; null without any."""
    signal_count: int
    """Number of signal components."""
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
class Component(Record):
    """One component of a spectrum."""

    index: int
    """Place in the spectrum, from 0, in order of decreasing singular value."""
    singular_value: float
    """Canonical correlation (ca); coupling strength in units of the target (cp), of x times y (pls); standard
    deviation along the component (pca)."""
    r2: float
    """Cross-validated R^2 summed over the label targets; it may exceed 1."""
    r2_by_label: dict[str, float]
    """Cross-validated R^2 of each label target, clipped below at 0."""
    class_: ComponentClass
    """signal or nuisance, by the rule that the options name."""


@dataclass(frozen=True)
class Spectra(Record):
    """The components of every spectrum."""

    ca: tuple[Component, ...]
    """Singular components of C = Sxx^{-1/2} Sxy Syy^{-1/2}."""
    cp_x_to_y: tuple[Component, ...]
    """Singular components of Syx Sxx^{-1/2}."""
    cp_y_to_x: tuple[Component, ...]
    """Singular components of Sxy Syy^{-1/2}."""
    pls: tuple[Component, ...]
    """Singular components of Sxy (partial least squares)."""
    pca_x: tuple[Component, ...]
    """Principal components of x."""
    pca_y: tuple[Component, ...]
    """Principal components of y."""


@dataclass(frozen=True)
class RuleOutcome(Record):
    """What one classification rule makes of the same spectra."""

    ca: Ratio
    """Ratio of alignment."""
    cp_x_to_y: Ratio
    """Ratio of prediction of y from x."""
    cp_y_to_x: Ratio
    """Ratio of prediction of x from y."""
    regimes: Regimes
    """The regimes that follow."""


@dataclass(frozen=True)
class Rules(Record):
    """All published rules side by side: where they disagree, the regime hangs on the choice of rule."""

    elbow: RuleOutcome
    """Elbow of the sorted sums of R^2 (the published default)."""
    elbow_log: RuleOutcome
    """Elbow of their logarithms."""
    permutation: RuleOutcome
    """R^2 above the 95th percentile of shuffled labels."""


@dataclass(frozen=True)
class CompositeRatios(Record):
    """Ratios that follow from the model coordinates."""

    ca: Ratio
    """rho / nu."""
    cp_x_to_y: Ratio
    """tau / (nu sqrt(nuisance variance of y))."""
    cp_y_to_x: Ratio
    """The same from y to x."""


@dataclass(frozen=True)
class VarianceAlignment(Record):
    """How much of each modality's own leading variance is signal (Q), 0 to 1; null without signal."""

    x: float | None
    """Q of x."""
    y: float | None
    """Q of y."""


@dataclass(frozen=True)
class PhasePoint(Record):
    """Where the pair lies in the spiked model's phase diagram."""

    kappa: float
    """Signal strength: root of the mean singular value of Sxy over its signal components; 0 without any."""
    nu: float
    """Nuisance correlation: second-largest nuisance canonical correlation; 0 without nuisance."""
    gamma_x: float
    """Private variance of x in the signal coordinates, at least 0."""
    gamma_y: float
    """Private variance of y in the signal coordinates, at least 0."""
    gamma_tilde_x: float
    """Variance of x in its nuisance coordinates."""
    gamma_tilde_y: float
    """Variance of y in its nuisance coordinates."""
    composite_ratios: CompositeRatios
    """Separation ratios of the model at this point."""
    composite_regimes: Regimes
    """Regimes of the model at this point."""
    variance_alignment: VarianceAlignment
    """Q of each modality."""


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
class ReportWarning(Record):
    """Something about the input or the estimate that a reader should know."""

    code: str
    """Stable code."""
    message: str
    """What was found and what to do."""


@dataclass(frozen=True)
class ClassCount(Record):
    """How often a class occurs in its column."""

    name: str
    """The class."""
    count: int
    """Its rows."""


@dataclass(frozen=True)
class LabelSummary(Record):
    """One label column as it was understood."""

    name: str
    """The column's name."""
    type: LabelType
    """categorical (one-hot encoded) or numeric."""
    classes: tuple[ClassCount, ...] | None
    """Classes with their counts; null for a numeric column."""
    present: int
    """Label rows that have it; the others count as missing."""
    used: bool
    """False for a column that was dropped: it does not vary, or too few rows have it."""


@dataclass(frozen=True)
class CovariateSummary(Record):
    """One covariate as it was understood."""

    name: str
    """The covariate's name."""
    type: LabelType
    """categorical (one-hot encoded) or numeric."""
    classes: tuple[ClassCount, ...] | None
    """Classes with their counts among all pairs, (missing) for those without a value; null for a numeric covariate."""


@dataclass(frozen=True)
class DataSummary(Record):
    """The data that the report speaks of."""

    n_pairs: int
    """Pairs in the dataset."""
    n_labeled: int
    """Pairs with a label."""
    n_pairs_used: int
    """Pairs that the method used for the spectra; the published procedure uses the labeled ones."""
    n_features_x: int
    """Columns of x."""
    n_features_y: int
    """Columns of y."""
    n_reduced_x: int
    """Principal components of x that were kept."""
    n_reduced_y: int
    """Principal components of y that were kept."""
    labels: tuple[LabelSummary, ...]
    """Label columns, in the order given."""
    n_groups: int | None
    """Groups that the pairs belong to; null when none were sent."""
    covariates: tuple[CovariateSummary, ...]
    """Covariates, in the order given."""


@dataclass(frozen=True)
class Digests(Record):
    """SHA-256 of the input. An array's is that of its C-ordered .npy file, as `numpy.save` writes it."""

    x: str
    """Features of modality x."""
    y: str
    """Features of modality y."""
    labels: str
    """Names, types and values of the label columns, as compact JSON; a missing value is null."""
    rows: str
    """Label rows as 64-bit integers."""
    groups: str | None
    """Group ids, as compact JSON; null when none were sent."""
    covariates: str | None
    """Covariates, like `labels`; null when none were sent."""


@dataclass(frozen=True)
class Versions(Record):
    """Versions of what computed the report."""

    phasegate: str
    """This software."""
    python: str
    """The interpreter."""
    numpy: str
    """numpy."""
    scipy: str
    """scipy."""
    blas: str
    """BLAS libraries that numpy and scipy loaded, each with its version and the processor family that it chose."""


@dataclass(frozen=True)
class Seeds(Record):
    """Seeds of the published procedure's two shuffles."""

    folds: int
    """Seed of the cross-validation folds."""
    permutations: int
    """Seed of the label shuffles of the permutation rule."""


@dataclass(frozen=True)
class Provenance(Record):
    """What the report was made from and with: equal provenance, equal report."""

    digests: Digests
    """Digests of the input."""
    options: Options
    """Options, defaults filled in."""
    versions: Versions
    """Software versions."""
    seed: Seeds
    """Seeds."""
    threads: int
    """BLAS threads; other numbers of threads may change the last digits."""


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
    """Regime of each direction."""
    direction: Direction | None
    """The way with the larger prediction ratio among those above 1; null when neither is."""
    recommendation: Recommendation
    """What to train."""
    separation: Separations
    """Separation ratio of each objective, with the floors and counts behind it."""
    phase_point: PhasePoint
    """Model coordinates."""
    rules: Rules
    """What each of the published classification rules says."""
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
