"""The published values and the inputs they belong to, rebuilt from what scikit-learn ships."""

from __future__ import annotations

import functools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine

from service.estimation.labels import Targets
from service.estimation.options import Options
from service.estimation.reference import PCA_COMPONENTS, ReferenceEstimate, SpectrumEstimate, reference
from service.estimation.separation import regime_of
from service.estimation.separation_records import Ratio
from service.estimation.stages import Stages, silent
from service.estimation.terms import RatioStatus, Rule

HERE = Path(__file__).parent
PUBLISHED: dict[str, Any] = json.loads((HERE / "reference_values.json").read_text(encoding="utf-8"))
PUBLISHED_REGIMES = {"Both": "both", "CA only": "ca_only", "CP only": "cp_only", "Neither": "neither"}
DIRECTIONS = ("x_to_y", "y_to_x")
INPUTS = ("description", "n", "dx", "dy", "labels", "settings")  # what describes an entry; the rest are results


def one_hot(classes: np.ndarray) -> np.ndarray:
    return (classes[:, None] == np.unique(classes)).astype(float)


@functools.cache
def dataset(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    match name:
        case "digits_left_right":
            digits = load_digits()
            halves = [digits.images[:, :, half].reshape(len(digits.images), -1) for half in (slice(4), slice(4, 8))]
            return halves[0], halves[1], one_hot(digits.target)
        case "breast_cancer_mean_worst":
            data, target = load_breast_cancer(return_X_y=True)
            return data[:, :10], data[:, 20:30], one_hot(target)
        case "wine_split":
            data, target = load_wine(return_X_y=True)
            return data[:, :6], data[:, 6:13], one_hot(target)
        case "diabetes_split":
            data, target = load_diabetes(return_X_y=True)
            return data[:, :4], data[:, 4:], target[:, None]
    raise KeyError(name)


@functools.cache
def estimated(name: str, swapped: bool) -> ReferenceEstimate:
    """The core's estimate of (x, y), or of (y, x)."""
    x, y, labels = dataset(name)
    if swapped:
        x, y = y, x
    targets = Targets(labels, tuple(f"label_{place}" for place in range(labels.shape[1])))
    return reference(x, y, targets, Options().n_components, PCA_COMPONENTS, Stages(silent))


def flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Leaves of nested dicts by dotted path."""
    leaves: dict[str, Any] = {}
    for name, value in tree.items():
        path = f"{prefix}{name}"
        leaves |= flat(value, f"{path}.") if isinstance(value, dict) else {path: value}
    return leaves


@functools.cache
def found(name: str, direction: str, swapped: bool) -> dict[str, Any]:
    """The core's results in the file's layout.  `swapped`: from the estimate of (y, x)."""
    estimate = estimated(name, swapped)
    forward = (direction == "x_to_y") != swapped  # whether the direction's source is the estimate's x
    point = estimate.phase_point(Rule.ELBOW)
    elbow = estimate.separations(Rule.ELBOW)
    cp = estimate.cp_x_to_y if forward else estimate.cp_y_to_x
    cp_separation = elbow.cp_x_to_y if forward else elbow.cp_y_to_x
    composite_cp = point.composite_ratios.cp_x_to_y if forward else point.composite_ratios.cp_y_to_x
    regimes = point.composite_regimes
    gammas = (point.gamma_x, point.gamma_y)
    tildes = (point.gamma_tilde_x, point.gamma_tilde_y)
    alignments = (point.variance_alignment.x, point.variance_alignment.y)
    if not forward:
        gammas, tildes, alignments = gammas[::-1], tildes[::-1], alignments[::-1]
    return flat(
        {
            "kappa_hat": point.kappa,
            "nu_hat": point.nu,
            "gamma_x_hat": gammas[0],
            "gamma_y_hat": gammas[1],
            "gamma_tilde_x_hat": tildes[0],
            "gamma_tilde_y_hat": tildes[1],
            "delta_ca_composite": number(point.composite_ratios.ca),
            "delta_cp_composite": number(composite_cp),
            "delta_ca_direct": number(elbow.ca),
            "delta_cp_direct": number(cp_separation),
            "regime_primary": str(regime_of(elbow.ca, cp_separation)),
            "regime_secondary": str(regimes.x_to_y if forward else regimes.y_to_x),
            "Q_x": alignments[0],
            "Q_y": alignments[1],
            "r_hat_ca": elbow.ca.recovered_count,
            "r_hat_cp": cp_separation.recovered_count,
            "ca": _spectrum(estimate.ca),
            "cp": _spectrum(cp),
            "pls": _spectrum(estimate.pls),
            "by_classifier": {rule.value: _by_rule(estimate, rule, forward) for rule in Rule},
        }
    )


def number(ratio: Ratio) -> float:
    """A ratio as the file writes it."""
    return {RatioStatus.NO_SIGNAL: 0.0, RatioStatus.NO_NUISANCE: math.inf}.get(ratio.status, ratio.ratio)


def _spectrum(spectrum: SpectrumEstimate) -> dict[str, list[Any]]:
    return {
        "singular_values": spectrum.singular_values.tolist(),
        "sum_r2": spectrum.r2.sum(axis=1).tolist(),
        "is_signal": spectrum.classes[Rule.ELBOW].tolist(),
    }


def _by_rule(estimate: ReferenceEstimate, rule: Rule, forward: bool) -> dict[str, Any]:
    separations = estimate.separations(rule)
    cp = separations.cp_x_to_y if forward else separations.cp_y_to_x
    outcome = getattr(estimate.rules(), rule.value)
    return {
        "delta_ca_direct": number(separations.ca),
        "delta_cp_direct": number(cp),
        "regime_primary": str(outcome.regimes.x_to_y if forward else outcome.regimes.y_to_x),
    }
