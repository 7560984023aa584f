"""From draws of the posterior to probabilities and intervals that keep what they promise.

Chains are short and their model is never quite true, so draws are too sure of themselves where coordinates are
many for the pairs, and more so where the spiked model does not hold.  A temperature T >= 1 corrects that: shares of
draws q become p proportional to (q + SMOOTHING)^(1/T), and quantiles move away from the median by a factor of
WIDENING T, and by MARGIN / sqrt(n).  With c the coordinates of both modalities per effective pair, at most 1,

    T = 1 + SPIKED_CROWDING c                                       the spiked model stands
    T = 1 + GENERAL + GENERAL_CROWDING c + GENERAL_ONE_TARGET [L = 1]   it does not               (eq. 6)

Coefficients are fitted by `python -m benchmarks.calibration` on populations wider than any benchmark's
(benchmarks/worlds.py); docs/calibrated.md shows how well they hold on others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from service.estimation.moments import Array

SMOOTHING = 0.001
SPIKED_CROWDING = 2.4
GENERAL, GENERAL_CROWDING, GENERAL_ONE_TARGET = 0.52, 2.5, 0.65
WIDENING, MARGIN = 1.2, 0.8
LOG_LIMIT = 5.0  # log ratios beyond it are unbounded: the data cannot tell them from infinity, or 0
LEAST_NEITHER = 0.5  # probability of recovery by neither objective where no signal is claimed
N_CELLS = 8  # (ca > 1, cp_x_to_y > 1, cp_y_to_x > 1), ca first, the last fastest


@dataclass(frozen=True)
class Circumstances:
    """What the temperature depends on."""

    spiked: bool
    crowding: float  # coordinates of both modalities per effective pair
    one_target: bool
    n_pairs: float  # effective


def temperature(given: Circumstances) -> float:
    """T of eq. 6."""
    crowding = min(given.crowding, 1.0)
    if given.spiked:
        return 1 + SPIKED_CROWDING * crowding
    return 1 + GENERAL + GENERAL_CROWDING * crowding + GENERAL_ONE_TARGET * given.one_target


def cell_shares(log_ratios: Array, signal_count: Array) -> Array:
    """Share of draws in each of the 8 cells (8,), from draws (n, 3) of the log ratios.

    A draw without signal, `signal_count` (n,) of 0, says that signal was not seen and not where it is: it counts for
    every cell alike.
    """
    seen = signal_count > 0
    cells = (log_ratios[seen] > 0) @ np.array([4, 2, 1])
    return np.asarray(np.bincount(cells, minlength=N_CELLS) / len(seen) + (1 - seen.mean()) / N_CELLS)


def cell_probabilities(log_ratios: Array, signal_count: Array, given: Circumstances) -> Array:
    """Calibrated probability of each of the 8 cells (2, 2, 2), from draws as `cell_shares` takes them."""
    return _tempered(cell_shares(log_ratios, signal_count), given).reshape(2, 2, 2)


def without_claim(probabilities: Array) -> Array:
    """Probabilities of the cells (2, 2, 2) where the tests find no signal: neither gets at least half, both ways.

    As little as that takes is moved to the cell in which nothing recovers the signal.  In simulations without a claim
    (benchmarks/worlds.py) neither objective recovers it in about half of the cases.
    """
    neither = min(probabilities[0, 0].sum(), probabilities[0, :, 0].sum())
    moved = max(0.0, (LEAST_NEITHER - neither) / (1 - neither)) if neither < 1 else 0.0
    found = (1 - moved) * probabilities
    found[0, 0, 0] += moved
    return np.asarray(found)


def direction_probability(cp_x_to_y: Array, cp_y_to_x: Array, given: Circumstances) -> float:
    """Calibrated probability that the first ratio is the larger, from draws (n,) of both logarithms."""
    larger = float((cp_x_to_y > cp_y_to_x).mean() + 0.5 * (cp_x_to_y == cp_y_to_x).mean())
    return float(_tempered(np.array([larger, 1 - larger]), given)[0])


def log_interval(log_ratios: Array, level: float, given: Circumstances) -> tuple[float, float, float]:
    """Low end, median and high end of draws (n,) of one log ratio; -inf or inf where unbounded."""
    draws = np.clip(log_ratios, -LOG_LIMIT, LOG_LIMIT)
    low, median, high = np.quantile(draws, [(1 - level) / 2, 0.5, (1 + level) / 2])
    widening, margin = WIDENING * temperature(given), MARGIN / np.sqrt(given.n_pairs)
    low, high = median - widening * (median - low) - margin, median + widening * (high - median) + margin
    return (
        float(low) if low > -LOG_LIMIT else -np.inf,
        float(median),
        float(high) if high < LOG_LIMIT else np.inf,
    )


def _tempered(shares: Array, given: Circumstances) -> Array:
    tempered = (shares + SMOOTHING) ** (1 / temperature(given))
    return np.asarray(tempered / tempered.sum())
