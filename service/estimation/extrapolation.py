"""How much more data would settle an objective: the posterior with the same moments, seen more often.

The estimate is taken as the truth and the data as worth 2, 4, 8 or 16 times as much; the least factor whose
probability leaves the undecided range settles the objective.  Factors are searched by halving, on the assumption that
more data do not unsettle it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

from service.estimation.calibrated import CalibratedEstimate, sample
from service.estimation.material import Material, in_units
from service.estimation.moments import Array
from service.estimation.separation_records import RecoveryProbability, WouldSettle
from service.estimation.terms import Verdict
from service.estimation.verdicts import recovery_probability, verdict

EFFORT = 0.5  # length of an extrapolated chain beside that of the estimate; of their number it is the square
FACTORS = (2, 4, 8, 16)
OBJECTIVES = ("ca", "cp_x_to_y", "cp_y_to_x")


def what_would_settle(
    material: Material,
    found: CalibratedEstimate,
    *,
    n_pairs: int,
    n_labeled: int,
    seed: int = 0,
) -> dict[str, WouldSettle | None]:
    """By objective what would decide it; None for one that is decided.

    Arguments: material, in the units it came in; found, its estimate; n_pairs, n_labeled, what there is of each.
    """
    recovery = recovery_probability(found.probabilities)
    open_ones = [name for name in OBJECTIVES if verdict(getattr(recovery, name)) is Verdict.UNDETERMINED]
    if not open_ones:
        return dict.fromkeys(OBJECTIVES)
    if not found.claimed:  # what is open is whether there is a signal, which moments seen more often cannot say
        return {name: WouldSettle(None, None) if name in open_ones else None for name in OBJECTIVES}
    scaled, _ = in_units(material)

    @cache
    def with_labels(factor: int) -> RecoveryProbability:
        return _recovery(scaled, found, seed, 1.0, factor)

    @cache
    def with_pairs(factor: int) -> RecoveryProbability:
        return _recovery(scaled, found, seed, factor, 1.0)

    return {
        name: WouldSettle(
            more_labels=_more(n_labeled, least_factor(with_labels, name)),
            more_pairs=_more(n_pairs, least_factor(with_pairs, name)),
        )
        if name in open_ones
        else None
        for name in OBJECTIVES
    }


def least_factor(extrapolated: Callable[[int], RecoveryProbability], name: str) -> int | None:
    """The least of FACTORS at which the objective `name` is decided; None if it is not even at the largest."""

    def decided(factor: int) -> bool:
        return verdict(getattr(extrapolated(factor), name)) is not Verdict.UNDETERMINED

    low, high = 0, len(FACTORS) - 1
    if not decided(FACTORS[high]):
        return None
    while low < high:
        middle = (low + high) // 2
        if decided(FACTORS[middle]):
            high = middle
        else:
            low = middle + 1
    return FACTORS[high]


def _recovery(
    material: Material, found: CalibratedEstimate, seed: int, more_pairs: float, more_labels: float
) -> RecoveryProbability:
    again = sample(
        material,
        seed=seed,
        more_pairs=more_pairs,
        more_labels=more_labels,
        spiked=found.circumstances.spiked,
        effort=EFFORT,
    )
    cells: Array = again.probabilities
    return recovery_probability(cells)


def _more(count: int, factor: int | None) -> int | None:
    return None if factor is None else math.ceil((factor - 1) * count)
