"""What the estimator says of real pairs: python -m benchmarks.real_data [--data FOLDER] [--page docs/real-data.md].

Without a folder only the sets that scikit-learn ships are run.  Every set leaves a JSON file; the tables are made from
these files alone, so that a set can be run again by itself, and are printed or put between the markers of a page.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import real_tables, results
from benchmarks.real_runs import run
from benchmarks.real_sets import SETS

HALVES = 20


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the sets, write one JSON file each, print the tables or put them on a page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.real_data", description=__doc__)
    parser.add_argument("--data", type=Path, help="folder with the .npz files of the sets that scikit-learn lacks")
    parser.add_argument("--sets", nargs="*", choices=list(SETS), help="sets to run (default all; none: tables only)")
    parser.add_argument("--halves", type=int, default=HALVES, help=f"random halves of every set (default {HALVES})")
    parser.add_argument("--results", type=Path, default=results.DIRECTORY / "real", help="where to write")
    parser.add_argument("--page", type=Path, help="the page whose tables to write anew; every set must have results")
    chosen = parser.parse_args(arguments)
    if chosen.halves < 0:
        parser.error("--halves must not be negative")
    names = _runnable(chosen.data) if chosen.sets is None else chosen.sets
    if chosen.data is None and (lacking := [name for name in names if SETS[name].file is not None]):
        parser.error(f"say with --data where these sets are: {', '.join(lacking)}")

    for name in names:
        begun = time.perf_counter()
        found = run(SETS[name], SETS[name].load(chosen.data), chosen.halves)
        results.write(chosen.results / f"{name}.json", found)
        print(f"{name}: {time.perf_counter() - begun:.0f} s", flush=True)

    written = {name: path for name in SETS if (path := chosen.results / f"{name}.json").exists()}
    if chosen.page is None:
        print(real_tables.tables({name: _read(written[name]) for name in names or written}))
        return
    if lacking := [name for name in SETS if name not in written]:
        parser.error(f"{chosen.page} shows every set, and these have no results yet: {', '.join(lacking)}")
    text = chosen.page.read_text(encoding="utf-8")
    tables = real_tables.tables({name: _read(path) for name, path in written.items()})
    chosen.page.write_text(real_tables.between_markers(text, tables), encoding="utf-8")
    print(f"Tables written to {chosen.page}")


def _runnable(folder: Path | None) -> list[str]:
    return [name for name, real in SETS.items() if folder is not None or real.file is None]


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


if __name__ == "__main__":
    main()
