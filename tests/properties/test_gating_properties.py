"""What holds of the gate for every report and policy: stricter policies and worse reports never make it milder."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from service.estimation.record import to_json
from service.estimation.separation_records import RegimeShares
from service.estimation.terms import Direction, Regime
from service.estimation.warning_codes import KNOWN
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
from tests.unit.gating.samples import NAMES, calibrated, published, with_recovery, with_shares, with_warnings

SHORT = settings(derandomize=True, deadline=None, max_examples=60)
BEST_FIRST = (Decided.PASS, Decided.ABSTAIN, Decided.FAIL)

probabilities = st.floats(0, 1)
severities = st.sampled_from(Severity)
labels = st.sampled_from((None, "size", "dose", "colour"))
codes = st.sampled_from(sorted(KNOWN | {SERIOUS}))
plans = st.builds(
    Plan, st.sampled_from(Planned), st.sampled_from((None, *Direction)), st.sampled_from((None, 2, 3, 4, 9))
)
shares = st.tuples(*[st.floats(0.001, 1) for _ in Regime]).map(
    lambda weights: RegimeShares(*(weight / sum(weights) for weight in weights))
)
requirements = st.builds(
    Requirements,
    recovery_probability=st.builds(MinimumRule, probabilities, st.just(Severity.FAIL)),
    regimes=st.none() | st.builds(RegimeRule, st.just((Regime.BOTH, Regime.CP_ONLY)), severities),
    ratio_lower_bound=st.none() | st.builds(MinimumRule, st.floats(0, 5), severities),
    rehearsed_score=st.none() | st.builds(ScoreRule, st.floats(-1, 1), labels, severities),
    single_modality_loss=st.none() | st.builds(LossRule, st.floats(-1, 1), labels, severities),
    warnings=st.none() | st.builds(WarningRule, st.lists(codes, min_size=1, unique=True).map(tuple), severities),
)
policies = st.builds(Policy, st.just("1.0"), plans, requirements, st.sampled_from(OnUndetermined))


@st.composite
def reports(draw):
    report = draw(st.sampled_from((calibrated(), calibrated(), published())))
    if report.regime_probabilities is not None:
        report = with_recovery(report, *(draw(probabilities) for _ in NAMES))
        report = with_shares(report, x_to_y=draw(shares), y_to_x=draw(shares))
    return with_warnings(report, *draw(st.lists(st.sampled_from(sorted(KNOWN)), max_size=3)))


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
@given(reports(), policies, st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_a_laxer_policy_never_makes_a_decision_worse(report, policy, a, b, c):
    require = policy.require
    laxer = replace(
        require,
        recovery_probability=replace(require.recovery_probability, min=require.recovery_probability.min * a),
        ratio_lower_bound=require.ratio_lower_bound
        and replace(require.ratio_lower_bound, min=require.ratio_lower_bound.min * b),
        rehearsed_score=require.rehearsed_score
        and replace(require.rehearsed_score, min=require.rehearsed_score.min - c),
        single_modality_loss=require.single_modality_loss
        and replace(require.single_modality_loss, max=require.single_modality_loss.max + c),
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
@given(reports(), policies)
def test_what_is_said_of_open_questions_counts_only_where_one_is_open(report, policy):
    found = {choice: decide(report, replace(policy, on_undetermined=choice)) for choice in OnUndetermined}
    decisive = {rule.outcome for rule in found[OnUndetermined.ABSTAIN].rules if rule.severity is Severity.FAIL}
    is_open = Outcome.FAIL not in decisive and Outcome.UNDETERMINED in decisive
    assert len({decision.rules for decision in found.values()}) == 1
    expected = {choice.value for choice in OnUndetermined} if is_open else {found[OnUndetermined.ABSTAIN].decision}
    assert {decision.decision.value for decision in found.values()} == expected
    assert is_open or Decided.ABSTAIN not in expected


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
