"""What holds of the gate for every report and policy: stricter policies and worse reports never make it milder."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from service.estimation.record import to_json
from service.estimation.report import Report
from service.estimation.separation_records import RegimeShares
from service.estimation.terms import Direction, Method, Regime
from service.estimation.warning_codes import KNOWN
from service.gating.checking import rules_of
from service.gating.deciding import decide
from service.gating.decision import Decided, Decision, Outcome
from service.gating.errors import GatingError
from service.gating.policy import (
    SERIOUS,
    LossRule,
    MinimumRule,
    OnUndetermined,
    Plan,
    Planned,
    Policy,
    RegimeRule,
    Requirements,
    ScoreRule,
    Severity,
    WarningRule,
)
from service.schemas.policies import DECISION, read_policy
from tests.unit.gating.samples import NAMES, calibrated, no_claim, published, with_recovery, with_shares, with_warnings

SHORT = settings(derandomize=True, deadline=None, max_examples=60)
BEST_FIRST = (Decided.PASS, Decided.ABSTAIN, Decided.FAIL)
REHEARSED_DIMS, OTHER_DIMS = (2, 4), (3, 9)

probabilities = st.floats(0, 1)
minima = st.floats(0.001, 1)
severities = st.sampled_from(Severity)
labels = st.sampled_from((None, "size", "dose"))
codes = st.sampled_from(sorted(KNOWN | {SERIOUS}))
plans = st.builds(
    Plan,
    st.sampled_from(Planned),
    st.sampled_from((None, *Direction)),
    st.sampled_from((None, *REHEARSED_DIMS, *OTHER_DIMS)),
)
shares = st.tuples(*[st.floats(0.001, 1) for _ in Regime]).map(
    lambda weights: RegimeShares(*(weight / sum(weights) for weight in weights))
)
requirements = st.builds(
    Requirements,
    recovery_probability=st.builds(MinimumRule, minima, st.just(Severity.FAIL)),
    regimes=st.none() | st.builds(RegimeRule, st.just((Regime.BOTH, Regime.CP_ONLY)), severities),
    ratio_lower_bound=st.none() | st.builds(MinimumRule, st.floats(0.001, 5), severities),
    rehearsed_score=st.none() | st.builds(ScoreRule, st.floats(-0.99, 0.99), labels, severities),
    single_modality_loss=st.none() | st.builds(LossRule, st.floats(-0.99, 0.99), labels, severities),
    warnings=st.none() | st.builds(WarningRule, st.lists(codes, min_size=1, unique=True).map(tuple), severities),
)
policies = st.builds(Policy, st.just("1.0"), plans, requirements, st.sampled_from(OnUndetermined))
without_recovery = policies.map(
    lambda policy: replace(policy, require=replace(policy.require, recovery_probability=None))
).filter(lambda policy: decisive(policy))


@st.composite
def reports(draw):
    report = draw(st.sampled_from((calibrated(), calibrated(), no_claim(calibrated()), published())))
    if report.regime_probabilities is not None:
        report = with_recovery(report, *(draw(probabilities) for _ in NAMES))
        report = with_shares(report, x_to_y=draw(shares), y_to_x=draw(shares))
    return with_warnings(report, *draw(st.lists(st.sampled_from(sorted(KNOWN)), max_size=3)))


def decisive(policy: Policy) -> set[str]:
    """The rules of a policy that can make a decision fail."""
    return {name for name, rule in rules_of(policy.require) if rule.severity is Severity.FAIL}


def asks_more_than_warnings(policy: Policy) -> bool:
    return bool(decisive(policy) - {"warnings"})


def is_unanswerable(report: Report, policy: Policy) -> bool:
    """Whether a policy asks something that the report cannot say, whatever the data."""
    of_rehearsal = decisive(policy) & {"rehearsed_score", "single_modality_loss"}
    if report.method is Method.REFERENCE:
        return bool(of_rehearsal or decisive(policy) & {"recovery_probability", "ratio_lower_bound"})
    return bool(of_rehearsal) and policy.planned.embedding_dim in OTHER_DIMS


def place(decision: Decision) -> int:
    return BEST_FIRST.index(decision.decision)


@SHORT
@given(reports(), policies)
def test_a_decision_is_repeatable_and_is_what_its_text_says(report, policy):
    first, second = decide(report, policy), decide(replace(report), replace(policy))
    assert to_json(first) == to_json(second)
    assert DECISION.validate_json(to_json(first)) == first
    assert read_policy(to_json(policy)) == policy


@SHORT
@given(reports(), policies, minima, minima, st.floats(0, 1))
def test_a_laxer_policy_never_makes_a_decision_worse(report, policy, a, b, c):
    require = policy.require
    laxer = replace(
        require,
        recovery_probability=replace(require.recovery_probability, min=require.recovery_probability.min * a),
        ratio_lower_bound=require.ratio_lower_bound
        and replace(require.ratio_lower_bound, min=require.ratio_lower_bound.min * b),
        rehearsed_score=require.rehearsed_score
        and replace(require.rehearsed_score, min=max(-0.999, require.rehearsed_score.min - c)),
        single_modality_loss=require.single_modality_loss
        and replace(require.single_modality_loss, max=min(0.999, require.single_modality_loss.max + c)),
        regimes=require.regimes and replace(require.regimes, any_of=(*require.regimes.any_of, Regime.CA_ONLY)),
        warnings=require.warnings and replace(require.warnings, none_of=require.warnings.none_of[:1]),
    )
    # As the policy judges what is open, pass and fail included, open must lie between: this is what abstain says.
    policy = replace(policy, on_undetermined=OnUndetermined.ABSTAIN)
    assert place(decide(report, replace(policy, require=laxer))) <= place(decide(report, policy))


@SHORT
@given(reports().filter(lambda report: report.recovery_probability), policies, st.tuples(*[probabilities] * 3))
def test_a_larger_probability_never_makes_a_decision_worse(report, policy, shares_of_the_rest):
    policy = replace(policy, on_undetermined=OnUndetermined.ABSTAIN)
    now = [getattr(report.recovery_probability, name) for name in NAMES]
    more = [p + (1 - p) * share for p, share in zip(now, shares_of_the_rest, strict=True)]
    assert place(decide(with_recovery(report, *more), policy)) <= place(decide(report, policy))


@SHORT
@given(reports(), policies)
def test_rules_that_only_warn_change_no_decision(report, policy):
    kept = {
        name: rule
        for name in Requirements.__dataclass_fields__
        if (rule := getattr(policy.require, name)) is not None and rule.severity is Severity.FAIL
    }
    decision = decide(report, policy)
    assert decision.decision is decide(report, replace(policy, require=Requirements(**kept))).decision
    assert all(rule.outcome is not Outcome.FAIL for rule in decision.rules if rule.severity is Severity.WARN)
    assert all(rule.outcome is not Outcome.WARN for rule in decision.rules if rule.severity is Severity.FAIL)


@SHORT
@given(reports(), policies | without_recovery)
def test_what_is_said_of_open_questions_counts_only_where_one_is_open(report, policy):
    found = {choice: decide(report, replace(policy, on_undetermined=choice)) for choice in OnUndetermined}
    outcomes = {rule.outcome for rule in found[OnUndetermined.ABSTAIN].rules if rule.severity is Severity.FAIL}
    is_open = Outcome.FAIL not in outcomes and Outcome.UNDETERMINED in outcomes
    assert len({decision.rules for decision in found.values()}) == 1
    if not is_open:
        assert len({decision.decision for decision in found.values()}) == 1
        assert found[OnUndetermined.ABSTAIN].decision is not Decided.ABSTAIN
        return
    what_passes = Decided.ABSTAIN if is_unanswerable(report, policy) else Decided.PASS
    assert {choice: decision.decision for choice, decision in found.items()} == {
        OnUndetermined.ABSTAIN: Decided.ABSTAIN,
        OnUndetermined.FAIL: Decided.FAIL,
        OnUndetermined.PASS: what_passes,
    }


@SHORT
@given(reports(), policies | without_recovery)
def test_a_question_that_cannot_be_answered_never_passes(report, policy):
    decision = decide(report, policy)
    assert not (is_unanswerable(report, policy) and decision.decision is Decided.PASS)


@SHORT
@given(reports().filter(lambda report: report.evidence), (policies | without_recovery).filter(asks_more_than_warnings))
def test_without_a_claim_of_signal_nothing_passes(report, policy):
    report, policy = no_claim(report), replace(policy, on_undetermined=OnUndetermined.ABSTAIN)
    decision = decide(report, policy)
    assert decision.decision is not Decided.PASS
    assert {rule.rule for rule in decision.rules if rule.outcome is Outcome.PASS} <= {"warnings"}
    # What fails of the same data with a claim fails without one, and nothing else does.
    claimed = replace(report, evidence=replace(report.evidence, signal_claimed=True))
    assert (decision.decision is Decided.FAIL) == (decide(claimed, policy).decision is Decided.FAIL)


@SHORT
@given(st.binary(max_size=300) | st.text(max_size=300))
def test_whatever_is_sent_for_a_policy_is_read_or_refused_with_a_plain_message(text):
    try:
        found = read_policy(text)
    except GatingError as refusal:
        found = refusal
    if isinstance(found, GatingError):
        assert len(found.message) < 1500
        assert not set(found.message) & set("\x00\x1b\n")
        found.message.encode("utf-8")
