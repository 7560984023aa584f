"""May this run start?  A report is held against a policy: a pure function, without clock or chance.

The plan leaves one to three ways to train open: planned alignment is one; planned prediction is the way that it names,
or both; planned any is alignment and what prediction would be.  Every rule is held against one way at a time, never the
recovery of one and the score of another, and the way that satisfies the policy best is the one that is judged: first by
its decision (pass before undetermined before fail), then by fewer warnings, then by the larger recovery probability,
then as the report recommends, then in the order alignment, x_to_y, y_to_x.

A way passes when every rule of severity fail holds.  It fails when one of them does not hold.  Where none fails and one
is undetermined, the policy's `on_undetermined` decides.  Rules of severity warn never change a decision, whether they
hold, do not hold or are undetermined.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from service.estimation.report import Report
from service.gating.candidates import ORDER, Candidate, candidates_of, is_recommended
from service.gating.checking import AnyRule, check_policy, rules_of
from service.gating.decision import Decided, Decision, Outcome, RuleResult
from service.gating.finding import Finding
from service.gating.policy import (
    LossRule,
    MinimumRule,
    OnUndetermined,
    Policy,
    RegimeRule,
    Requirements,
    ScoreRule,
    Severity,
    WarningRule,
)
from service.gating.rehearsal_rules import rehearsed_score, single_modality_loss
from service.gating.rules import ratio_lower_bound, recovery_probability, regimes, warnings

STATES = (Outcome.PASS, Outcome.UNDETERMINED, Outcome.FAIL)
"""What a way to train may come out as, best first."""


@dataclass(frozen=True)
class Judged:
    """One way to train, held against every rule."""

    candidate: Candidate
    rules: tuple[RuleResult, ...]
    reasons: tuple[str, ...]
    """Of each rule, as a clause."""

    @property
    def state(self) -> Outcome:
        """pass, undetermined or fail, by the rules of severity fail."""
        decisive = {rule.outcome for rule in self.rules if rule.severity is Severity.FAIL}
        return next(state for state in reversed(STATES) if state in decisive)


def decide(report: Report, policy: Policy) -> Decision:
    """May the run that the policy plans start, by this report?

    Equal reports and policies give equal decisions, byte for byte; nothing is rounded but in sentences.

    Returns: the decision for the way to train that satisfies the policy best, with the outcome of every rule.

    Raises: InvalidPolicy for a policy that asks for what cannot be, or for nothing.
    """
    check_policy(policy)
    judged = [_judge(report, policy.require, candidate) for candidate in candidates_of(policy.planned)]
    best = min(judged, key=lambda one: _rank(one, report))
    return Decision(
        decision=_decided(best.state, policy.on_undetermined),
        plan=best.candidate.plan,
        rules=best.rules,
        summary=_summary(best, policy.on_undetermined),
        recommendation=report.recommendation,
        policy=policy,
    )


def _judge(report: Report, require: Requirements, candidate: Candidate) -> Judged:
    outcomes, reasons = [], []
    for name, rule in rules_of(require):
        for full_name, finding in _findings(report, candidate, name, rule):
            outcomes.append(finding.outcome(full_name, rule.severity))
            reasons.append(finding.reason)
    return Judged(candidate, tuple(outcomes), tuple(reasons))


def _findings(report: Report, candidate: Candidate, name: str, rule: AnyRule) -> Iterator[tuple[str, Finding]]:
    match rule:
        case MinimumRule():
            hold = recovery_probability if name == "recovery_probability" else ratio_lower_bound
            yield name, hold(report, candidate, rule)
        case RegimeRule():
            yield name, regimes(report, candidate, rule)
        case ScoreRule():
            yield from rehearsed_score(report, candidate, rule)
        case LossRule():
            yield from single_modality_loss(report, candidate, rule)
        case WarningRule():
            yield name, warnings(report, rule)


def _rank(judged: Judged, report: Report) -> tuple[int, int, float, bool, int]:
    """The less, the better."""
    candidate = judged.candidate
    return (
        STATES.index(judged.state),
        sum(rule.outcome is Outcome.WARN for rule in judged.rules),
        -(candidate.recovery_probability(report) or 0.0),
        not is_recommended(candidate, report),
        ORDER.index(candidate.spectrum),
    )


def _decided(state: Outcome, on_undetermined: OnUndetermined) -> Decided:
    if state is Outcome.UNDETERMINED:
        return Decided(on_undetermined.value)
    return Decided.PASS if state is Outcome.PASS else Decided.FAIL


def _summary(judged: Judged, on_undetermined: OnUndetermined) -> str:
    """The decision and its reason in a sentence: that of the first rule which decided."""
    decisive = [
        reason
        for rule, reason in zip(judged.rules, judged.reasons, strict=True)
        if rule.severity is Severity.FAIL and rule.outcome is judged.state
    ]
    others = len(decisive) - 1
    decided = _decided(judged.state, on_undetermined).value.capitalize()
    if judged.state is Outcome.UNDETERMINED and on_undetermined is not OnUndetermined.ABSTAIN:
        decided += ", which is what the policy makes of an open question"
    more = ""
    if others:
        does = {
            Outcome.PASS: ("holds too", "hold too"),
            Outcome.UNDETERMINED: ("is open too", "are open too"),
            Outcome.FAIL: ("fails too", "fail too"),
        }[judged.state]
        more = f"; another rule {does[0]}" if others == 1 else f"; {others} other rules {does[1]}"
    warned = sum(rule.outcome is Outcome.WARN for rule in judged.rules)
    if warned:
        more += f"; {'one rule warns' if warned == 1 else f'{warned} rules warn'}"
    return f"{decided}: {decisive[0]}{more}."
