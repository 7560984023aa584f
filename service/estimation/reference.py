"""The published procedure, number for number (Kamai et al. 2026, arXiv:2606.11190).

It sees labeled pairs only, knows no uncertainty, and is not invariant to units: a ridge of 1e-6 is added to every
variance as it comes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from service.estimation.association import Scores, cross_validated_r2, fold_scores, permuted_r2
from service.estimation.classification import Classes, elbow, elbow_log, permutation
from service.estimation.coupling import (
    Components,
    Reduced,
    alignment_components,
    covariance_components,
    prediction_components,
    principal_components,
    unimodal_components,
    whiten,
)
from service.estimation.data_records import Seeds
from service.estimation.errors import NumericalFailure
from service.estimation.labels import Targets
from service.estimation.moments import Array, Blocks, shuffled_blocks
from service.estimation.phase_point import Classified, phase_point
from service.estimation.separation import regime_of, separation
from service.estimation.separation_records import Ratio, Regimes, Separation, Separations
from service.estimation.spectrum_records import PhasePoint, RuleOutcome, Rules
from service.estimation.stages import Stages
from service.estimation.terms import Rule

PCA_COMPONENTS = 100  # step 1
RIDGE = 1e-6  # epsilon of step 2
EIGENVALUE_FLOOR = 1e-12  # step 2
FOLDS = 5  # step 4
ALPHA = 1.0  # step 4
PERMUTATIONS = 30  # step 5
QUANTILE = 0.95  # step 5
SEEDS = Seeds(folds=42, permutations=12345)  # steps 4 and 5


@dataclass(frozen=True)
class SpectrumEstimate:
    """One spectrum: singular values (c,), R^2 (c, L), and the class of each component by each rule."""

    singular_values: Array
    r2: Array
    classes: dict[Rule, Classes]

    def separation(self, rule: Rule) -> Separation:
        """Its separation when `rule` says what is signal."""
        return separation(self.singular_values, self.classes[rule])

    def classified(self, rule: Rule) -> Classified:
        """Its components as `rule` classifies them."""
        return Classified(self.singular_values, self.classes[rule])


@dataclass(frozen=True)
class ReferenceEstimate:
    """Everything that the published procedure computes."""

    ca: SpectrumEstimate
    cp_x_to_y: SpectrumEstimate
    cp_y_to_x: SpectrumEstimate
    pls: SpectrumEstimate
    pca_x: SpectrumEstimate
    pca_y: SpectrumEstimate
    n_reduced: tuple[int, int]  # principal components kept of x and of y
    ranks: tuple[int, int]  # those among them that vary

    def separations(self, rule: Rule) -> Separations:
        """The ratios of the three objectives (steps 6 and 7)."""
        return Separations(
            ca=self.ca.separation(rule),
            cp_x_to_y=self.cp_x_to_y.separation(rule),
            cp_y_to_x=self.cp_y_to_x.separation(rule),
        )

    def rules(self) -> Rules:
        """What each of the three rules makes of the spectra."""
        return Rules(**{rule.value: _outcome(self.separations(rule)) for rule in Rule})

    def phase_point(self, rule: Rule) -> PhasePoint:
        """Model coordinates (step 8)."""
        return phase_point(*(s.classified(rule) for s in (self.ca, self.pls, self.pca_x, self.pca_y)))


def reference(
    x: Array, y: Array, targets: Targets, n_components: int, pca_components: int, stages: Stages
) -> ReferenceEstimate:
    """Run the published procedure on labeled pairs: x (m, dx), y (m, dy), targets (m, L), all double precision.

    Raises: NumericalFailure when a factorisation does not converge.
    """
    try:
        stages.begin("reduce", 0.10)  # step 1
        reduced_x = _reduce(x, pca_components)
        reduced_y = _reduce(y, pca_components)

        stages.begin("couple", 0.35)  # step 2
        white_x = whiten(reduced_x, RIDGE, EIGENVALUE_FLOOR)
        white_y = whiten(reduced_y, RIDGE, EIGENVALUE_FLOOR)
        spectra = {
            "ca": alignment_components(white_x, white_y, n_components),
            "cp_x_to_y": prediction_components(white_x, white_y, n_components),
            "cp_y_to_x": prediction_components(white_y, white_x, n_components),
            "pls": covariance_components(white_x, white_y, n_components),
            "pca_x": unimodal_components(reduced_x, n_components),
            "pca_y": unimodal_components(reduced_y, n_components),
        }
    except np.linalg.LinAlgError as error:
        raise NumericalFailure(
            "A factorisation of the features did not converge. Look for columns of very different scale, "
            "standardize them, and try again."
        ) from error

    folds = shuffled_blocks(len(x), FOLDS, SEEDS.folds)
    estimates = {}
    for done, (name, components) in enumerate(spectra.items()):
        stages.begin(f"classify {name}", 0.45 + 0.08 * done)
        estimates[name] = _estimate(components, targets.matrix, folds)
    return ReferenceEstimate(
        **estimates,
        n_reduced=(reduced_x.scores.shape[1], reduced_y.scores.shape[1]),
        ranks=(reduced_x.rank, reduced_y.rank),
    )


def _reduce(values: Array, count: int) -> Reduced:
    """Exact PCA to min(count, d, m - 1) components (step 1)."""
    return principal_components(values, min(count, len(values) - 1))


def _estimate(components: Components, labels: Array, folds: Blocks) -> SpectrumEstimate:
    """R^2 of every component (step 4) and its class by every rule (step 5)."""
    scores: Scores = fold_scores(components.scores, folds)
    r2 = cross_validated_r2(scores, labels, ALPHA)
    null = permuted_r2(scores, labels, ALPHA, PERMUTATIONS, SEEDS.permutations)
    classes = {
        Rule.ELBOW: elbow(r2),
        Rule.ELBOW_LOG: elbow_log(r2),
        Rule.PERMUTATION: permutation(r2, null, QUANTILE),
    }
    return SpectrumEstimate(components.singular_values, r2, classes)


def _outcome(separations: Separations) -> RuleOutcome:
    ca, forward, reverse = (
        Ratio(s.ratio, s.status) for s in (separations.ca, separations.cp_x_to_y, separations.cp_y_to_x)
    )
    return RuleOutcome(ca, forward, reverse, Regimes(x_to_y=regime_of(ca, forward), y_to_x=regime_of(ca, reverse)))
