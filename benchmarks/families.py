"""Families of data that depart in one way from what the estimator assumes: python -m benchmarks.families.

    family           departs in                                               size
    ---------------  -------------------------------------------------------  -------------------------------
    plain            nothing: the spiked model, normal rows                   that of --size
    heavy_tails      rows multivariate t with 4.5 to 6 degrees of freedom     that of --size
    wide             many features                                            1000 pairs, 20 and 200 features
    many_signals     6 to 10 signal coordinates                               that of --size
    rare_class       classes, the smallest of which 3 to 6 in 100 rows have   that of --size
    repeated_rows    groups of 3 to 5 rows, which own 0.6 to 0.95 of the      that of --size
                     variance; the estimator is told of them
    repeated_labels  the same, rows of a group having the same labels         that of --size
    general_mixing   coordinates mixed by matrices that are not orthogonal    that of --size

Everything else is drawn as in benchmarks/worlds.py.  The published procedure is asked about the same problems.

Nulls are problems of `plain` from which a dependence was taken, so that no claim of a signal is justified:

    null_labels      labels of nothing that x and y know
    null_pairing     rows of y in random order; labels depend on x
    null_both        both

A claim needs two tests at level 0.05: of 400 draws at most 28 claim a signal in 97 of 100 runs.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.stats import binom

from benchmarks import results
from benchmarks.estimators import answer_of, estimate, reference
from benchmarks.labelings import LABELINGS, Labeling, draw_kind, one_rare_class
from benchmarks.problems import SIZES, Size
from benchmarks.scoring import Outcome, compare, summarise
from benchmarks.worlds import Grouping, Traits, World, labels_of, world
from service.estimation.evidence import LEVEL
from service.estimation.moments import Indices

STREAM, NULL_STREAM = 79, 80  # beside the seed, so that no two generators share random numbers
CONFIDENCE = 0.965  # at least, with which an exact test claims no more often than is allowed
ROWS_PER_GROUP, GROUP_SHARES = (3, 5), (0.6, 0.95)


@dataclass(frozen=True)
class Family:
    """Problems that depart from the spiked model with normal rows in what is said here."""

    size: Size | None = None  # None for the size that is asked for
    degrees: tuple[float, float] | None = None  # of freedom of multivariate t rows
    signals: tuple[int, int] | None = None  # least and most signal coordinates
    labeling: Labeling | None = None
    grouped: bool = False
    group_labels: bool = False
    general: bool = False


FAMILIES = {  # their order is part of the definition of their problems
    "plain": Family(),
    "heavy_tails": Family(degrees=(4.5, 6.0)),
    "wide": Family(size=Size(1000, 300, 20, 200)),
    "many_signals": Family(signals=(6, 10)),
    "rare_class": Family(labeling=one_rare_class),
    "repeated_rows": Family(grouped=True),
    "repeated_labels": Family(grouped=True, group_labels=True),
    "general_mixing": Family(general=True),
}
NULLS = ("null_labels", "null_pairing", "null_both")
COLUMNS = {
    "problems": "problems",
    "regime_accuracy": "right",
    "published_regime_accuracy": "published",
    "mean_confidence": "promised",
    "brier": "brier",
    "expected_calibration_error": "ece",
    "calibration_error_by_chance": "by chance",
    "sure_fraction": "sure",
    "sure_accuracy": "sure right",
    "ratio_log_error_median": "log error",
    "direction_accuracy": "direction",
    "interval_coverage": "covered",
    "claimed": "claimed",
}


def family_world(name: str, seed: int, size: Size) -> World:
    """Problem number `seed` of a family."""
    family = FAMILIES[name]
    rng = np.random.default_rng([seed, STREAM, tuple(FAMILIES).index(name)])
    size = family.size or size
    degrees = float(rng.uniform(*family.degrees)) if family.degrees else None
    grouping = Grouping(_repeated(rng, size.n_pairs), float(rng.uniform(*GROUP_SHARES))) if family.grouped else None
    return world(
        rng,
        seed,
        size,
        Traits(degrees, grouping, draw_kind(rng)),
        general=family.general,
        signals=family.signals,
        labeling=family.labeling,
        group_labels=family.group_labels,
    )


def null_world(name: str, seed: int, size: Size) -> World:
    """Problem number `seed` without signal; its ratios are those of the population that a dependence was taken from."""
    drawn = family_world("plain", seed, size)
    rng = np.random.default_rng([seed, NULL_STREAM, NULLS.index(name)])
    y, labels = drawn.y, drawn.labels
    if name != "null_labels":
        y = y[rng.permutation(len(y))]
    if name != "null_pairing":
        strange = rng.standard_normal((len(drawn.x), len(drawn.population.kappa2)))
        labels = labels_of(rng, LABELINGS[drawn.traits.label_kind], strange, drawn.rows)
    return replace(drawn, y=y, labels=labels)


def judge(drawn: World) -> tuple[Outcome, bool, bool]:
    """The outcome, whether a signal was claimed, and whether the published procedure names the true regime."""
    started = time.perf_counter()
    found = estimate(drawn.x, drawn.y, drawn.labels, drawn.rows, drawn.groups, seed=0)
    seconds = time.perf_counter() - started
    kind = drawn.traits.label_kind
    published = compare(reference(drawn.x, drawn.y, drawn.labels, drawn.rows), drawn.ratios, kind, math.nan)
    return compare(answer_of(found), drawn.ratios, kind, seconds), found.claimed, published.hit


def family_figures(name: str, seeds: Sequence[int], size: Size) -> dict[str, float]:
    """A row of the table, and the other figures of `summarise`."""
    judged = [judge(family_world(name, seed, size)) for seed in seeds]
    outcomes, claimed, published = zip(*judged, strict=True)
    return {
        "problems": float(len(seeds)),
        "published_regime_accuracy": float(np.mean(published)),
        "claimed": float(np.mean(claimed)),
        **summarise(outcomes),
    }


def claims(name: str, seeds: Sequence[int], size: Size) -> int:
    """In how many draws of a null a signal is claimed."""
    drawn = (null_world(name, seed, size) for seed in seeds)
    return sum(estimate(d.x, d.y, d.labels, d.rows, seed=0).claimed for d in drawn)


def most_allowed(draws: int) -> int:
    """Claims among draws of a null that an exact test stays within, with CONFIDENCE at least."""
    return int(binom.ppf(CONFIDENCE, draws, LEVEL))


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a row a family and a row a null, and write them as JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.families",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    every = [*FAMILIES, *NULLS]
    parser.add_argument("--families", nargs="+", default=every, choices=every, help="and nulls (default all)")
    parser.add_argument("--size", default="small", choices=list(SIZES), help="of those without their own")
    parser.add_argument("--problems", type=int, default=200, help="of every family (default 200)")
    parser.add_argument("--draws", type=int, default=400, help="of every null (default 400)")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--json", type=Path, default=results.DIRECTORY / "families.json", help="where to write")
    chosen = parser.parse_args(arguments)
    if min(chosen.problems, chosen.draws) < 1:
        parser.error("--problems and --draws must be at least 1")

    size, first = SIZES[chosen.size], chosen.first_seed
    table: dict[str, dict[str, float]] = {}
    families = [name for name in chosen.families if name in FAMILIES]
    if families:
        print(f"size {chosen.size}, seeds from {first} on")
        print(f"{'':16s}" + "".join(f"{heading:>11s}" for heading in COLUMNS.values()))
    for name in families:
        table[name] = family_figures(name, range(first, first + chosen.problems), size)
        cells = (f"{table[name][figure]:11.{0 if figure == 'problems' else 3}f}" for figure in COLUMNS)
        print(f"{name:16s}" + "".join(cells), flush=True)

    found: dict[str, int] = {}
    for name in (name for name in chosen.families if name in NULLS):
        found[name] = claims(name, range(first, first + chosen.draws), size)
        allowed = most_allowed(chosen.draws)
        print(f"{name:16s} a signal claimed in {found[name]} of {chosen.draws} draws, {allowed} allowed", flush=True)
    results.write(
        chosen.json,
        {"size": vars(size), "first_seed": first, "families": table, "draws": chosen.draws, "claims": found},
    )
    print(f"Written to {chosen.json}")


def _repeated(rng: np.random.Generator, n: int) -> Indices:
    """Group ids (n,), in random order, of groups of ROWS_PER_GROUP rows; the last may be cut short."""
    low, high = ROWS_PER_GROUP
    sizes = rng.integers(low, high + 1, n // low + 1)
    return np.asarray(rng.permutation(np.repeat(np.arange(len(sizes)), sizes)[:n]))


if __name__ == "__main__":
    main()
