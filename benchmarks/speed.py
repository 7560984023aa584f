"""Time the whole procedure beside an ordinary loop over its R^2 step, in one run: python -m benchmarks.speed [--full].

The R^2 step fits every component of six spectra to every label column in every fold, once for the labels as they are
and once for every permutation.  The loops do that with scikit-learn's Ridge, one fit at a time:

    per label      one Ridge for every component, permutation, fold and label column
    all labels     one Ridge for every component, permutation and fold, all label columns at once

Unless --full is given the loops run on a part of the components and permutations, and their time is EXTRAPOLATED by
the number of fits; the table says so.  Either way their R^2 must agree with that of the procedure.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.linear_model import Ridge

from benchmarks import results
from service.estimation.association import cross_validated_r2, fold_scores, permuted_r2
from service.estimation.coupling import (
    alignment_components,
    covariance_components,
    prediction_components,
    principal_components,
    unimodal_components,
    whiten,
)
from service.estimation.estimate import estimate
from service.estimation.labels import label_columns
from service.estimation.moments import Array, Blocks, shuffled_blocks
from service.estimation.options import Options
from service.estimation.reference import ALPHA, EIGENVALUE_FLOOR, FOLDS, PCA_COMPONENTS, PERMUTATIONS, RIDGE, SEEDS

SHARED = 6  # dimensions that x, y and the labels have in common
TOLERANCE = 1e-8  # largest difference of R^2 at which two implementations agree


@dataclass(frozen=True)
class Load:
    """Size of the measured problem."""

    n_pairs: int
    dx: int
    dy: int
    n_labels: int


@dataclass(frozen=True)
class Part:
    """The leading components of every spectrum, and the leading permutations, on which a loop runs."""

    components: int
    permutations: int


@dataclass(frozen=True)
class Timing:
    """How long a loop took on its part, and what that makes for all fits."""

    measured_s: float
    fits: int
    all_fits: int
    largest_difference: float

    @property
    def whole_s(self) -> float:
        """Seconds for all fits, by proportion."""
        return self.measured_s * self.all_fits / self.fits

    @property
    def extrapolated(self) -> bool:
        """Whether `whole_s` was not measured."""
        return self.fits < self.all_fits


def draw(load: Load, seed: int) -> tuple[Array, Array, Array]:
    """x (n, dx), y (n, dy) and labels (n, L) with a shared part."""
    rng = np.random.default_rng(seed)
    shared = rng.standard_normal((load.n_pairs, SHARED))
    parts = [
        shared @ rng.standard_normal((SHARED, width)) + rng.standard_normal((load.n_pairs, width))
        for width in (load.dx, load.dy, load.n_labels)
    ]
    return parts[0], parts[1], parts[2]


def component_scores(x: Array, y: Array) -> dict[str, Array]:
    """Scores (p, n, c) of every spectrum: what the R^2 step is given."""
    reduced_x = principal_components(x, min(PCA_COMPONENTS, len(x) - 1))
    reduced_y = principal_components(y, min(PCA_COMPONENTS, len(y) - 1))
    white_x = whiten(reduced_x, RIDGE, EIGENVALUE_FLOOR)
    white_y = whiten(reduced_y, RIDGE, EIGENVALUE_FLOOR)
    count = Options().n_components
    spectra = {
        "ca": alignment_components(white_x, white_y, count),
        "cp_x_to_y": prediction_components(white_x, white_y, count),
        "cp_y_to_x": prediction_components(white_y, white_x, count),
        "pls": covariance_components(white_x, white_y, count),
        "pca_x": unimodal_components(reduced_x, count),
        "pca_y": unimodal_components(reduced_y, count),
    }
    return {name: components.scores for name, components in spectra.items()}


def vectorised_r2(spectra: dict[str, Array], labels: Array, folds: Blocks) -> dict[str, Array]:
    """R^2 (1 + permutations, c, L) of every spectrum, as the procedure computes it."""
    found = {}
    for name, scores in spectra.items():
        laid_out = fold_scores(scores, folds)
        plain = cross_validated_r2(laid_out, labels, ALPHA)
        found[name] = np.stack([plain, *permuted_r2(laid_out, labels, ALPHA, PERMUTATIONS, SEEDS.permutations)])
    return found


def looped_r2(scores: Array, labels: Array, folds: Blocks, part: Part, at_once: bool) -> Array:
    """The same for the leading components and permutations of one spectrum, one Ridge at a time."""
    generator = np.random.RandomState(SEEDS.permutations)
    orders = [np.arange(len(labels)), *(generator.permutation(len(labels)) for _ in range(part.permutations))]
    n_components = min(part.components, scores.shape[2])
    width = labels.shape[1] if at_once else 1
    r2 = np.empty((len(orders), n_components, labels.shape[1]))
    for place, order in enumerate(orders):
        shuffled = labels[order]
        for component in range(n_components):
            for start in range(0, labels.shape[1], width):
                targets = shuffled[:, start : start + width]
                r2[place, component, start : start + width] = _one_r2(scores[:, :, component].T, targets, folds)
    return r2


def _one_r2(predictors: Array, targets: Array, folds: Blocks) -> Array:
    residual, total = np.zeros(targets.shape[1]), np.zeros(targets.shape[1])
    for held in folds.slices():
        test = folds.order[held]
        train = np.delete(folds.order, held)
        fit = Ridge(alpha=ALPHA).fit(predictors[train], targets[train])
        predicted = fit.predict(predictors[test]).reshape(len(test), -1)
        residual += ((targets[test] - predicted) ** 2).sum(axis=0)
        total += ((targets[test] - targets[test].mean(axis=0)) ** 2).sum(axis=0)
    r2: Array = np.maximum(1 - residual / total, 0.0)
    return r2


def time_loop(
    spectra: dict[str, Array], labels: Array, folds: Blocks, part: Part, at_once: bool, expected: dict[str, Array]
) -> Timing:
    """Run a loop on `part` of every spectrum and hold its R^2 against `expected`."""
    fits = all_fits = 0
    seconds = difference = 0.0
    per_component = FOLDS * (1 if at_once else labels.shape[1])
    for name, scores in spectra.items():
        started = time.perf_counter()
        r2 = looped_r2(scores, labels, folds, part, at_once)
        seconds += time.perf_counter() - started
        fits += r2.shape[0] * r2.shape[1] * per_component
        all_fits += (1 + PERMUTATIONS) * scores.shape[2] * per_component
        difference = max(difference, float(np.abs(r2 - expected[name][: r2.shape[0], : r2.shape[1]]).max()))
    if difference > TOLERANCE:
        raise SystemExit(f"The loop and the procedure disagree by {difference:.3g}: their times cannot be compared.")
    return Timing(seconds, fits, all_fits, difference)


def timed(action: Callable[[], object], repeats: int) -> list[float]:
    """Seconds of every repetition."""
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - started)
    return seconds


def peak_memory_bytes() -> int:
    """Largest resident size of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print the table, write JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.speed", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=5000)
    parser.add_argument("--dx", type=int, default=512)
    parser.add_argument("--dy", type=int, default=512)
    parser.add_argument("--labels", type=int, default=44)
    parser.add_argument("--repeats", type=int, default=5, help="runs of the procedure; the median counts (default 5)")
    parser.add_argument("--components", type=int, default=3, help="components a spectrum for the loops (default 3)")
    parser.add_argument("--permutations", type=int, default=4, help="permutations for the loops (default 4)")
    parser.add_argument("--full", action="store_true", help="run the loops on everything (about twenty minutes)")
    parser.add_argument("--json", type=Path, default=results.DIRECTORY / "speed.json")
    chosen = parser.parse_args(arguments)
    load = Load(chosen.pairs, chosen.dx, chosen.dy, chosen.labels)
    part = Part(chosen.components, chosen.permutations)
    if chosen.full:
        part = Part(Options().n_components, PERMUTATIONS)

    x, y, labels = draw(load, seed=0)
    columns = label_columns(labels)
    memory_before = peak_memory_bytes()
    whole = timed(lambda: estimate(x, y, columns), chosen.repeats)
    memory_peak = peak_memory_bytes()

    spectra = component_scores(x, y)
    folds = shuffled_blocks(load.n_pairs, FOLDS, SEEDS.folds)
    step = timed(lambda: vectorised_r2(spectra, labels, folds), chosen.repeats)
    expected = vectorised_r2(spectra, labels, folds)
    loops = {
        "loop, all labels": time_loop(spectra, labels, folds, part, True, expected),
        "loop, per label": time_loop(spectra, labels, folds, part, False, expected),
    }

    about = results.machine()
    print(f"n = {load.n_pairs}, {load.dx} x {load.dy} features, {load.n_labels} label columns; ", end="")
    print(f"{about['blas_threads']} BLAS threads on {about['cores']} cores; medians of {chosen.repeats} runs")
    step_s = statistics.median(step)
    whole_s = statistics.median(whole)
    print(f"{'whole procedure: estimate()':28s}{whole_s:10.2f} s")
    print(f"{'  of it the R^2 step':28s}{step_s:10.2f} s")
    for name, timing in loops.items():
        how = (
            f"EXTRAPOLATED from {timing.fits} of {timing.all_fits} fits in {timing.measured_s:.2f} s"
            if timing.extrapolated
            else f"measured, {timing.fits} fits"
        )
        print(f"{'  ' + name:28s}{timing.whole_s:10.2f} s{timing.whole_s / step_s:8.0f} times the R^2 step; {how}")
        slowed = 1 + (timing.whole_s - step_s) / whole_s
        print(f"{'  estimate() with that loop':28s}{whole_s * slowed:10.2f} s{slowed:8.0f} times estimate()")
    print(f"peak memory {memory_peak / 2**20:.0f} MiB, {memory_before / 2**20:.0f} MiB before the estimation")

    results.write(
        chosen.json,
        {
            "load": vars(load),
            "estimate_s": whole,
            "r2_step_s": step,
            "loops": {
                name: {
                    **vars(timing),
                    "whole_s": timing.whole_s,
                    "extrapolated": timing.extrapolated,
                    "ratio_to_r2_step": timing.whole_s / step_s,
                }
                for name, timing in loops.items()
            },
            "memory_before_bytes": memory_before,
            "memory_peak_bytes": memory_peak,
        },
    )
    print(f"Written to {chosen.json}")


if __name__ == "__main__":
    main()
