"""Fit the calibration on worlds and say how well it holds on others: python -m benchmarks.calibration [--worlds 800].

Wide and crowded worlds (benchmarks/worlds.py) of the seeds from --first-seed on are given to the posterior.  What is
reported of fitted coefficients is cross-validated: half of the worlds, seeds with seed div 4 even (so that regimes come
in equal shares), are judged with coefficients fitted on the other half, and the other way round.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from benchmarks import results
from benchmarks.estimators import estimate
from benchmarks.problems import REGIMES
from benchmarks.scoring import INTERVAL_LEVEL, SURE, by_objective, calibration_error, calibration_error_by_chance
from benchmarks.temperature import (
    PRESENT,
    UNCALIBRATED,
    Coefficients,
    Record,
    Records,
    as_arrays,
    fit,
    intervals,
    probabilities,
)
from benchmarks.worlds import World, crowded_world, wide_world
from service.estimation.calibration import LOG_LIMIT, N_CELLS
from service.estimation.moments import Array

GENERATORS: dict[str, Callable[[int], World]] = {"wide": wide_world, "crowded": crowded_world}
CROWDING_BANDS = ((0.0, 0.1), (0.1, 0.3), (0.3, math.inf))
LEAST_PROBABILITY = 1e-6  # of the true regime, in the log loss of draws as they are
FEW = 10  # worlds from which a row of the table is printed
TELL_EVERY = 100

Chosen = NDArray[np.bool_]


def record(generator: str, seed: int) -> Record:
    """Draw a world, run the posterior on it, keep what the calibration needs."""
    world = GENERATORS[generator](seed)
    with threadpool_limits(1):
        found = estimate(world.x, world.y, world.labels, world.rows, world.groups, seed=0)
    # Draws, not answers: whether a signal was claimed is no matter of the calibration.
    log_ratios, given = found.posterior.draws.log_ratios, found.circumstances
    cells = (log_ratios > 0) @ np.array([4, 2, 1])
    levels = [(1 - INTERVAL_LEVEL) / 2, 0.5, (1 + INTERVAL_LEVEL) / 2]
    quantiles = np.quantile(np.clip(log_ratios, -LOG_LIMIT, LOG_LIMIT), levels, axis=0).T
    return Record(
        generator=generator,
        seed=seed,
        spiked=given.spiked,
        crowding=given.crowding,
        one_target=given.one_target,
        n_pairs=given.n_pairs,
        cells=tuple((np.bincount(cells, minlength=N_CELLS) / len(cells)).tolist()),
        quantiles=tuple(tuple(row) for row in quantiles.tolist()),
        log_ratios=tuple(math.log(ratio) for ratio in by_objective(world.ratios).values()),
    )


def records_of(generator: str, seeds: Sequence[int], processes: int) -> Iterator[Record]:
    """The records of worlds, in the order of their seeds."""
    if processes == 1:
        yield from map(partial(record, generator), seeds)
        return
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(partial(record, generator), seeds, chunksize=8)


def read_records(path: Path) -> list[Record]:
    """Those of an earlier run, from its JSON."""
    return [
        Record(
            **{
                **entry,
                "cells": tuple(entry["cells"]),
                "quantiles": tuple(tuple(row) for row in entry["quantiles"]),
                # JSON has no infinity: null is a ratio without nuisance.
                "log_ratios": tuple(math.inf if value is None else value for value in entry["log_ratios"]),
            }
        )
        for entry in json.loads(path.read_text(encoding="utf-8"))["records"]
    ]


def second_half(records: Sequence[Record]) -> Chosen:
    """Which records (N,) are judged with coefficients fitted on the rest, and the other way round."""
    return np.array([record.seed // len(REGIMES) % 2 == 1 for record in records], dtype=np.bool_)


def bands(records: Records) -> dict[str, Chosen]:
    """Which records (N,) a row of a table is about: by mode and crowding."""
    everything = np.ones(len(records.spiked), dtype=np.bool_)
    chosen = {"all": everything}
    for mode, of_mode in (("spiked", records.spiked), ("general", ~records.spiked)):
        chosen[mode] = of_mode
        for low, high in CROWDING_BANDS:
            name = f"{mode}, crowding {low:g}" + (f" to {high:g}" if math.isfinite(high) else " and more")
            chosen[name] = of_mode & (records.crowding >= low) & (records.crowding < high)
    return chosen


def reliability(records: Records, cells: Array, low: Array, high: Array) -> dict[str, float]:
    """Figures of probabilities (N, 8) of the cells and of log intervals (N, 3) held against the truth."""
    # REGIMES counts down from both to neither, cells count up.
    regimes = cells.reshape(-1, 4, 2).sum(axis=2)[:, ::-1]
    truth = 3 - records.true_cells // 2
    confidence, hit = regimes.max(axis=1), regimes.argmax(axis=1) == truth
    of_truth = regimes[np.arange(len(truth)), truth]
    sure = confidence >= SURE
    finite = np.isfinite(records.log_ratios)
    covered = (low <= records.log_ratios) & (records.log_ratios <= high)
    return {
        "worlds": float(len(truth)),
        "accuracy": float(hit.mean()),
        "promised": float(confidence.mean()),
        "brier": float(((regimes - np.eye(len(REGIMES))[truth]) ** 2).sum(axis=1).mean()),
        "log_loss": float(-np.log(np.maximum(of_truth, LEAST_PROBABILITY)).mean()),
        "ece": calibration_error(confidence.tolist(), hit.tolist()),
        "by_chance": calibration_error_by_chance(confidence.tolist()),
        "sure": float(sure.mean()),
        "sure_right": float(hit[sure].mean()) if sure.any() else math.nan,
        "covered_ca": _share(covered[:, 0], finite[:, 0]),
        "covered_cp": _share(covered[:, 1:], finite[:, 1:]),
        "log_width": float(np.median((np.minimum(high, LOG_LIMIT) - np.maximum(low, -LOG_LIMIT))[finite])),
    }


def tables(records: Sequence[Record]) -> tuple[dict[str, Coefficients], dict[str, dict[str, dict[str, float]]]]:
    """Coefficients by name, and tables: draws as they are, present coefficients, cross-validated ones."""
    data, second = as_arrays(records), second_half(records)
    fitted = {"fitted": fit(data), "first half": fit(data.only(~second)), "second half": fit(data.only(second))}
    judged = {
        "draws as they are": _judged(data, UNCALIBRATED, UNCALIBRATED, second),
        "present coefficients": _judged(data, PRESENT, PRESENT, second),
        "fitted on the other half": _judged(data, fitted["second half"], fitted["first half"], second),
    }
    found: dict[str, dict[str, dict[str, float]]] = {}
    for name, (cells, low, high) in judged.items():
        found[name] = {
            band: reliability(data.only(chosen), cells[chosen], low[chosen], high[chosen])
            for band, chosen in bands(data).items()
            if chosen.sum() >= FEW
        }
    return {"present": PRESENT, **fitted}, found


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw, fit, print the tables, write JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.calibration",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--worlds", type=int, default=800, help="wide worlds (default 800)")
    parser.add_argument("--crowded", type=int, default=200, help="crowded worlds (default 200)")
    parser.add_argument("--first-seed", type=int, default=0, help="of either generator (default 0)")
    parser.add_argument("--processes", type=int, default=1, choices=(1, 2))
    parser.add_argument("--again", type=Path, help="draw nothing: fit the worlds of an earlier run's JSON")
    parser.add_argument("--json", type=Path, default=results.DIRECTORY / "calibration.json", help="where to write")
    chosen = parser.parse_args(arguments)
    if chosen.again is None and chosen.worlds + chosen.crowded < 2 * len(REGIMES):
        parser.error(
            f"--worlds and --crowded must be at least {2 * len(REGIMES)} together, so that both halves have some"
        )

    records = read_records(chosen.again) if chosen.again else []
    if not records:
        for generator, count in zip(GENERATORS, (chosen.worlds, chosen.crowded), strict=True):
            seeds = range(chosen.first_seed, chosen.first_seed + count)
            for place, found in enumerate(records_of(generator, seeds, chosen.processes), 1):
                records.append(found)
                if place % TELL_EVERY == 0:
                    print(f"{place} of {count} {generator} worlds", flush=True)
    coefficients, reliabilities = tables(records)
    _print_coefficients(coefficients)
    for name, table in reliabilities.items():
        _print_table(name, table)
    written: dict[str, Any] = {
        "coefficients": {name: asdict(found) for name, found in coefficients.items()},
        "reliability": reliabilities,
        "records": [asdict(found) for found in records],
    }
    results.write(chosen.json, written)
    print(f"\nWritten to {chosen.json}")


def _judged(
    records: Records, of_first: Coefficients, of_second: Coefficients, second: Chosen
) -> tuple[Array, Array, Array]:
    """Probabilities and interval ends, the first half's by some coefficients and the second half's by others."""
    parts = [(probabilities(records, of), *intervals(records, of)) for of in (of_first, of_second)]
    cells, low, high = (np.where(second[:, None], b, a) for a, b in zip(*parts, strict=True))
    return cells, np.where(low > -LOG_LIMIT, low, -np.inf), np.where(high < LOG_LIMIT, high, np.inf)


def _share(covered: Chosen, counted: Chosen) -> float:
    return float(covered[counted].mean()) if counted.any() else math.nan


def _print_coefficients(coefficients: dict[str, Coefficients]) -> None:
    print(f"\n{'coefficient':24s}" + "".join(f"{name:>14s}" for name in coefficients))
    for name in asdict(PRESENT):
        print(f"{name:24s}" + "".join(f"{getattr(found, name):14.4f}" for found in coefficients.values()))


def _print_table(name: str, table: dict[str, dict[str, float]]) -> None:
    print(f"\n{name:34s}" + "".join(f"{figure:>12s}" for figure in table["all"]))
    for band, row in table.items():
        cells = (f"{value:12.0f}" if figure == "worlds" else f"{value:12.3f}" for figure, value in row.items())
        print(f"  {band:32s}" + "".join(cells))


if __name__ == "__main__":
    main()
