"""Components of every spectrum, what the published rules make of them, and the phase point that they lie at."""

from __future__ import annotations

from dataclasses import dataclass

from service.estimation.record import Record
from service.estimation.separation_records import Ratio, Regimes
from service.estimation.terms import ComponentClass


@dataclass(frozen=True)
class Component(Record):
    """One component of a spectrum."""

    index: int
    """Place in the spectrum, from 0, in order of decreasing singular value."""
    singular_value: float
    """Of the sample: canonical correlation (ca); coupling strength in units of the target (cp), of x times y (pls);
    standard deviation along the component (pca)."""
    corrected_value: float | None
    """What the component's directions are worth in the population: the singular value without what sampling noise
    adds; null with method reference, and for pca."""
    r2: float
    """Cross-validated R^2 summed over the label targets; it may exceed 1."""
    r2_by_label: dict[str, float]
    """Cross-validated R^2 of each label target, clipped below at 0."""
    signal_share: float | None
    """Posterior mean of the share of the component's variance that is signal, 0 to 1; null with method reference."""
    p_value: float | None
    """p-value of its association with the labels, valid over all components of the spectrum at once; null with method
    reference."""
    covariates: dict[str, float]
    """Share of its variance that each covariate explains, 0 to 1 (adjusted R^2); empty without covariates."""
    class_: ComponentClass
    """signal or nuisance: with method calibrated, signal where the report claims signal and `signal_share` is at
    least 0.5; with method reference by the rule that the options name."""


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
