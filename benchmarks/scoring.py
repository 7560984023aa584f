"""How good an estimator's answers are on problems whose truth is known."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np

from benchmarks.problems import REGIMES, LabelKind, Problem, Size, draw_problem
from service.estimation.moments import Array, Indices
from service.estimation.terms import Regime

RATIO_RANGE = (0.02, 50.0)  # ratios are clipped to it before their logarithms are compared
SURE = 0.8  # probability from which an answer counts as sure


class Answer(TypedDict):
    """Ratios by objective (ca, cp_x_to_y, cp_y_to_x) and a probability for every regime."""

    ratios: dict[str, float]
    probabilities: dict[str, float]


Estimator = Callable[[Array, Array, Array, Indices, int], Answer]
"""Called with x (n, dx), y (n, dy), labels (m, L) of the pairs rows (m,), and a seed."""


@dataclass(frozen=True)
class Outcome:
    """One answer held against the truth."""

    regime: Regime
    answered: Regime
    label_kind: LabelKind
    near_boundary: bool
    brier: float
    confidence: float
    ratio_errors: tuple[float, ...]
    right_way: bool
    seconds: float

    @property
    def hit(self) -> bool:
        """Whether the most probable regime is the true one."""
        return self.answered is self.regime


def score(estimator: Estimator, size: Size, seeds: Sequence[int]) -> dict[str, float]:
    """Ask `estimator` about every problem in `seeds`; the figures of `summarise`."""
    return summarise([ask(estimator, draw_problem(seed, size)) for seed in seeds])


def ask(estimator: Estimator, problem: Problem) -> Outcome:
    """One answer, timed and compared.  Raises ValueError if the probabilities are no distribution."""
    started = time.perf_counter()
    answer = estimator(problem.x, problem.y, problem.labels, problem.rows, 0)
    seconds = time.perf_counter() - started
    p = np.array([answer["probabilities"][regime] for regime in REGIMES])
    if not math.isclose(p.sum(), 1, abs_tol=1e-6) or p.min() < 0:
        raise ValueError(f"The probabilities {p} are no distribution.")
    truth = problem.ratios
    true_ratios = {"ca": truth.ca, "cp_x_to_y": truth.cp_x_to_y, "cp_y_to_x": truth.cp_y_to_x}
    is_true = np.array([regime is truth.regime for regime in REGIMES], dtype=float)
    way = np.sign(answer["ratios"]["cp_x_to_y"] - answer["ratios"]["cp_y_to_x"])
    return Outcome(
        regime=truth.regime,
        answered=REGIMES[int(p.argmax())],
        label_kind=problem.label_kind,
        near_boundary=truth.near_boundary,
        brier=float(((p - is_true) ** 2).sum()),
        confidence=float(p.max()),
        ratio_errors=tuple(_log_error(answer["ratios"][name], value) for name, value in true_ratios.items()),
        right_way=bool(way == np.sign(truth.cp_x_to_y - truth.cp_y_to_x)),
        seconds=seconds,
    )


def summarise(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """The figures of a table row; NaN where no problem belongs to a share."""
    sure = [outcome for outcome in outcomes if outcome.confidence >= SURE]
    return {
        "regime_accuracy": _mean(o.hit for o in outcomes),
        "regime_accuracy_off_boundary": _mean(o.hit for o in outcomes if not o.near_boundary),
        **{f"regime_accuracy_{r.value}": _mean(o.hit for o in outcomes if o.regime is r) for r in REGIMES},
        **{f"regime_accuracy_{k.value}": _mean(o.hit for o in outcomes if o.label_kind is k) for k in LabelKind},
        "brier": _mean(o.brier for o in outcomes),
        "sure_fraction": len(sure) / len(outcomes),
        "sure_accuracy": _mean(o.hit for o in sure),
        "ratio_log_error_median": float(np.median([error for o in outcomes for error in o.ratio_errors])),
        "direction_accuracy": _mean(o.right_way for o in outcomes),
        "seconds_per_problem": _mean(o.seconds for o in outcomes),
    }


def _log_error(answered: float, true: float) -> float:
    low, high = RATIO_RANGE
    return abs(math.log(min(max(answered, low), high) / min(max(true, low), high)))


def _mean(values: Iterable[float]) -> float:
    listed = list(values)
    return sum(listed) / len(listed) if listed else math.nan
