"""Score the estimators on problems with known truth: python -m benchmarks.accuracy [--sizes small] [--problems 200].

All estimators are asked about the same problems and stand side by side, a column a size and one for all of them.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

from benchmarks import results
from benchmarks.estimators import ESTIMATORS
from benchmarks.problems import SIZES
from benchmarks.scoring import ask_all, summarise

ALL_SIZES = "all_sizes"

Table = dict[str, dict[str, float]]
"""Figures of every size and of all problems together."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Print one table, the estimators side by side, and write it as JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.accuracy",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--estimator", choices=list(ESTIMATORS), help="just one of them (default all)")
    parser.add_argument("--sizes", nargs="+", default=list(SIZES), choices=list(SIZES))
    parser.add_argument("--problems", type=int, default=200, help="problems of every size (default 200)")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="where to write (default benchmarks/results/accuracy.json)")
    chosen = parser.parse_args(arguments)
    if chosen.problems < 1:
        parser.error("--problems must be at least 1")

    seeds = range(chosen.first_seed, chosen.first_seed + chosen.problems)
    names = [chosen.estimator] if chosen.estimator else list(ESTIMATORS)
    tables = {name: _table(name, chosen.sizes, seeds) for name in names}
    print(f"{chosen.problems} problems a size, seeds {seeds.start} to {seeds.stop - 1}")
    _print_side_by_side(tables)

    path = chosen.json or results.DIRECTORY / "accuracy.json"
    results.write(
        path,
        {
            "problems": chosen.problems,
            "first_seed": chosen.first_seed,
            "sizes": {size: vars(SIZES[size]) for size in chosen.sizes},
            "scores": tables,
        },
    )
    print(f"Written to {path}")


def _table(estimator: str, sizes: Sequence[str], seeds: Sequence[int]) -> Table:
    outcomes = {size: ask_all(ESTIMATORS[estimator], SIZES[size], seeds) for size in sizes}
    table = {size: summarise(of_size) for size, of_size in outcomes.items()}
    return table | {ALL_SIZES: summarise(list(chain.from_iterable(outcomes.values())))}


def _print_side_by_side(tables: dict[str, Table]) -> None:
    columns = list(next(iter(tables.values())))
    figures = list(next(iter(tables.values()))[ALL_SIZES])
    print(f"{'':32s}" + "".join(f"{column:>{11 * len(tables)}s}" for column in columns))
    print(f"{'':32s}" + "".join(f"{name:>11s}" for name in tables) * len(columns))
    for figure in figures:
        cells = (f"{table[column][figure]:11.3f}" for column in columns for table in tables.values())
        print(f"{figure:32s}" + "".join(cells))


if __name__ == "__main__":
    main()
