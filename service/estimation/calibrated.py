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

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.estimation.calibration import Circumstances, cell_probabilities, log_interval
from service.estimation.canonical import canonical_weights, held_out_correlations
from service.estimation.evidence import (
    CoupledComponents,
    CouplingEvidence,
    LabelEvidence,
    coupling_evidence,
    label_evidence,
)
from service.estimation.labels import ColumnTargets, encode_column
from service.estimation.moments import Array, BlockMoments, Indices
from service.estimation.posterior.moments import LabelMoments, PairMoments
from service.estimation.posterior.sampling import Posterior, sample_posterior
from service.estimation.posterior.worth import design_effect, label_design_effect
from service.estimation.preparation import Prepared
from service.estimation.spectra import SampleSpectra, sample_spectra

MOST_TARGETS = 64  # uncorrelated label targets of one set of rows; leading principal ones where there are more
TARGET_TOLERANCE = 1e-6  # of the largest singular value of the targets: below it they repeat each other
COUPLED_COMPONENTS = 50  # canonical components that the labels' test looks at


@dataclass(frozen=True)
class Material:
    """What the estimate is made from: moments of all pairs and scores of the labeled ones, in principal coordinates."""

    moments: BlockMoments
    labeled_x: Array  # (m, rx)
    labeled_y: Array  # (m, ry)
    columns: Sequence[ColumnTargets]  # targets of every label column, for the rows that have it
    labeled_blocks: Indices  # (m,), the block of each labeled row
    labeled_groups: NDArray[Any] | None  # (m,)

    @property
    def grouped(self) -> bool:
        """Whether rows belong together in groups."""
        return self.labeled_groups is not None


def material_of(prepared: Prepared) -> Material:
    """The material of a prepared input."""
    return Material(
        prepared.reduction.moments,
        prepared.reduction.labeled_x,
        prepared.reduction.labeled_y,
        [encode_column(column) for column in prepared.used],
        prepared.blocks[prepared.labeled],
        prepared.labeled_groups,
    )


@dataclass(frozen=True)
class Worth:
    """How many independent normal pairs and labeled rows the data are worth."""

    n_pairs: float
    n_labeled: float  # of the largest set of labeled rows


@dataclass(frozen=True)
class CalibratedEstimate:
    """What was found, in the modalities' own units."""

    posterior: Posterior
    worth: Worth
    circumstances: Circumstances  # what probabilities and intervals were calibrated by
    probabilities: Array  # (2, 2, 2), of (ca > 1, cp_x_to_y > 1, cp_y_to_x > 1)
    log_intervals: tuple[tuple[float, float, float], ...]  # per objective: low, median, high
    coupling: CouplingEvidence
    labels: LabelEvidence
    claimed: bool  # whether any signal is claimed
    spectra: SampleSpectra
    units: tuple[float, float]  # what x and y were divided by


def estimate_posterior(
    material: Material,
    *,
    alpha: float = 0.05,
    level: float = 0.9,
    n_components: int = 50,
    seed: int = 0,
    more_pairs: float = 1.0,
    more_labels: float = 1.0,
    tell: Callable[[float], None] = lambda fraction: None,
) -> CalibratedEstimate:
    """Estimate the separation ratios with their uncertainty.

    Arguments: alpha, level of the two tests; level, coverage of the intervals; n_components, components of every
    sample spectrum; seed, of everything random; more_pairs, more_labels, factors by which the data are taken to be
    worth more than they are, with the same moments: what would more of them settle?
    """
    material, units = _in_units(material)
    n_blocks = len(material.moments.counts)
    pooled = material.moments.pooled(np.ones(n_blocks))
    sx, sy = material.moments.sides
    n_effective = pooled.n / design_effect(material.moments) * more_pairs
    pairs = PairMoments(
        pooled.covariance[sx, sx], pooled.covariance[sx, sy], pooled.covariance[sy, sy], n_effective, whitened=False
    )
    labels = label_moments(material, more_labels)
    spectra = sample_spectra(pooled.covariance, material.moments.n_x, n_components)
    posterior = sample_posterior(pairs, labels, tuple(spectra.components.values()), round(pooled.n), seed, tell=tell)
    circumstances = Circumstances(
        spiked=posterior.spiked,
        crowding=posterior.crowding,
        one_target=max(len(part.tt) for part in labels) == 1,
        n_pairs=n_effective,
    )
    log_ratios = posterior.draws.log_ratios
    probabilities = cell_probabilities(log_ratios, circumstances)
    coupling, association = _evidence(material, seed)
    any_signal = float((posterior.draws.signal_count > 0).mean())
    claimed = max(coupling.p_value, association.p_value) <= alpha and any_signal >= 0.5
    return CalibratedEstimate(
        posterior=posterior,
        worth=Worth(n_effective, max(part.m for part in labels)),
        circumstances=circumstances,
        probabilities=probabilities if claimed else _unclaimed(probabilities),
        log_intervals=tuple(log_interval(log_ratios[:, place], level, circumstances) for place in range(3)),
        coupling=coupling,
        labels=association,
        claimed=claimed,
        spectra=spectra,
        units=units,
    )


