"""Every rule against every kind of report, and what becomes of its outcome."""

import json
from dataclasses import replace

import pytest

from service.estimation.record import to_json
from service.estimation.separation_records import RegimeShares, WouldSettle
from service.estimation.terms import Direction, Encoder, Objective, RatioStatus, Regime
from service.gating.deciding import decide
from service.gating.decision import Decided, Outcome
from service.gating.errors import InvalidPolicy, PolicyNotApplicable
from service.gating.policy import (
    LossRule,
    MinimumRule,
    OnUndetermined,
    Plan,
    Planned,
    RegimeRule,
    ScoreRule,
    Severity,
    WarningRule,
)
from service.gating.presets import PRESETS

from .samples import (
    REHEARSED,
    SETTLE,
    a_policy,
    calibrated,
    no_claim,
    of_noise,
    published,
    with_ratio,
    with_recovery,
    with_scores,
    with_shares,
    with_warnings,
)

X_TO_Y, Y_TO_X = Direction
RECOVERY = {"recovery_probability": MinimumRule(0.8)}
ADVISORY = ScoreRule(0.1, "size", Severity.WARN)


def only(decision):
    (rule,) = decision.rules
    return rule


def uncertain(**rules):
    """What the presets ask for, of a report that leaves open whether alignment recovers."""
    return a_policy(**RECOVERY, **rules)


class TestRecovery:
    @pytest.mark.parametrize(
        ("probability", "minimum", "outcome"),
        [
            (0.8, 0.8, "pass"),
            (0.79, 0.8, "undetermined"),
            (0.21, 0.8, "undetermined"),
            (0.2, 0.8, "fail"),
            (0.05, 0.8, "fail"),
            (0.9, 0.95, "undetermined"),
            (0.15, 0.1, "pass"),
            (0.05, 0.1, "fail"),
            (1.0, 1.0, "pass"),
        ],
    )
    def test_outcome(self, probability, minimum, outcome):
        report = with_recovery(calibrated(), probability, 0.5, 0.5)
        rule = only(decide(report, a_policy(recovery_probability=MinimumRule(minimum))))
        assert (rule.rule, rule.outcome, rule.observed) == ("recovery_probability", outcome, probability)
        assert rule.required == f">= {minimum:g}"

    def test_method_reference_has_no_probabilities(self):
        decision = decide(published(), a_policy(**RECOVERY))
        assert (decision.decision, only(decision).observed) == ("abstain", None)
        assert "method calibrated" in only(decision).message

    def test_the_message_says_how_much_more_would_settle_it(self):
        report = with_recovery(calibrated(), 0.5, 0.5, 0.5, would_settle=SETTLE)
        assert "It would take about 100 more labeled rows to settle it." in only(decide(report, uncertain())).message
        report = with_recovery(calibrated(), 0.5, 0.5, 0.5, would_settle=WouldSettle(60, 240))
        assert "about 60 more labeled rows or about 240 more pairs" in only(decide(report, uncertain())).message
        report = with_recovery(calibrated(), 0.5, 0.5, 0.5, would_settle=WouldSettle(None, None))
        assert "Even 16 times as many labels or pairs" in only(decide(report, uncertain())).message

    def test_more_than_the_report_calls_sure_may_take_more_than_it_says(self):
        report = with_recovery(calibrated(), 0.5, 0.5, 0.5, would_settle=SETTLE)
        message = only(decide(report, a_policy(recovery_probability=MinimumRule(0.95)))).message
        assert message.endswith("To settle it means a probability of 0.8 here: 0.95 may take more.")

    def test_without_a_claim_of_signal_the_message_says_so(self):
        report = no_claim(with_recovery(calibrated(), 0.5, 0.5, 0.5))
        assert "claims no signal" in only(decide(report, uncertain())).message

    def test_a_bound_is_said_with_all_its_digits(self):
        report = with_recovery(calibrated(), 0.79999995, 0.5, 0.5)
        summary = decide(report, a_policy(recovery_probability=MinimumRule(0.7999999))).summary
        assert "recovery probability 0.8, at least 0.7999999 is required" in summary

    def test_a_number_that_rounds_to_the_bound_is_told_from_it(self):
        report = with_recovery(calibrated(), 0.79999, 0.5, 0.5)
        assert "recovery probability 0.79999, at least 0.8 is required" in decide(report, uncertain()).summary


