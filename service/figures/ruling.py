"""A decision with what it is of, as terminals, CI servers and merge requests are shown it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from service.estimation.report import Recommendation
from service.estimation.separation_records import Regimes
from service.estimation.terms import Direction, Objective
from service.gating.decision import Decided, Decision, Outcome, RuleResult
from service.gating.finding import shown
from service.gating.policy import Plan, Planned

ARROWS = {Direction.X_TO_Y: "x → y", Direction.Y_TO_X: "y → x"}
ANSWERS = {
    Decided.PASS: "the run may start",
    Decided.FAIL: "the run may not start",
    Decided.ABSTAIN: "the data leave it open",
}


_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?")


@dataclass(frozen=True)
class Ruling:
    """A decision and its circumstances."""

    decision: Decision
    policy: str
    """The policy's name, or the name of its file."""
    regimes: Regimes
    """The regimes that the report found."""
    analysis_id: str | None = None
    """The analysis that was judged; None where it was computed in process and is kept nowhere."""
    policy_version: int | None = None
    """The version of a policy that has a name; None for a file."""
    report_at: str | None = None
    """Where its report is; None in process."""
    notes: tuple[str, ...] = ()
    """What was left out of the files, and what became of ids, in sentences."""


def headline(ruling: Ruling) -> str:
    """The decision in a few words."""
    return f"{ruling.decision.decision}: {ANSWERS[ruling.decision.decision]}"


def policy_of(ruling: Ruling) -> str:
    """The policy with its version."""
    return ruling.policy if ruling.policy_version is None else f"{ruling.policy}@{ruling.policy_version}"


def planned(plan: Plan) -> str:
    """The run that was ruling, in words."""
    way = "" if plan.direction is None else f" {ARROWS[plan.direction]}"
    size = "" if plan.embedding_dim is None else f", embedding of {plan.embedding_dim}"
    what = "any cross-modal objective" if plan.objective is Planned.ANY else str(plan.objective)
    return f"{what}{way}{size}"


def recommended(recommendation: Recommendation) -> str:
    """What the report recommends, in words."""
    way = ARROWS[recommendation.direction] if recommendation.direction else ""
    match recommendation.objective:
        case Objective.EITHER:
            return f"either: alignment, or prediction {way}"
        case Objective.PREDICTION:
            return f"prediction {way}"
        case Objective.ALIGNMENT:
            return "alignment"
        case Objective.UNIMODAL:
            return f"unimodal: train on {recommendation.modality} alone"
    return "undetermined"


def found_regimes(regimes: Regimes) -> str:
    """The regime of each direction."""
    return f"{regimes.x_to_y} ({ARROWS[Direction.X_TO_Y]}), {regimes.y_to_x} ({ARROWS[Direction.Y_TO_X]})"


def observed(rule: RuleResult) -> str:
    """What a rule saw: a dash for nothing, a number with as many digits as tell it from those that are required."""
    match rule.observed:
        case None:
            return "–"
        case str(text):
            return text
    bounds = [float(found) for found in _NUMBER.findall(str(rule.required))]
    return shown(rule.observed, *bounds)


def required(rule: RuleResult) -> str:
    """What a rule asks for."""
    return rule.required if isinstance(rule.required, str) else f"{rule.required:g}"


def unmet(ruling: Ruling) -> tuple[RuleResult, ...]:
    """The rules that did not pass."""
    return tuple(rule for rule in ruling.decision.rules if rule.outcome is not Outcome.PASS)
