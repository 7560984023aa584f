"""Score an estimator on problems with known truth: python -m benchmarks.accuracy [--sizes small] [--problems 200]."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

from benchmarks import results
from benchmarks.problems import REGIMES, SIZES
from benchmarks.scoring import Answer, Estimator, score
from service.estimation import reference as published
from service.estimation.calibrated import estimate_posterior
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
    """The default estimator, without what a report has besides: rehearsal, preflight, and what would settle it."""
    prepared = prepare(x, y, label_columns(labels), rows, Options(method=Method.CALIBRATED, seed=seed))
    found = estimate_posterior(material_of(prepared), seed=seed)
    forward = found.probabilities.sum(axis=2)
    ratios = [math.exp(median) for _, median, _ in found.log_intervals]
    return {
        "ratios": dict(zip(("ca", "cp_x_to_y", "cp_y_to_x"), ratios, strict=True)),
        "probabilities": {
            "both": float(forward[1, 1]),
            "ca_only": float(forward[1, 0]),
            "cp_only": float(forward[0, 1]),
            "neither": float(forward[0, 0]),
        },
    }


ESTIMATORS: dict[str, Estimator] = {"reference": reference, "calibrated": calibrated}


def main(arguments: Sequence[str] | None = None) -> None:
    """Print one table, a column a size, and write it as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__)
    parser.add_argument("--estimator", default="reference", choices=list(ESTIMATORS))
    parser.add_argument("--sizes", nargs="+", default=list(SIZES), choices=list(SIZES))
    parser.add_argument("--problems", type=int, default=200, help="problems of every size (default 200)")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="where to write (default benchmarks/results/accuracy-ESTIMATOR.json)")
    chosen = parser.parse_args(arguments)
    if chosen.problems < 1:
        parser.error("--problems must be at least 1")

    seeds = range(chosen.first_seed, chosen.first_seed + chosen.problems)
    table = {size: score(ESTIMATORS[chosen.estimator], SIZES[size], seeds) for size in chosen.sizes}
    print(f"{chosen.estimator}, {chosen.problems} problems a size, seeds {seeds.start} to {seeds.stop - 1}")
    print(f"{'':32s}" + "".join(f"{size:>10s}" for size in table))
    for figure in table[chosen.sizes[0]]:
        print(f"{figure:32s}" + "".join(f"{row[figure]:10.3f}" for row in table.values()))

    path = chosen.json or results.DIRECTORY / f"accuracy-{chosen.estimator}.json"
    results.write(
        path,
        {
            "estimator": chosen.estimator,
            "problems": chosen.problems,
            "first_seed": chosen.first_seed,
            "sizes": {size: vars(SIZES[size]) for size in table},
            "scores": table,
        },
    )
    print(f"Written to {path}")


def _number(ratio: Ratio) -> float:
    match ratio.status:
        case RatioStatus.NO_SIGNAL:
            return 0.0
        case RatioStatus.NO_NUISANCE:
            return math.inf
    assert ratio.ratio is not None
    return ratio.ratio


if __name__ == "__main__":
    main()