def label_moments(material: Material, more_labels: float = 1.0) -> list[LabelMoments]:
    """Moments of every set of rows that share the same label columns, worth what its design effect leaves."""
    sets: dict[bytes, list[ColumnTargets]] = {}
    for column in material.columns:
        sets.setdefault(column.positions.tobytes(), []).append(column)
    found = []
    for together in sets.values():
        rows = together[0].positions
        scores = np.hstack([material.labeled_x[rows], material.labeled_y[rows]])
        scores = scores - scores.mean(axis=0)
        targets = uncorrelated(np.hstack([column.matrix for column in together]))
        if not targets.shape[1]:
            continue
        weight = more_labels / label_design_effect(scores, targets, material.labeled_blocks[rows])
        found.append(
            LabelMoments(
                m=weight * len(rows),
                products=weight * (scores.T @ scores),
                cross=weight * (scores.T @ targets),
                tt=weight * (targets**2).sum(axis=0),
            )
        )
    return found


def uncorrelated(targets: Array) -> Array:
    """Uncorrelated targets (m, k) of unit variance that span those given (m, L), standardised first."""
    centred = targets - targets.mean(axis=0)
    largest = np.abs(centred).max(axis=0)
    centred = centred[:, largest > 0] / largest[largest > 0]
    centred /= centred.std(axis=0)
    left, values, _ = np.linalg.svd(centred, full_matrices=False)
    kept = min(MOST_TARGETS, int((values > TARGET_TOLERANCE * values.max(initial=0.0)).sum()))
    return np.asarray(left[:, :kept] * np.sqrt(len(targets)))


def _in_units(material: Material) -> tuple[Material, tuple[float, float]]:
    """Both modalities scaled to a mean variance of 1: no number of the estimate may depend on their units."""
    moments = material.moments
    variances = moments.pooled(np.ones(len(moments.counts))).covariance.diagonal()
    sx, sy = moments.sides
    units = (float(np.sqrt(variances[sx].mean())), float(np.sqrt(variances[sy].mean())))
    scale = np.repeat(1 / np.array(units), [moments.n_x, len(variances) - moments.n_x])
    scaled = BlockMoments(moments.counts, moments.first * scale, moments.second * np.outer(scale, scale), moments.n_x)
    return Material(
        scaled,
        material.labeled_x / units[0],
        material.labeled_y / units[1],
        material.columns,
        material.labeled_blocks,
        material.labeled_groups,
    ), units


def _evidence(material: Material, seed: int) -> tuple[CouplingEvidence, LabelEvidence]:
    moments = material.moments
    coupling = coupling_evidence(
        moments.counts, moments.first, moments.second, moments.n_x, grouped=material.grouped, seed=seed
    )
    pooled = moments.pooled(np.ones(len(moments.counts)))
    x, y = canonical_weights(pooled, moments.sides, COUPLED_COMPONENTS)
    correlations = held_out_correlations(moments, x.shape[1])
    coupled = CoupledComponents(x, y, correlations if len(correlations) else np.ones(x.shape[1]))
    targets = np.full((len(material.labeled_x), sum(column.matrix.shape[1] for column in material.columns)), np.nan)
    place = 0
    for column in material.columns:
        width = column.matrix.shape[1]
        targets[column.positions, place : place + width] = column.matrix
        place += width
    association = label_evidence(
        material.labeled_x, material.labeled_y, targets, coupled, material.labeled_groups, seed=seed
    )
    return coupling, association


def _unclaimed(probabilities: Array) -> Array:
    """Half of what speaks for recovery goes to none: a signal that the tests do not find is no ground to train on."""
    halved = 0.5 * probabilities
    halved[0, 0, 0] = 1 - (halved.sum() - halved[0, 0, 0])
    return np.asarray(halved)
