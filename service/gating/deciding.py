"""May this run start?  A report is held against a policy: a pure function, without clock or chance.

The plan leaves one to three ways to train open: planned alignment is one; planned prediction is the way that it names,
or both; planned any is alignment and what prediction would be.  Every rule is held against one way at a time, never the
recovery of one and the score of another, and the way that satisfies the policy best is the one that is judged: first by
what it comes out as (pass before undetermined before fail, and among the undetermined those that are open before those
that the report cannot answer), then by fewer warnings, then by the larger recovery probability, then as the report
recommends, then in the order alignment, x_to_y, y_to_x.

A way passes when every rule of severity fail holds.  It fails when one of them does not hold.  Where none fails and one
is undetermined, the policy's `on_undetermined` decides; but where the report could not answer one of them, whatever the
data, it never passes.  Rules of severity warn never change a decision, whether they hold, do not hold or are
undetermined.

Where the report claims no signal, no rule holds but that on warnings: what would hold is undetermined.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from service.estimation.report import Report
from service.gating.candidates import ORDER, Candidate, candidates_of, is_recommended
from service.gating.checking import AnyRule, check_policy, rules_of
from service.gating.decision import Decided, Decision, Outcome, RuleResult
from service.gating.errors import PolicyNotApplicable
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
from service.gating.rules import ratio_lower_bound, recovery_probability, regimes, warnings, without_claim

STATES = (Outcome.PASS, Outcome.UNDETERMINED, Outcome.FAIL)
"""What a way to train may come out as, best first."""
LISTED = 10  # names before the rest is left out


@dataclass(frozen=True)
class Judged:
    """One way to train, held against every rule."""

    candidate: Candidate
    rules: tuple[RuleResult, ...]
    findings: tuple[Finding, ...]
    """What made each of the rules' results."""

    @property
    def state(self) -> Outcome:
        """pass, undetermined or fail, by the rules of severity fail."""
        decisive = {rule.outcome for rule in self.rules if rule.severity is Severity.FAIL}
        return next(state for state in reversed(STATES) if state in decisive)

    @property
    def is_answerable(self) -> bool:
        """Whether the report can answer all that is asked of it by rules of severity fail."""
        return all(
            finding.is_answerable
            for rule, finding in zip(self.rules, self.findings, strict=True)
            if rule.severity is Severity.FAIL
        )


def decide(report: Report, policy: Policy) -> Decision:
    """May the run that the policy plans start, by this report?

    Equal reports and policies give equal decisions, byte for byte; nothing is rounded but in sentences.

    Returns: the decision for the way to train that satisfies the policy best, with the outcome of every rule.

    Raises: InvalidPolicy for a policy that asks for what cannot be, or for nothing; PolicyNotApplicable for one that
    names a label which the report is not of.
    """
    check_policy(policy)
    _check_labels(report, policy)
    judged = [_judge(report, policy.require, candidate) for candidate in candidates_of(policy.planned)]
    best = min(judged, key=lambda one: _rank(one, report))
    return Decision(
        decision=_decided(best, policy.on_undetermined),
        plan=best.candidate.plan,
        rules=best.rules,
        summary=_summary(best, policy.on_undetermined),
        recommendation=report.recommendation,
        policy=policy,
    )


def _check_labels(report: Report, policy: Policy) -> None:
    known = [label.name for label in report.data.labels]
    for name, rule in rules_of(policy.require):
        label = rule.label if isinstance(rule, ScoreRule | LossRule) else None
        if label is not None and label not in known:
            there = ", ".join(map(repr, known[:LISTED])) + (" and others" if len(known) > LISTED else "")
            raise PolicyNotApplicable(
                f"policy.require.{name}.label: the report has no label {label!r}. Name one that it has ({there}), or "
                "leave it out for all of them.",
                part="policy",
            )


def _judge(report: Report, require: Requirements, candidate: Candidate) -> Judged:
    rules, findings = [], []
    for name, rule in rules_of(require):
        for full_name, found in _findings(report, candidate, name, rule):
            finding = found if isinstance(rule, WarningRule) else without_claim(report, found)
            rules.append(finding.outcome(full_name, rule.severity))
            findings.append(finding)
    return Judged(candidate, tuple(rules), tuple(findings))


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


def _rank(judged: Judged, report: Report) -> tuple[int, bool, int, float, bool, int]:
    """The less, the better."""
    candidate = judged.candidate
    return (
        STATES.index(judged.state),
        not judged.is_answerable,
        sum(rule.outcome is Outcome.WARN for rule in judged.rules),
        -(candidate.recovery_probability(report) or 0.0),
        not is_recommended(candidate, report),
        ORDER.index(candidate.spectrum),
    )


def _decided(judged: Judged, on_undetermined: OnUndetermined) -> Decided:
    if judged.state is Outcome.UNDETERMINED:
        may_pass = judged.is_answerable or on_undetermined is not OnUndetermined.PASS
        return Decided(on_undetermined.value) if may_pass else Decided.ABSTAIN
    return Decided.PASS if judged.state is Outcome.PASS else Decided.FAIL


def _summary(judged: Judged, on_undetermined: OnUndetermined) -> str:
    """The decision and its reason in a sentence: that of the first rule which decided.

    Of those that are undetermined the first which cannot be answered: it is the one to mend.
    """
    decisive = [
        finding
        for rule, finding in zip(judged.rules, judged.findings, strict=True)
        if rule.severity is Severity.FAIL and rule.outcome is judged.state
    ]
    first = min(decisive, key=lambda finding: finding.is_answerable)
    others = len(decisive) - 1
    found = _decided(judged, on_undetermined)
    decided = found.value.capitalize()
    if judged.state is Outcome.UNDETERMINED and on_undetermined is not OnUndetermined.ABSTAIN:
        if found.value == on_undetermined.value:
            decided += ", which is what the policy makes of an open question"
        else:
            decided += ", for what the report cannot answer is no open question that the policy lets pass"
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
    return f"{decided}: {first.reason}{more}."
