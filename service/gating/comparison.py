"""Two reports beside each other: what changed, and what of it is more than the data leave open.

Attribute docstrings are the fields' documentation, in code and on the wire.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from service.estimation.record import Record, as_dict
from service.estimation.report import Recommendation, Report
from service.estimation.separation_records import Interval, RegimeShares, Separation, Separations
from service.estimation.terms import Direction, RatioStatus, Regime, Verdict
from service.estimation.verdicts import SURE, SURELY_NOT, probability_of
from service.gating.candidates import NAMES

Value = str | int | float | bool | None


@dataclass(frozen=True)
class Change(Record):
    """Something that is not the same in both."""

    name: str
    """What it is."""
    a: Value
    """In the first report; null where it says nothing."""
    b: Value
    """In the second report."""


@dataclass(frozen=True)
class RegimeComparison(Record):
    """The regime of one direction in both reports."""

    direction: Direction
    """The direction."""
    a: Regime
    """In the first report: the most probable one."""
    b: Regime
    """In the second report."""
    probability_a: float | None
    """Its probability in the first report; null with method reference."""
    probability_b: float | None
    """Its probability in the second report."""
    differs: bool | None
    """Whether they are two regimes, each of a probability of 0.8 or more. Null where they are two, and one of the
    reports knows no probabilities."""


@dataclass(frozen=True)
class RatioSeen(Record):
    """A separation ratio as one of the reports has it."""

    ratio: float | None
    """The ratio; null unless `status` is ok."""
    status: RatioStatus
    """ok, no_signal or no_nuisance."""
    interval: Interval | None
    """Its interval; null without nuisance, and with method reference."""
    verdict: Verdict
    """Whether the objective recovers the signal."""
    recovery_probability: float | None
    """Probability that it does; null with method reference."""


@dataclass(frozen=True)
class RatioComparison(Record):
    """The separation ratio of one objective in both reports."""

    objective: str
    """ca, cp_x_to_y or cp_y_to_x."""
    a: RatioSeen
    """In the first report."""
    b: RatioSeen
    """In the second report."""
    differs: bool | None
    """Whether the intervals have no value in common, or one report is sure of recovery and the other of its opposite.
    Null where the ratios are not the same and one of them has no interval, so that nothing can be said."""
    reason: str
    """The same in a sentence."""


@dataclass(frozen=True)
class Comparison(Record):
    """What two reports have in common, and what not."""

    differs: bool | None
    """Whether any regime or ratio differs; null where none does, and of one it cannot be said."""
    summary: str
    """The same in a sentence."""
    regimes: tuple[RegimeComparison, ...]
    """The regime of each direction."""
    ratios: tuple[RatioComparison, ...]
    """The separation ratio of each objective."""
    recommendation_a: Recommendation
    """What the first report recommends."""
    recommendation_b: Recommendation
    """What the second report recommends."""
    recommendation_changed: bool
    """Whether they recommend to train something else; reasons apart."""
    warnings_gone: tuple[str, ...]
    """Codes of warnings that the first report alone has."""
    warnings_new: tuple[str, ...]
    """Codes of warnings that the second report alone has."""
    inputs_changed: tuple[str, ...]
    """Parts of the input whose digests differ; empty where both reports are of the same data and labels."""
    options: tuple[Change, ...]
    """Options that differ; `scaling.x` is the scaling of x."""
    versions: tuple[Change, ...]
    """Versions of software that differ."""


def compare(a: Report, b: Report) -> Comparison:
    """Hold two reports against each other, without a claim that their intervals do not carry.

    A ratio differs when its two intervals are disjoint, or when a sure verdict (probability of recovery of at least
    0.8, at most 0.2) has become the opposite one; a regime when both are conclusive and not the same.

    Returns: the comparison; the same two reports have the same one.
    """
    regimes = tuple(_regime(a, b, direction) for direction in Direction)
    ratios = tuple(_ratio(a, b, field.name) for field in fields(Separations))
    differs = _any([*(found.differs for found in regimes), *(found.differs for found in ratios)])
    codes_a, codes_b = (dict.fromkeys(warning.code for warning in report.warnings) for report in (a, b))
    inputs = _changes(as_dict(a.provenance.digests), as_dict(b.provenance.digests))
    return Comparison(
        differs=differs,
        summary=_summary(differs, regimes, ratios),
        regimes=regimes,
        ratios=ratios,
        recommendation_a=a.recommendation,
        recommendation_b=b.recommendation,
        recommendation_changed=_trained(a.recommendation) != _trained(b.recommendation),
        warnings_gone=tuple(code for code in codes_a if code not in codes_b),
        warnings_new=tuple(code for code in codes_b if code not in codes_a),
        inputs_changed=tuple(change.name for change in inputs),
        options=_changes(as_dict(a.provenance.options), as_dict(b.provenance.options)),
        versions=_changes(as_dict(a.provenance.versions), as_dict(b.provenance.versions)),
    )


def _regime(a: Report, b: Report, direction: Direction) -> RegimeComparison:
    regime_a, regime_b = getattr(a.regimes, direction), getattr(b.regimes, direction)
    probability_a, probability_b = (_probability(report, direction) for report in (a, b))
    differs: bool | None = False
    if regime_a != regime_b:
        known = probability_a is not None and probability_b is not None
        differs = min(probability_a or 0.0, probability_b or 0.0) >= SURE if known else None
    return RegimeComparison(direction, regime_a, regime_b, probability_a, probability_b, differs)


def _probability(report: Report, direction: Direction) -> float | None:
    if report.regime_probabilities is None:
        return None
    shares: RegimeShares = getattr(report.regime_probabilities, direction)
    return probability_of(shares, getattr(report.regimes, direction))


def _ratio(a: Report, b: Report, objective: str) -> RatioComparison:
    seen_a, seen_b = _seen(a, objective), _seen(b, objective)
    return RatioComparison(objective, seen_a, seen_b, *_judged(seen_a, seen_b))


def _seen(report: Report, objective: str) -> RatioSeen:
    found: Separation = getattr(report.separation, objective)
    recovery = report.recovery_probability
    probability = None if recovery is None else getattr(recovery, objective)
    return RatioSeen(found.ratio, found.status, found.interval, found.verdict, probability)


def _judged(a: RatioSeen, b: RatioSeen) -> tuple[bool | None, str]:
    if _turned(a, b) or _turned(b, a):
        was, is_now = ("recovered", "does not recover") if _turned(a, b) else ("did not recover", "recovers")
        return True, f"The objective surely {was} the signal in the first report, and surely {is_now} it in the second."
    if (a.status, a.ratio) == (b.status, b.ratio):
        return False, "The ratio is the same."
    if a.interval is None or b.interval is None:
        return None, _without_interval(a, b)
    if _above(a.interval, b.interval) or _above(b.interval, a.interval):
        way = "below" if _above(a.interval, b.interval) else "above"
        return True, f"The second interval lies {way} the first: they have no value in common."
    return False, "The intervals overlap."


def _turned(a: RatioSeen, b: RatioSeen) -> bool:
    """Whether the objective surely recovers the signal in `a`, and surely does not in `b`."""
    if a.recovery_probability is None or b.recovery_probability is None:
        return False
    return a.recovery_probability >= SURE and b.recovery_probability <= SURELY_NOT


def _above(a: Interval, b: Interval) -> bool:
    return a.low > (math.inf if b.high is None else b.high)


def _without_interval(a: RatioSeen, b: RatioSeen) -> str:
    if RatioStatus.NO_NUISANCE in (a.status, b.status) and a.status != b.status:
        which = "first" if a.status is RatioStatus.NO_NUISANCE else "second"
        return f"The {which} report finds no nuisance, so that its ratio has no interval: it cannot be said."
    return "A ratio without an interval may differ by chance: it cannot be said. Method calibrated gives intervals."


def _summary(differs: bool | None, regimes: tuple[RegimeComparison, ...], ratios: tuple[RatioComparison, ...]) -> str:
    if differs is None:
        return "Nothing is known to differ, and of what has no interval it cannot be said."
    if not differs:
        return "Nothing differs beyond the intervals."
    named = [f"the regime {found.direction}" for found in regimes if found.differs]
    named += [f"the ratio of {NAMES[found.objective]}" for found in ratios if found.differs]
    return f"More than the intervals allow: {', '.join(named)}."


def _any(found: list[bool | None]) -> bool | None:
    if any(found):
        return True
    return None if None in found else False


def _trained(recommendation: Recommendation) -> tuple[Value, ...]:
    return recommendation.objective, recommendation.direction, recommendation.modality


def _changes(a: Mapping[str, Any], b: Mapping[str, Any]) -> tuple[Change, ...]:
    flat_a, flat_b = dict(_flat(a)), dict(_flat(b))
    names = dict.fromkeys([*flat_a, *flat_b])
    return tuple(
        Change(name, flat_a.get(name), flat_b.get(name)) for name in names if flat_a.get(name) != flat_b.get(name)
    )


def _flat(values: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Value]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value
