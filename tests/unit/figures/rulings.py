"""Decisions made by hand, with words of strangers in them."""

from service.estimation.report import Recommendation
from service.estimation.separation_records import Regimes
from service.estimation.terms import Direction, Objective, Regime
from service.figures.ruling import Ruling
from service.gating.decision import Decided, Decision, Outcome, RuleResult
from service.gating.policy import OnUndetermined, Plan, Planned, Severity
from service.gating.presets import PRESETS

HOSTILE = "<b>&amp;|`*[x](http://h)\x1b[2J\x00\u202e]]>@team\ud800\uffff #1"
"""A label's name that means something to a terminal, to XML, to HTML and to Markdown."""


def rule(
    outcome: Outcome, name: str = "recovery_probability", observed: str | float | None = 0.79996, message="Words."
):
    severity = Severity.WARN if outcome is Outcome.WARN else Severity.FAIL
    return RuleResult(name, severity, observed, ">= 0.8", outcome, message)


def ruling(
    decided: Decided = Decided.PASS,
    *rules: RuleResult,
    on_undetermined: OnUndetermined = OnUndetermined.ABSTAIN,
    summary: str = "In a sentence.",
    reason: str = "For a reason.",
    policy: str = "alignment",
    description: str = "",
    analysis_id: str | None = "an-" + "0" * 32,
) -> Ruling:
    preset = PRESETS["alignment"]
    asked = type(preset)("1.0", preset.planned, preset.require, on_undetermined, description)
    decision = Decision(
        decided,
        Plan(Planned.PREDICTION, Direction.X_TO_Y, 16),
        rules or (rule(Outcome.PASS),),
        summary,
        Recommendation(Objective.EITHER, Direction.Y_TO_X, None, (reason,)),
        asked,
    )
    at = None if analysis_id is None else f"http://127.0.0.1:8000/v1/analyses/{analysis_id}/report"
    return Ruling(decision, policy, Regimes(Regime.BOTH, Regime.CA_ONLY), analysis_id, 2, at)