class TestRegimes:
    SURE = RegimeShares(both=0.5, ca_only=0.35, cp_only=0.05, neither=0.1)

    @pytest.mark.parametrize(
        ("any_of", "outcome"),
        [
            ((Regime.BOTH, Regime.CA_ONLY), "pass"),
            ((Regime.BOTH,), "undetermined"),
            ((Regime.BOTH, Regime.CP_ONLY), "undetermined"),
            ((Regime.BOTH, Regime.CA_ONLY, Regime.NEITHER), "pass"),
        ],
    )
    def test_outcome(self, any_of, outcome):
        report = with_shares(calibrated(), x_to_y=self.SURE)
        assert only(decide(report, a_policy(regimes=RegimeRule(any_of)))).outcome == outcome

    def test_what_is_surely_another_regime_fails(self):
        report = with_shares(calibrated(), x_to_y=RegimeShares(both=0.1, ca_only=0.1, cp_only=0.0, neither=0.8))
        decision = decide(report, a_policy(regimes=RegimeRule((Regime.BOTH, Regime.CA_ONLY))))
        assert decision.decision is Decided.FAIL
        assert only(decision).observed == 0.2

    def test_the_planned_direction_counts(self):
        report = with_shares(calibrated(), x_to_y=self.SURE, y_to_x=RegimeShares(0.0, 0.0, 0.1, 0.9))
        rule = RegimeRule((Regime.BOTH, Regime.CP_ONLY))
        for direction, outcome in ((X_TO_Y, "undetermined"), (Y_TO_X, "fail")):
            policy = a_policy(Plan(Planned.PREDICTION, direction), regimes=rule)
            assert only(decide(report, policy)).outcome == outcome

    def test_with_method_reference_the_regime_itself_decides(self):
        regime = published().regimes.x_to_y
        assert regime is Regime.BOTH
        for any_of, decided in (((regime, Regime.CP_ONLY), "pass"), ((Regime.CA_ONLY,), "fail")):
            decision = decide(published(), a_policy(regimes=RegimeRule(any_of)))
            assert (decision.decision, only(decision).observed) == (decided, regime.value)
            assert "a point estimate, without probability" in decision.summary


class TestRatio:
    @pytest.mark.parametrize(
        ("low", "high", "outcome"),
        [
            (1.0, 2.0, "pass"),
            (1.5, None, "pass"),
            (0.9, 1.1, "undetermined"),
            (0.9, None, "undetermined"),
            (0.5, 1.0, "undetermined"),
            (0.5, 0.99, "fail"),
        ],
    )
    def test_outcome(self, low, high, outcome):
        rule = only(decide(with_ratio(calibrated(), low, high), a_policy(ratio_lower_bound=MinimumRule(1.0))))
        assert (rule.outcome, rule.observed) == (outcome, low)
        assert f"(90% interval {low:g} to " in rule.message
        assert "its lower end must be at least 1)" in rule.message

    @pytest.mark.parametrize("minimum", [1e-300, 1.0, 1e300])
    def test_without_nuisance_every_minimum_is_met_and_without_signal_none(self, minimum):
        policy = a_policy(ratio_lower_bound=MinimumRule(minimum))
        for status, interval, decided in (
            (RatioStatus.NO_NUISANCE, (None, None), "pass"),
            (RatioStatus.NO_SIGNAL, (0.0, None), "fail"),
            (RatioStatus.NO_SIGNAL, (5.0, 9.0), "fail"),
        ):
            decision = decide(with_ratio(calibrated(), *interval, status), policy)
            assert (decision.decision, only(decision).observed) == (decided, status.value)

    def test_without_an_interval_the_ratio_is_shown_and_nothing_decided(self):
        decision = decide(published(), a_policy(ratio_lower_bound=MinimumRule(0.1)))
        assert (decision.decision, only(decision).observed) == ("abstain", published().separation.ca.ratio)


