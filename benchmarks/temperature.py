"""The coefficients of the calibration (service/estimation/calibration.py, eq. 6) fitted to worlds with known truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from benchmarks.scoring import INTERVAL_LEVEL
from service.estimation import calibration
from service.estimation.calibration import LOG_LIMIT
from service.estimation.moments import Array

PRIOR_SCALE = 3.0  # standard deviation of the half-normal prior of every coefficient of the temperature
PRIOR_LOG_SMOOTHING = (np.log(0.001), 2.0)  # mean and standard deviation of the normal prior
SMOOTHING_RANGE = (1e-5, 0.1)
LARGEST_COEFFICIENT, LARGEST_WIDENING, LARGEST_MARGIN = 20.0, 5.0, 10.0


@dataclass(frozen=True)
class Coefficients:
    """Those of the calibration, by their names there."""

    smoothing: float
    spiked_crowding: float
    general: float
    general_crowding: float
    general_one_target: float
    widening: float
    margin: float


PRESENT = Coefficients(
    calibration.SMOOTHING,
    calibration.SPIKED_CROWDING,
    calibration.GENERAL,
    calibration.GENERAL_CROWDING,
    calibration.GENERAL_ONE_TARGET,
    calibration.WIDENING,
    calibration.MARGIN,
)
UNCALIBRATED = Coefficients(0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0)  # the draws as they are


@dataclass(frozen=True)
class Record:
    """What is kept of one world: what the calibration depends on, what the draws say, and the truth."""

    generator: str
    seed: int
    spiked: bool
    crowding: float
    one_target: bool
    n_pairs: float  # effective
    cells: tuple[float, ...]  # (8,), shares of draws
    quantiles: tuple[tuple[float, ...], ...]  # (3, 3), of each log ratio: low end, median, high end at INTERVAL_LEVEL
    log_ratios: tuple[float, ...]  # (3,), true ones, inf without nuisance


@dataclass(frozen=True)
class Records:
    """N records, as arrays."""

    spiked: NDArray[np.bool_]
    crowding: Array
    one_target: NDArray[np.bool_]
    n_pairs: Array
    cells: Array  # (N, 8)
    quantiles: Array  # (N, 3, 3)
    log_ratios: Array  # (N, 3)

    @property
    def true_cells(self) -> NDArray[np.int64]:
        """The true one of the 8 cells (N,)."""
        return np.asarray((self.log_ratios > 0) @ np.array([4, 2, 1]))

    def only(self, chosen: NDArray[np.bool_]) -> Records:
        """Those for which `chosen` (N,) is true."""
        return Records(*(values[chosen] for values in vars(self).values()))


def as_arrays(records: Sequence[Record]) -> Records:
    """Stack records."""
    return Records(
        spiked=np.array([record.spiked for record in records], dtype=np.bool_),
        crowding=np.array([record.crowding for record in records]),
        one_target=np.array([record.one_target for record in records], dtype=np.bool_),
        n_pairs=np.array([record.n_pairs for record in records]),
        cells=np.array([record.cells for record in records]),
        quantiles=np.array([record.quantiles for record in records]),
        log_ratios=np.array([record.log_ratios for record in records]),
    )


def temperatures(records: Records, of: Coefficients) -> Array:
    """T (N,) of eq. 6."""
    crowding = np.minimum(records.crowding, 1.0)
    general = of.general + of.general_crowding * crowding + of.general_one_target * records.one_target
    return np.asarray(1 + np.where(records.spiked, of.spiked_crowding * crowding, general))


def probabilities(records: Records, of: Coefficients) -> Array:
    """Of the 8 cells (N, 8)."""
    tempered = (records.cells + of.smoothing) ** (1 / temperatures(records, of)[:, None])
    return np.asarray(tempered / tempered.sum(axis=1, keepdims=True))


def intervals(records: Records, of: Coefficients) -> tuple[Array, Array]:
    """Low and high ends (N, 3) of the log ratios; those beyond LOG_LIMIT are unbounded."""
    low, median, high = np.moveaxis(records.quantiles, 2, 0)
    widening = of.widening * temperatures(records, of)[:, None]
    margin = of.margin / np.sqrt(records.n_pairs)[:, None]
    return median - widening * (median - low) - margin, median + widening * (high - median) + margin


def fit(records: Records) -> Coefficients:
    """Smoothing and temperature by penalised likelihood of the true cells; then widening and margin by interval scores.

    The penalty is weak, minus the log prior (PRIOR_SCALE, PRIOR_LOG_SMOOTHING): it decides where worlds say nothing.
    """
    found = _fitted_temperature(records)
    return _fitted_widths(records, found)


def _fitted_temperature(records: Records) -> Coefficients:
    truth = records.true_cells
    mean, deviation = PRIOR_LOG_SMOOTHING

    def unpacked(free: Array) -> Coefficients:
        crowding, general, general_crowding, one_target = free[1:].tolist()
        return replace(
            PRESENT,
            smoothing=float(np.exp(free[0])),
            spiked_crowding=crowding,
            general=general,
            general_crowding=general_crowding,
            general_one_target=one_target,
        )

    def penalised(free: Array) -> float:
        p = probabilities(records, unpacked(free))[np.arange(len(truth)), truth]
        penalty = ((free[1:] / PRIOR_SCALE) ** 2).sum() + ((free[0] - mean) / deviation) ** 2
        return float(0.5 * penalty - np.log(p).sum())

    bounds = [tuple(np.log(SMOOTHING_RANGE)), *[(0.0, LARGEST_COEFFICIENT)] * 4]
    starts = [
        np.array([np.log(PRESENT.smoothing), *astuple(PRESENT)[1:5]]),
        np.array([np.log(0.01), 0.3, 0.3, 0.3, 0.3]),
    ]
    found = [minimize(penalised, start, method="L-BFGS-B", bounds=bounds) for start in starts]
    return unpacked(min(found, key=lambda result: float(result.fun)).x)


def _fitted_widths(records: Records, found: Coefficients) -> Coefficients:
    """Least mean interval score, width + 2 / (1 - level) times what the truth lies outside (Gneiting, Raftery 2007).

    Scores count relative to the width of the draws, so that no kind of world outweighs the rest.  Draws that say by
    their median that there is no signal, or no nuisance, have no width to widen, and are left out.
    """
    low, median, high = np.moveaxis(records.quantiles, 2, 0)
    truth = np.clip(records.log_ratios, -LOG_LIMIT, LOG_LIMIT)
    counted = np.isfinite(records.log_ratios) & (np.abs(median) < LOG_LIMIT)
    unit = high - low + 1 / np.sqrt(records.n_pairs)[:, None]

    def unpacked(free: Array) -> Coefficients:
        widening, margin = free.tolist()
        return replace(found, widening=widening, margin=margin)

    def mean_score(free: Array) -> float:
        a, b = intervals(records, unpacked(free))
        outside = np.maximum(a - truth, 0) + np.maximum(truth - b, 0)
        return float(((b - a + 2 / (1 - INTERVAL_LEVEL) * outside) / unit)[counted].mean())

    bounds = [(0.0, LARGEST_WIDENING), (0.0, LARGEST_MARGIN)]
    start = np.array([PRESENT.widening, PRESENT.margin])
    return unpacked(minimize(mean_score, start, method="Nelder-Mead", bounds=bounds).x)
