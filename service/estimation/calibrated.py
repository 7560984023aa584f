"""The calibrated estimate: probabilities that keep what they promise, from block moments and labeled scores.

1. How much the pairs and labels are worth: design effects (posterior/worth.py).
2. Draws of the posterior of the spiked model, or of one without its orthogonality where the data reject that.
3. Probabilities of every cell of (ratio > 1), and intervals, through the temperature that simulation gives
   (calibration.py).
4. Two tests guard the claim of any signal: that the pairing is better than shuffled, and that labels go with the
   coupled components (evidence.py).
docs/calibrated.md derives each step.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from service.estimation.calibration import Circumstances, cell_probabilities, log_interval, without_claim
from service.estimation.canonical import canonical_weights, held_out_correlations
from service.estimation.evidence import (
    COUPLING_RESAMPLES,
    LABEL_RESAMPLES,
    CoupledComponents,
    CouplingEvidence,
    LabelEvidence,
    coupling_evidence,
    label_evidence,
)
from service.estimation.material import Material, in_units, label_moments
from service.estimation.moments import Array
from service.estimation.posterior.draws import SampleComponents
from service.estimation.posterior.moments import PairMoments
from service.estimation.posterior.sampling import Posterior, sample_posterior
from service.estimation.posterior.worth import design_effect
from service.estimation.spectra import SampleSpectra, sample_spectra

COUPLED_COMPONENTS = 256  # canonical components that the labels' test looks at: signal may be the weakest of all
LIKELY_SIGNAL = 0.5  # least posterior probability of any signal at which one is claimed


@dataclass(frozen=True)
class Worth:
    """How many independent normal pairs and labeled rows the data are worth."""

    n_pairs: float
    n_labeled: float  # of the largest set of labeled rows


@dataclass(frozen=True)
class Sampled:
    """Draws of the posterior, and what their calibration depends on."""

    posterior: Posterior
    circumstances: Circumstances
    worth: Worth

    @property
    def probabilities(self) -> Array:
        """Calibrated, (2, 2, 2), of (ca > 1, cp_x_to_y > 1, cp_y_to_x > 1), whatever is claimed."""
        draws = self.posterior.draws
        return cell_probabilities(draws.log_ratios, draws.signal_count, self.circumstances)


@dataclass(frozen=True)
class CalibratedEstimate:
    """What was found; x and y were divided by `units` first."""

    posterior: Posterior
    circumstances: Circumstances
    worth: Worth
    probabilities: Array  # (2, 2, 2), of (ca > 1, cp_x_to_y > 1, cp_y_to_x > 1)
    log_intervals: tuple[tuple[float, float, float], ...]  # per objective: low, median, high; without a claim no ends
    coupling: CouplingEvidence
    labels: LabelEvidence
    claimed: bool  # whether any signal is claimed
    spectra: SampleSpectra
    units: tuple[float, float]


def estimate_posterior(
    material: Material,
    *,
    alpha: float = 0.05,
    level: float = 0.9,
    n_components: int = 50,
    seed: int = 0,
    tell: Callable[[float], None] = lambda fraction: None,
) -> CalibratedEstimate:
    """Estimate the separation ratios with their uncertainty.

    Arguments: alpha, level of the two tests; level, coverage of the intervals; n_components, components of every
    sample spectrum; seed, of everything random; tell, called with the fraction of the sampling done.
    """
    coupling, association = _evidence(material, alpha, seed)
    material, units = in_units(material)
    pooled = material.moments.pooled(np.ones(len(material.moments.counts)))
    spectra = sample_spectra(pooled.covariance, material.moments.n_x, n_components)
    found = sample(material, tuple(spectra.components.values()), seed=seed, tell=tell)
    log_ratios = found.posterior.draws.log_ratios
    any_signal = float((found.posterior.draws.signal_count > 0).mean())
    claimed = max(coupling.p_value, association.p_value) <= alpha and any_signal >= LIKELY_SIGNAL
    ends = [log_interval(log_ratios[:, place], level, found.circumstances) for place in range(3)]
    return CalibratedEstimate(
        posterior=found.posterior,
        circumstances=found.circumstances,
        worth=found.worth,
        probabilities=found.probabilities if claimed else without_claim(found.probabilities),
        log_intervals=tuple(
            (low, median, high) if claimed else (-np.inf, median, np.inf) for low, median, high in ends
        ),
        coupling=coupling,
        labels=association,
        claimed=claimed,
        spectra=spectra,
        units=units,
    )


def sample(
    material: Material,
    spectra: tuple[SampleComponents, ...] = (),
    *,
    seed: int = 0,
    more_pairs: float = 1.0,
    more_labels: float = 1.0,
    spiked: bool | None = None,
    effort: float = 1.0,
    tell: Callable[[float], None] = lambda fraction: None,
) -> Sampled:
    """Sample the posterior of `material`, in units of a mean variance of 1.

    Arguments: spectra, sample components whose shares in the signal are wanted; more_pairs, more_labels, factors by
    which the data are taken to be worth more than they are, with the same moments: what would more of them settle?
    spiked, whether the spiked model stands; by default the data say it; effort, a factor on the length of chains.
    """
    moments = material.moments
    pooled = moments.pooled(np.ones(len(moments.counts)))
    sx, sy = moments.sides
    n_effective = pooled.n / design_effect(moments) * more_pairs
    pairs = PairMoments(
        pooled.covariance[sx, sx], pooled.covariance[sx, sy], pooled.covariance[sy, sy], n_effective, whitened=False
    )
    labels = label_moments(material, more_labels)
    posterior = sample_posterior(pairs, labels, spectra, round(pooled.n * more_pairs), seed, tell, spiked, effort)
    circumstances = Circumstances(
        spiked=posterior.spiked,
        crowding=posterior.crowding,
        one_target=sum(len(part.tt) for part in labels) == 1,
        n_pairs=n_effective,
    )
    return Sampled(posterior, circumstances, Worth(n_effective, max(part.m for part in labels)))


def _evidence(material: Material, alpha: float, seed: int) -> tuple[CouplingEvidence, LabelEvidence]:
    moments = material.moments
    coupling = coupling_evidence(
        moments.counts,
        moments.first,
        moments.second,
        moments.n_x,
        grouped=material.grouped,
        seed=seed,
        resamples=_enough(alpha, COUPLING_RESAMPLES),
    )
    pooled = moments.pooled(np.ones(len(moments.counts)))
    x, y = canonical_weights(pooled, moments.sides, COUPLED_COMPONENTS)
    correlations = held_out_correlations(moments, x.shape[1])
    coupled = CoupledComponents(x, y, correlations if len(correlations) else np.ones(x.shape[1]))
    association = label_evidence(
        material.labeled_x,
        material.labeled_y,
        material.targets,
        coupled,
        material.labeled_groups,
        seed=seed,
        resamples=_enough(alpha, LABEL_RESAMPLES),
    )
    return coupling, association


def _enough(alpha: float, usual: int) -> int:
    """Resamples with which a p-value can be half of alpha."""
    return max(usual, math.ceil(2 / alpha))