class TestRehearsedScore:
    @pytest.mark.parametrize(
        ("score", "outcome"),
        [(0.56, "pass"), (0.55, "pass"), (0.54, "undetermined"), (0.46, "undetermined"), (0.44, "fail")],
    )
    def test_outcome_with_a_standard_error_to_spare(self, score, outcome):
        report = with_scores(calibrated(), Encoder.CP_X_TO_Y, score=score, standard_error=0.05)
        policy = a_policy(Plan(Planned.PREDICTION, X_TO_Y), rehearsed_score=ScoreRule(0.5, label="dose"))
        rule = only(decide(report, policy))
        assert (rule.rule, rule.outcome, rule.observed) == ("rehearsed_score[dose]", outcome, score)

    def test_without_a_label_each_one_counts(self):
        report = with_scores(calibrated(), Encoder.CP_X_TO_Y, "dose", score=0.1, standard_error=0.01)
        decision = decide(report, a_policy(Plan(Planned.PREDICTION, X_TO_Y), rehearsed_score=ScoreRule(0.3)))
        assert [(rule.rule, rule.outcome) for rule in decision.rules] == [
            ("rehearsed_score[size]", "pass"),
            ("rehearsed_score[dose]", "fail"),
        ]
        assert decision.decision is Decided.FAIL

    def test_the_best_of_alignments_encoders_counts(self):
        report = calibrated()
        for encoder, score in ((Encoder.CA_X, 0.2), (Encoder.CA_Y, 0.9), (Encoder.CA_BOTH, 0.4)):
            report = with_scores(report, encoder, score=score, standard_error=0.01)
        rule = decide(report, a_policy(rehearsed_score=ScoreRule(0.5, label="size"))).rules[0]
        assert (rule.observed, rule.outcome) == (0.9, "pass")
        assert "ca_y" in rule.message

    def test_it_is_read_at_the_planned_dimension(self):
        found = {}
        for dim in (None, 2, REHEARSED):
            plan = Plan(Planned.PREDICTION, X_TO_Y, dim)
            found[dim] = only(decide(calibrated(), a_policy(plan, rehearsed_score=ScoreRule(0.1, label="size"))))
        rows = {
            row.embedding_dim: row.score
            for row in calibrated().rehearsal.rows
            if (row.encoder, row.label) == (Encoder.CP_X_TO_Y, "size")
        }
        assert set(rows) == {2, REHEARSED}, "two signal components, and what was asked for"
        assert {dim: rule.observed for dim, rule in found.items()} == {None: rows[2], 2: rows[2], 4: rows[REHEARSED]}

    def test_a_dimension_that_was_not_rehearsed_is_undetermined(self):
        plan = Plan(Planned.PREDICTION, X_TO_Y, 3)
        rule = only(decide(calibrated(), a_policy(plan, rehearsed_score=ScoreRule(0.1, label="size"))))
        assert (rule.outcome, rule.observed) == ("undetermined", None)
        assert "2 and 4 were" in rule.message
        assert "option embedding_dim 3" in rule.message

    def test_a_dimension_beyond_what_the_data_have_is_read_where_it_was_lowered_to_and_that_is_said(self):
        report = calibrated()
        options = replace(report.provenance.options, embedding_dim=1000)
        report = replace(report, provenance=replace(report.provenance, options=options))
        for dim in (1000, 900):
            plan = Plan(Planned.PREDICTION, X_TO_Y, dim)
            rule = only(decide(report, a_policy(plan, rehearsed_score=ScoreRule(0.1, label="size"))))
            assert rule.outcome is Outcome.PASS
            assert f"Dimension {dim} (which is planned) is more than these data have: 4 is all." in rule.message

    @pytest.mark.parametrize("severity", list(Severity))
    @pytest.mark.parametrize("report", [calibrated, published])
    def test_of_a_label_that_the_report_does_not_have_nothing_is_decided(self, report, severity):
        for rules, place in (
            ({"rehearsed_score": ScoreRule(0.1, "colour", severity)}, "rehearsed_score"),
            ({"single_modality_loss": LossRule(0.1, "colour", severity)}, "single_modality_loss"),
        ):
            with pytest.raises(PolicyNotApplicable) as refused:
                decide(report(), a_policy(**RECOVERY, **rules, on_undetermined=OnUndetermined.PASS))
            assert (refused.value.code, refused.value.part) == ("policy_not_applicable", "policy")
            assert refused.value.message == (
                f"policy.require.{place}.label: the report has no label 'colour'. Name one that it has ('size', "
                "'dose'), or leave it out for all of them."
            )

    def test_a_label_that_could_not_be_scored_is_undetermined_with_the_reason(self):
        report = calibrated()
        rehearsal = replace(
            report.rehearsal,
            labels=tuple(replace(label, left_out="Too few rows have it.") for label in report.rehearsal.labels),
            rows=tuple(row for row in report.rehearsal.rows if row.label != "dose"),
        )
        report = replace(report, rehearsal=rehearsal)
        rule = only(decide(report, a_policy(rehearsed_score=ScoreRule(0.1, label="dose"))))
        assert rule.outcome is Outcome.UNDETERMINED
        assert "Too few rows have it." in rule.message
        report = replace(report, rehearsal=replace(rehearsal, rows=()))
        rule = only(decide(report, a_policy(rehearsed_score=ScoreRule(0.1))))
        assert (rule.rule, rule.outcome) == ("rehearsed_score", "undetermined")
        assert "dose: Too few rows have it." in rule.message

    def test_a_label_that_was_dropped_is_undetermined(self):
        report = calibrated()
        labels = tuple(label for label in report.rehearsal.labels if label.label != "dose")
        rows = tuple(row for row in report.rehearsal.rows if row.label != "dose")
        report = replace(report, rehearsal=replace(report.rehearsal, labels=labels, rows=rows))
        rule = only(decide(report, a_policy(rehearsed_score=ScoreRule(0.1, label="dose"))))
        assert (rule.rule, rule.outcome) == ("rehearsed_score[dose]", "undetermined")
        assert "does not vary, or too few rows have it" in rule.message

    def test_method_reference_rehearses_nothing(self):
        rule = only(decide(published(), a_policy(rehearsed_score=ScoreRule(0.1, label="size"))))
        assert (rule.rule, rule.outcome) == ("rehearsed_score[size]", "undetermined")


