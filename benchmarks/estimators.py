"""The estimators as benchmarks ask them: from arrays to an answer."""

from __future__ import annotations

import math

from benchmarks.problems import REGIMES
from benchmarks.scoring import INTERVAL_LEVEL, OBJECTIVES, Answer, Estimator
from service.estimation import reference as published
from service.estimation.calibrated import CalibratedEstimate, estimate_posterior
from service.estimation.labels import Targets, label_columns
from service.estimation.material import material_of
from service.estimation.moments import Array, Indices
from service.estimation.options import Options
from service.estimation.preparation import prepare
from service.estimation.separation import regime_of
from service.estimation.separation_records import Ratio
from service.estimation.stages import Stages, silent
from service.estimation.terms import Method, RatioStatus, Rule


def reference(x: Array, y: Array, labels: Array, rows: Indices, seed: int = 0) -> Answer:
    """The published procedure by its default rule, sure of its regime.

    Arguments: x (n, dx), y (n, dy), numeric labels (m, L) of the pairs rows (m,).  `seed` is without effect: the
    procedure fixes its own.
    """
    targets = Targets(labels, tuple(f"label_{place}" for place in range(labels.shape[1])))
    found = published.reference(
        x[rows], y[rows], targets, Options().n_components, published.PCA_COMPONENTS, Stages(silent)
    )
    ratios = found.separations(Rule.ELBOW)
    regime = regime_of(ratios.ca, ratios.cp_x_to_y)
    return {
        "ratios": {
            "ca": _number(ratios.ca),
            "cp_x_to_y": _number(ratios.cp_x_to_y),
            "cp_y_to_x": _number(ratios.cp_y_to_x),
        },
        "probabilities": {name.value: float(name is regime) for name in REGIMES},
    }


def calibrated(x: Array, y: Array, labels: Array, rows: Indices, seed: int = 0) -> Answer:
    """The default estimator's answer; arguments as above."""
    return answer_of(estimate(x, y, labels, rows, seed=seed))


def estimate(
    x: Array, y: Array, labels: Array, rows: Indices, groups: Indices | None = None, *, seed: int
) -> CalibratedEstimate:
    """The default estimate, without what a report has besides: rehearsal, preflight, and what would settle it.

    Arguments: x (n, dx), y (n, dy), numeric labels (m, L) of the pairs rows (m,), groups (n,).
    """
    options = Options(method=Method.CALIBRATED, seed=seed)
    prepared = prepare(x, y, label_columns(labels), rows, options, groups=groups)
    return estimate_posterior(material_of(prepared), level=INTERVAL_LEVEL, seed=seed)


def answer_of(found: CalibratedEstimate) -> Answer:
    """Medians, probabilities of the regimes x to y, intervals."""
    by_name = dict(zip(OBJECTIVES, found.log_intervals, strict=True))
    regimes = found.probabilities.sum(axis=2)
    return {
        "ratios": {name: math.exp(median) for name, (_, median, _) in by_name.items()},
        # REGIMES counts down, from both to neither; cells count up.
        "probabilities": dict(zip(REGIMES, regimes[::-1, ::-1].ravel().tolist(), strict=True)),
        "intervals": {name: (math.exp(low), math.exp(high)) for name, (low, _, high) in by_name.items()},
    }


ESTIMATORS: dict[str, Estimator] = {"reference": reference, "calibrated": calibrated}


def _number(ratio: Ratio) -> float:
    match ratio.status:
        case RatioStatus.NO_SIGNAL:
            return 0.0
        case RatioStatus.NO_NUISANCE:
            return math.inf
    assert ratio.ratio is not None
    return ratio.ratio
