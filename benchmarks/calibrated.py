"""The calibrated estimator as the benchmarks ask it: from arrays to draws of the posterior, and to an answer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.problems import REGIMES
from benchmarks.scoring import INTERVAL_LEVEL, Answer
from service.estimation.calibration import Circumstances, cell_probabilities, log_interval
from service.estimation.moments import Array, Indices, assign_blocks, block_moments, centred, covariance
from service.estimation.posterior.moments import LabelMoments, PairMoments
from service.estimation.posterior.sampling import sample_posterior
from service.estimation.posterior.worth import design_effect, label_design_effect

OBJECTIVES = ("ca", "cp_x_to_y", "cp_y_to_x")  # the order of the posterior's draws
BLOCKS = 20  # of rows, between which scatter tells what rows are worth
RANK_TOLERANCE = 1e-6  # of the largest singular value of the standardised labels; below it a target is rounding


@dataclass(frozen=True)
class Drawn:
    """Draws (n, 3) of the log ratios, and what their calibration depends on."""

    log_ratios: Array
    circumstances: Circumstances


def drawn_posterior(x: Array, y: Array, labels: Array, rows: Indices, groups: Indices | None, seed: int) -> Drawn:
    """Draws of the posterior that the service would calibrate.  All glue between benchmarks and posterior is here.

    Arguments: x (n, dx), y (n, dy), numeric labels (m, L), each of which varies, of the pairs rows (m,), groups (n,).
    """
    blocks = assign_blocks(len(x), groups, BLOCKS, seed)
    scores_x, scores_y = _principal_scores(x), _principal_scores(y)
    effect = design_effect(block_moments(scores_x, scores_y, blocks, int(blocks.max()) + 1))
    n = len(x) / effect
    pairs = PairMoments(
        covariance(scores_x, scores_x), covariance(scores_x, scores_y), covariance(scores_y, scores_y), n, False
    )
    scores, targets = centred(np.hstack([scores_x, scores_y])[rows]), _uncorrelated(labels)
    worth = 1 / label_design_effect(scores, targets, blocks[rows])
    of_labels = LabelMoments(
        worth * len(rows),
        worth * scores.T @ scores,
        worth * scores.T @ targets,
        worth * (targets**2).sum(axis=0),
    )
    found = sample_posterior(pairs, [of_labels], (), len(x), seed)
    crowding = (x.shape[1] + y.shape[1]) / n
    return Drawn(found.draws.log_ratios, Circumstances(found.spiked, crowding, targets.shape[1] == 1, n))


def calibrated(
    x: Array, y: Array, labels: Array, rows: Indices, seed: int = 0, groups: Indices | None = None
) -> Answer:
    """Medians, calibrated probabilities of the regimes x to y, and calibrated intervals; arguments as above."""
    drawn = drawn_posterior(x, y, labels, rows, groups, seed)
    regimes = cell_probabilities(drawn.log_ratios, drawn.circumstances).sum(axis=2)
    intervals = {
        name: log_interval(drawn.log_ratios[:, place], INTERVAL_LEVEL, drawn.circumstances)
        for place, name in enumerate(OBJECTIVES)
    }
    return {
        "ratios": {name: _median_ratio(drawn.log_ratios[:, place]) for place, name in enumerate(OBJECTIVES)},
        # REGIMES counts down: both, ca_only, cp_only, neither.
        "probabilities": dict(zip(REGIMES, regimes[::-1, ::-1].ravel().tolist(), strict=True)),
        "intervals": {name: (float(np.exp(low)), float(np.exp(high))) for name, (low, _, high) in intervals.items()},
    }


def _median_ratio(log_ratios: Array) -> float:
    """0 where most draws have no signal, infinite where most have no nuisance."""
    return float(np.exp(np.quantile(log_ratios, 0.5, method="inverted_cdf")))


def _principal_scores(values: Array) -> Array:
    """Coordinates (n, d) along the principal axes, in order of falling variance."""
    deviations = centred(values)
    _, axes = np.linalg.eigh(covariance(deviations, deviations))
    return np.asarray(deviations @ axes[:, ::-1])


def _uncorrelated(labels: Array) -> Array:
    """Targets (m, L) of unit variance that span the standardised labels and do not correlate."""
    standardised = centred(labels) / labels.std(axis=0)
    left, values, _ = np.linalg.svd(standardised, full_matrices=False)
    return np.asarray(left[:, values > RANK_TOLERANCE * values[0]] * np.sqrt(len(labels)))