class TestSingleModalityLoss:
    @pytest.mark.parametrize(
        ("loss", "outcome"),
        [(0.0, "pass"), (0.04, "pass"), (0.045, "undetermined"), (0.055, "undetermined"), (0.07, "fail")],
    )
    def test_outcome_with_a_standard_error_to_spare(self, loss, outcome):
        report = with_scores(calibrated(), Encoder.CP_Y_TO_X, difference=-loss, difference_se=0.01)
        policy = a_policy(Plan(Planned.PREDICTION, Y_TO_X), single_modality_loss=LossRule(0.05, label="size"))
        rule = only(decide(report, policy))
        assert (rule.rule, rule.outcome, rule.observed) == ("single_modality_loss[size]", outcome, loss)
        assert rule.required == "<= 0.05"

    def test_without_a_label_each_one_counts(self):
        decision = decide(calibrated(), a_policy(single_modality_loss=LossRule(0.5)))
        assert [rule.rule for rule in decision.rules] == ["single_modality_loss[size]", "single_modality_loss[dose]"]
        assert decision.decision is Decided.PASS


class TestWarnings:
    @pytest.mark.parametrize(
        ("codes", "none_of", "outcome"),
        [
            ((), ("serious",), "pass"),
            (("few_labels",), ("serious",), "pass"),
            (("near_copy",), ("serious",), "fail"),
            (("few_labels", "near_copy"), ("few_labels",), "fail"),
            (("near_copy",), ("few_labels",), "pass"),
            (("few_labels",), ("serious", "few_labels"), "fail"),
        ],
    )
    def test_outcome(self, codes, none_of, outcome):
        report = with_warnings(calibrated(), *codes)
        assert only(decide(report, a_policy(warnings=WarningRule(none_of)))).outcome == outcome

    def test_what_was_found_is_named_once_with_its_message(self):
        report = with_warnings(calibrated(), "near_copy", "few_labels", "few_labels")
        rule = only(decide(report, a_policy(warnings=WarningRule(("serious", "few_labels")))))
        assert rule.observed == "near_copy, few_labels"
        assert rule.message.endswith("Something about near_copy. Something about few_labels.")


