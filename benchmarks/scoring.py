"""How good an estimator's answers are on problems whose truth is known."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NotRequired, TypedDict

import numpy as np

from benchmarks.problems import REGIMES, LabelKind, Problem, Size, TrueRatios, draw_problem
from service.estimation.moments import Array, Indices
from service.estimation.terms import Regime

OBJECTIVES = ("ca", "cp_x_to_y", "cp_y_to_x")
RATIO_RANGE = (0.02, 50.0)  # ratios are clipped to it before their logarithms are compared
SURE = 0.8  # probability from which an answer counts as sure
BINS = 10  # of confidence, equally wide, in the expected calibration error
CHANCE_DRAWS = 200  # of hits, from which the expected calibration error of honest answers is known
INTERVAL_LEVEL = 0.9  # of the intervals that an answer may carry


class Answer(TypedDict):
    """Ratios by objective, a probability for every regime; maybe intervals of the ratios at INTERVAL_LEVEL.

    A ratio is 0 without signal and infinite without nuisance.
    """

    ratios: dict[str, float]
    probabilities: dict[str, float]
    intervals: NotRequired[dict[str, tuple[float, float]]]


Estimator = Callable[[Array, Array, Array, Indices, int], Answer]
"""Called with x (n, dx), y (n, dy), labels (m, L) of the pairs rows (m,), and a seed."""


@dataclass(frozen=True)
class Outcome:
    """One answer held against the truth."""

    regime: Regime
    answered: Regime
    label_kind: str
    near_boundary: bool
    brier: float
    confidence: float
    ratio_errors: tuple[float, ...]
    covered: Mapping[str, bool]  # by objective, of finite true ratios that the answer has an interval for
    log_widths: tuple[float, ...]  # of these intervals, high end over low end
    right_way: bool
    seconds: float

    @property
    def hit(self) -> bool:
        """Whether the most probable regime is the true one."""
        return self.answered is self.regime


def score(estimator: Estimator, size: Size, seeds: Sequence[int]) -> dict[str, float]:
    """Ask `estimator` about every problem in `seeds`; the figures of `summarise`."""
    return summarise(ask_all(estimator, size, seeds))


def ask_all(estimator: Estimator, size: Size, seeds: Sequence[int]) -> list[Outcome]:
    """Ask `estimator` about every problem in `seeds`."""
    return [ask(estimator, draw_problem(seed, size)) for seed in seeds]


def ask(estimator: Estimator, problem: Problem) -> Outcome:
    """One answer, timed and compared.  Raises ValueError if the probabilities are no distribution."""
    started = time.perf_counter()
    answer = estimator(problem.x, problem.y, problem.labels, problem.rows, 0)
    return compare(answer, problem.ratios, problem.label_kind, time.perf_counter() - started)


def compare(answer: Answer, truth: TrueRatios, label_kind: str, seconds: float) -> Outcome:
    """Hold an answer, given within `seconds`, against the truth.

    Raises ValueError if the probabilities are no distribution.
    """
    p = np.array([answer["probabilities"][regime] for regime in REGIMES])
    if not math.isclose(p.sum(), 1, abs_tol=1e-6) or p.min() < 0:
        raise ValueError(f"The probabilities {p} are no distribution.")
    is_true = np.array([regime is truth.regime for regime in REGIMES], dtype=float)
    ratios, true_ratios = answer["ratios"], by_objective(truth)
    held = {
        name: interval for name, interval in answer.get("intervals", {}).items() if 0 < true_ratios[name] < math.inf
    }
    return Outcome(
        regime=truth.regime,
        answered=REGIMES[int(p.argmax())],
        label_kind=label_kind,
        near_boundary=truth.near_boundary,
        brier=float(((p - is_true) ** 2).sum()),
        confidence=float(p.max()),
        ratio_errors=tuple(_log_error(ratios[name], value) for name, value in true_ratios.items()),
        covered={name: low <= true_ratios[name] <= high for name, (low, high) in held.items()},
        log_widths=tuple(_log_width(low, high) for low, high in held.values()),
        right_way=_way(ratios["cp_x_to_y"], ratios["cp_y_to_x"]) == _way(truth.cp_x_to_y, truth.cp_y_to_x),
        seconds=seconds,
    )


def by_objective(truth: TrueRatios) -> dict[str, float]:
    """True ratios under the names that answers use."""
    return {name: getattr(truth, name) for name in OBJECTIVES}


def summarise(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """The figures of a table row; NaN where no problem belongs to a share."""
    sure = [outcome for outcome in outcomes if outcome.confidence >= SURE]
    confidences = [o.confidence for o in outcomes]
    return {
        "regime_accuracy": _mean(o.hit for o in outcomes),
        "regime_accuracy_off_boundary": _mean(o.hit for o in outcomes if not o.near_boundary),
        **{f"regime_accuracy_{r.value}": _mean(o.hit for o in outcomes if o.regime is r) for r in REGIMES},
        **{f"regime_accuracy_{k.value}": _mean(o.hit for o in outcomes if o.label_kind == k) for k in LabelKind},
        "mean_confidence": _mean(confidences),
        "brier": _mean(o.brier for o in outcomes),
        "expected_calibration_error": calibration_error(confidences, [o.hit for o in outcomes]),
        "calibration_error_by_chance": calibration_error_by_chance(confidences),
        "sure_fraction": len(sure) / len(outcomes),
        "sure_accuracy": _mean(o.hit for o in sure),
        "ratio_log_error_median": _median(error for o in outcomes for error in o.ratio_errors),
        "interval_coverage": _mean(covered for o in outcomes for covered in o.covered.values()),
        **{f"interval_coverage_{n}": _mean(o.covered[n] for o in outcomes if n in o.covered) for n in OBJECTIVES},
        "interval_log_width_median": _median(width for o in outcomes for width in o.log_widths),
        "direction_accuracy": _mean(o.right_way for o in outcomes),
        "seconds_per_problem": _mean(o.seconds for o in outcomes),
    }


def calibration_error(confidences: Sequence[float], hits: Sequence[bool]) -> float:
    """Expected calibration error: |share of hits - mean confidence| in BINS bins of confidence, weighted by answers.

    Bin b holds confidences in (b / BINS, (b + 1) / BINS].  Source: Naeini, Cooper, Hauskrecht 2015.
    """
    confidence, hit = np.asarray(confidences, dtype=float), np.asarray(hits, dtype=float)
    # The least confidence of a distribution is positive, so that no bin is missing below.
    bins = np.ceil(confidence * BINS - 1e-9).astype(int)
    excess = np.bincount(bins, hit - confidence)
    return float(np.abs(excess).sum() / len(confidence))


def calibration_error_by_chance(confidences: Sequence[float], seed: int = 0) -> float:
    """Mean calibration error of answers that are as often right as their confidences (n,) say: that of honest ones.

    It shrinks as 1 / sqrt(n); an error below it is no evidence of miscalibration.
    """
    draws = np.random.default_rng(seed).random((CHANCE_DRAWS, len(confidences)))
    hits = draws < np.asarray(confidences)
    return _mean(calibration_error(confidences, drawn.tolist()) for drawn in hits)


def _log_error(answered: float, true: float) -> float:
    low, high = RATIO_RANGE
    return abs(math.log(min(max(answered, low), high) / min(max(true, low), high)))


def _log_width(low: float, high: float) -> float:
    return math.log(high / low) if low > 0 and high < math.inf else math.inf


def _way(forward: float, reverse: float) -> int:
    """The sign of the difference, 0 for two infinities."""
    return (forward > reverse) - (forward < reverse)


def _mean(values: Iterable[float]) -> float:
    listed = list(values)
    return sum(listed) / len(listed) if listed else math.nan


def _median(values: Iterable[float]) -> float:
    listed = list(values)
    return float(np.median(listed)) if listed else math.nan
