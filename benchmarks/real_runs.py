"""What is done with a real pair: the report, the published procedure beside it, halves of the pairs, accidents."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.real_sets import RealPair, RealSet, complete, for_reference, half
from service.estimation.calibrated import estimate_posterior
from service.estimation.estimate import estimate
from service.estimation.material import material_of
from service.estimation.options import UNSCALED, Options
from service.estimation.preparation import prepare
from service.estimation.record import as_dict
from service.estimation.rehearsal_verdicts import best_cross_modal
from service.estimation.report import Report
from service.estimation.terms import Method
from service.estimation.verdicts import most_probable, probability_of, regime_probabilities

ACCIDENTS = ("copied", "shuffled", "noise")
SEEDS = 5  # of everything random in the estimator, the first that of the report
REFERENCE = Options(method=Method.REFERENCE)


def run(real: RealSet, pair: RealPair, halves: int) -> dict[str, Any]:
    """Everything that the tables say of one set; the same seeds, the same numbers."""
    with threadpool_limits(limits=1, user_api="blas"):
        report = _calibrated(pair)
        best = best_cross_modal(report.rehearsal) if report.rehearsal is not None else None
        published = {"same_features": _published(for_reference(pair))}
        if pair.options.scaling != UNSCALED:
            unscaled = replace(pair, options=replace(pair.options, scaling=UNSCALED))
            published["as_they_are"] = _published(for_reference(unscaled))
        return {
            "x_name": real.x_name,
            "y_name": real.y_name,
            "report": as_dict(report),
            "best_cross_modal": None if best is None else [best.encoder, best.embedding_dim],
            "published": published,
            "halves": [half_run(half(pair, seed)) for seed in range(halves)],
            "seeds": seed_runs(pair),
            "accidents": {name: _accident(pair, name) for name in ACCIDENTS},
        }


def half_run(pair: RealPair) -> dict[str, Any]:
    """The regimes of some of the pairs, by the estimator and by the published procedure."""
    return {**_regime(pair), "published": _published(for_reference(pair))["regimes"]["x_to_y"]}


def seed_runs(pair: RealPair) -> list[dict[str, Any]]:
    """The regimes of all pairs by other seeds: what differs is the estimator's own randomness."""
    return [_regime(replace(pair, options=replace(pair.options, seed=seed))) for seed in range(SEEDS)]


def broken(pair: RealPair, accident: str, seed: int = 0) -> RealPair:
    """The pair after an accident.

    copied: the column of x of middle spread stands in y once more.  shuffled: y's rows are in random order.
    noise: x and y are independent normal values; labels, groups and covariates are the real ones.
    """
    rng = np.random.default_rng(seed)
    match accident:
        case "copied":
            spread = np.nanstd(pair.x, axis=0)
            column = int(np.argsort(spread, kind="stable")[len(spread) // 2])
            return replace(pair, y=np.column_stack([pair.y, pair.x[:, column]]))
        case "shuffled":
            return replace(pair, y=pair.y[rng.permutation(len(pair.y))])
        case "noise":
            whole = complete(pair)
            return replace(whole, x=rng.standard_normal(whole.x.shape), y=rng.standard_normal(whole.y.shape))
    raise ValueError(f"{accident!r} is none of {', '.join(ACCIDENTS)}")


def _calibrated(pair: RealPair) -> Report:
    return estimate(pair.x, pair.y, pair.labels, options=pair.options, groups=pair.groups, covariates=pair.covariates)


def _published(pair: RealPair) -> dict[str, Any]:
    report = as_dict(estimate(pair.x, pair.y, pair.labels, options=REFERENCE))
    return {name: report[name] for name in ("regimes", "separation", "direction")}


def _regime(pair: RealPair) -> dict[str, Any]:
    """The regime that a report of this pair names; what would settle it and a rehearsal are left out."""
    options = pair.options
    prepared = prepare(pair.x, pair.y, pair.labels, None, options, groups=pair.groups, covariates=pair.covariates)
    found = estimate_posterior(
        material_of(prepared),
        alpha=options.alpha,
        level=options.interval_level,
        n_components=options.n_components,
        seed=options.seed,
    )
    shares = regime_probabilities(found.probabilities).x_to_y
    regime = most_probable(shares)
    return {"regime": regime, "probability": probability_of(shares, regime), "claimed": found.claimed}


def _accident(pair: RealPair, accident: str) -> dict[str, Any]:
    report = as_dict(_calibrated(broken(pair, accident)))
    kept = ("regimes", "regime_probabilities", "conclusive", "evidence", "recommendation", "warnings")
    return {name: report[name] for name in kept}