NOTHING_ELSE = (
    {"recovery_probability": MinimumRule(0.05)},
    {"regimes": RegimeRule((Regime.BOTH, Regime.CA_ONLY, Regime.CP_ONLY))},
    {"ratio_lower_bound": MinimumRule(1e-6)},
    {"rehearsed_score": ScoreRule(-0.9)},
    {"single_modality_loss": LossRule(0.9)},
)
"""Policies that ask for next to nothing."""


class TestNoClaim:
    @pytest.mark.parametrize("rules", NOTHING_ELSE)
    def test_nothing_holds_without_a_claim_of_signal(self, rules):
        policy = a_policy(**rules)
        assert decide(calibrated(), policy).decision is Decided.PASS
        decision = decide(no_claim(calibrated()), policy)
        assert decision.decision is Decided.ABSTAIN
        assert decision.summary.startswith("Abstain: no signal is claimed, without which this is open: ")
        for rule, claimed in zip(decision.rules, decide(calibrated(), policy).rules, strict=True):
            assert (rule.outcome, rule.observed) == (Outcome.UNDETERMINED, claimed.observed)
            assert "check that x, y, labels and rows belong together" in rule.message

    def test_what_fails_still_fails(self):
        for rules in (
            {"rehearsed_score": ScoreRule(0.999)},
            {"ratio_lower_bound": MinimumRule(1e9)},
            {"warnings": WarningRule(("near_copy",))},
        ):
            report = with_warnings(no_claim(calibrated()), "near_copy")
            assert decide(report, a_policy(**rules)).decision is Decided.FAIL

    def test_warnings_need_no_claim(self):
        report = with_warnings(no_claim(calibrated()))
        assert decide(report, a_policy(warnings=WarningRule(("serious",)))).decision is Decided.PASS

    def test_shuffled_pairs_are_not_let_through(self):
        report = of_noise()
        assert report.evidence.signal_claimed is False
        for rules in NOTHING_ELSE:
            decision = decide(report, a_policy(Planned.ANY, **rules))
            assert decision.decision is not Decided.PASS, rules


def unanswerable():
    """A report and a policy that asks for what it cannot say, of every kind."""
    left_out = replace(
        calibrated(),
        rehearsal=replace(
            calibrated().rehearsal,
            labels=tuple(replace(label, left_out="Too few.") for label in calibrated().rehearsal.labels),
            rows=(),
        ),
    )
    not_rehearsed = a_policy(Plan(Planned.ALIGNMENT, None, 3), rehearsed_score=ScoreRule(0.1, "size"))
    yield calibrated(), not_rehearsed
    yield left_out, a_policy(rehearsed_score=ScoreRule(0.1, "size"))
    yield left_out, a_policy(single_modality_loss=LossRule(0.1))
    for rules in (RECOVERY, *({name: rule} for name, rule in ASKED_OF_REFERENCE)):
        yield published(), a_policy(**rules)


ASKED_OF_REFERENCE = (
    ("ratio_lower_bound", MinimumRule(0.1)),
    ("rehearsed_score", ScoreRule(0.1)),
    ("single_modality_loss", LossRule(0.1, "size")),
)


class TestUnanswerable:
    @pytest.mark.parametrize(("choice", "decided"), [("abstain", "abstain"), ("fail", "fail"), ("pass", "abstain")])
    def test_it_never_passes_whatever_becomes_of_open_questions(self, choice, decided):
        for report, policy in unanswerable():
            decision = decide(report, replace(policy, on_undetermined=OnUndetermined(choice)))
            assert decision.decision == decided
            assert {rule.outcome for rule in decision.rules} == {Outcome.UNDETERMINED}
            assert all("cannot answer this" in rule.message for rule in decision.rules)
            why = "Abstain, for what the report cannot answer is no open question that the policy lets pass: "
            assert decision.summary.startswith(why) is (choice == "pass")

    def test_beside_an_open_question_it_is_the_reason(self):
        report = with_recovery(calibrated(), 0.5, 0.5, 0.5)
        rules = RECOVERY | {"rehearsed_score": ScoreRule(0.1, "size")}
        policy = a_policy(Plan(Planned.ALIGNMENT, None, 3), **rules, on_undetermined=OnUndetermined.PASS)
        decision = decide(report, policy)
        assert decision.decision is Decided.ABSTAIN
        assert "dimension 3 (which is planned) was not rehearsed" in decision.summary
        assert "cannot answer" not in decision.rules[0].message

    def test_of_a_rule_that_only_warns_it_changes_nothing(self):
        rules = RECOVERY | {"rehearsed_score": ADVISORY}
        policy = a_policy(Plan(Planned.ALIGNMENT, None, 3), **rules, on_undetermined=OnUndetermined.PASS)
        decision = decide(with_recovery(calibrated(), 0.5, 0.5, 0.5), policy)
        assert decision.decision is Decided.PASS
        assert "no policy passes" not in decision.rules[1].message


class TestDecision:
    def test_a_clear_report_passes_the_presets(self):
        for name, policy in PRESETS.items():
            decision = decide(calibrated(), policy)
            assert decision.decision is Decided.PASS, name
            assert decision.summary.startswith("Pass: ")
            assert decision.policy is policy
            assert decision.recommendation is calibrated().recommendation

    @pytest.mark.parametrize(
        ("on_undetermined", "decided"), [("abstain", "abstain"), ("fail", "fail"), ("pass", "pass")]
    )
    def test_the_policy_says_what_becomes_of_an_open_question(self, on_undetermined, decided):
        report = with_recovery(calibrated(), 0.5, 0.5, 0.5)
        policy = a_policy(**RECOVERY, on_undetermined=OnUndetermined(on_undetermined))
        assert decide(report, policy).decision == decided

    @pytest.mark.parametrize("on_undetermined", list(OnUndetermined))
    def test_it_says_nothing_where_a_rule_fails_or_none_is_open(self, on_undetermined):
        rules = RECOVERY | {"warnings": WarningRule(("near_copy",))}
        policy = a_policy(**rules, on_undetermined=on_undetermined)
        undetermined = with_recovery(calibrated(), 0.5, 0.5, 0.5)
        assert decide(with_warnings(undetermined, "near_copy"), policy).decision is Decided.FAIL
        assert decide(with_warnings(calibrated()), policy).decision is Decided.PASS

    def test_a_rule_that_only_warns_changes_no_decision(self):
        warning = {"warnings": WarningRule(("near_copy",), Severity.WARN)}
        report = with_warnings(calibrated(), "near_copy")
        decision = decide(report, a_policy(**RECOVERY, **warning))
        assert decision.decision is Decided.PASS
        assert [rule.outcome for rule in decision.rules] == ["pass", "warn"]
        assert decision.summary.endswith("; one rule warns.")
        undetermined = decide(
            calibrated(), a_policy(Plan(Planned.ALIGNMENT, None, 3), **RECOVERY, rehearsed_score=ADVISORY)
        )
        assert (undetermined.decision, undetermined.rules[1].outcome) == ("pass", "undetermined")

    def test_the_summary_gives_the_reason(self):
        report = with_recovery(calibrated(), 0.05, 0.9, 0.9)
        assert decide(report, uncertain()).summary == (
            "Fail: alignment does not recover the shared signal (recovery probability 0.05, at least 0.8 is required)."
        )
        report = with_warnings(report, "near_copy")
        summary = decide(report, uncertain(warnings=WarningRule(("serious",)))).summary
        assert summary.endswith("; another rule fails too.")

    def test_an_impossible_policy_is_refused(self):
        with pytest.raises(InvalidPolicy, match="no rule here can fail"):
            decide(calibrated(), a_policy())

    def test_equal_reports_and_policies_give_the_same_bytes_without_rounding(self):
        report = with_recovery(calibrated(), 0.1 + 0.2, 1 / 3, 2 / 3)
        for policy in (*PRESETS.values(), a_policy(Planned.ANY, recovery_probability=MinimumRule(2 / 3))):
            texts = {to_json(decide(replace(report), replace(policy))) for _ in range(3)}
            assert len(texts) == 1
        assert json.loads(texts.pop())["rules"][0]["observed"] == 2 / 3


class TestCandidates:
    def test_alignment_is_judged_by_alignment_alone(self):
        report = with_recovery(calibrated(), 0.1, 0.99, 0.99)
        decision = decide(report, a_policy(**RECOVERY))
        assert (decision.decision, decision.plan) == ("fail", Plan(Planned.ALIGNMENT))

    def test_prediction_is_the_way_that_it_names_or_the_better_one(self):
        report = with_recovery(calibrated(), 0.99, 0.1, 0.9)
        for direction, decided in ((X_TO_Y, "fail"), (Y_TO_X, "pass")):
            decision = decide(report, a_policy(Plan(Planned.PREDICTION, direction), **RECOVERY))
            assert (decision.decision, decision.plan.direction) == (decided, direction)
        decision = decide(report, a_policy(Planned.PREDICTION, **RECOVERY))
        assert (decision.decision, decision.plan) == ("pass", Plan(Planned.PREDICTION, Y_TO_X))

    @pytest.mark.parametrize(
        ("recovery", "direction", "objective", "way"),
        [
            ((0.9, 0.1, 0.1), None, Planned.ALIGNMENT, None),
            ((0.1, 0.9, 0.1), None, Planned.PREDICTION, X_TO_Y),
            ((0.1, 0.1, 0.9), None, Planned.PREDICTION, Y_TO_X),
            ((0.1, 0.5, 0.1), None, Planned.PREDICTION, X_TO_Y),
            ((0.82, 0.9, 0.85), None, Planned.PREDICTION, X_TO_Y),
            ((0.1, 0.1, 0.9), X_TO_Y, Planned.ALIGNMENT, X_TO_Y),
            ((0.1, 0.9, 0.9), X_TO_Y, Planned.PREDICTION, X_TO_Y),
        ],
    )
    def test_any_takes_what_does_best(self, recovery, direction, objective, way):
        report = with_recovery(calibrated(), *recovery)
        plan = decide(report, a_policy(Plan(Planned.ANY, direction, REHEARSED), **RECOVERY)).plan
        assert plan == Plan(objective, way, REHEARSED)

    def test_fewer_warnings_go_before_a_larger_probability(self):
        report = with_recovery(calibrated(), 0.85, 0.99, 0.99)
        for encoder in (Encoder.CP_X_TO_Y, Encoder.CP_Y_TO_X):
            report = with_scores(report, encoder, difference=-0.5, difference_se=0.01)
        assert decide(report, PRESETS["any-crossmodal"]).plan.objective is Planned.ALIGNMENT

    def test_among_equals_the_recommended_one_is_taken_then_alignment(self):
        report = with_recovery(calibrated(), 0.9, 0.9, 0.9)
        for objective, direction, chosen in (
            (Objective.PREDICTION, Y_TO_X, Plan(Planned.PREDICTION, Y_TO_X)),
            (Objective.EITHER, Y_TO_X, Plan(Planned.ALIGNMENT)),
            (Objective.UNDETERMINED, None, Plan(Planned.ALIGNMENT)),
        ):
            recommendation = replace(report.recommendation, objective=objective, direction=direction)
            decision = decide(replace(report, recommendation=recommendation), a_policy(Planned.ANY, **RECOVERY))
            assert decision.plan == chosen

    def test_no_policy_passes_by_the_recovery_of_one_and_the_score_of_another(self):
        report = with_recovery(calibrated(), 0.9, 0.1, 0.1)
        for encoder in (Encoder.CA_X, Encoder.CA_Y, Encoder.CA_BOTH):
            report = with_scores(report, encoder, score=0.1, standard_error=0.01)
        for encoder in (Encoder.CP_X_TO_Y, Encoder.CP_Y_TO_X):
            report = with_scores(report, encoder, score=0.9, standard_error=0.01)
        rules = RECOVERY | {"rehearsed_score": ScoreRule(0.5, label="size")}
        assert decide(report, a_policy(Planned.ANY, **rules)).decision is Decided.FAIL
