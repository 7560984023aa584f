"""Two reports: what differs beyond the intervals, what cannot be said, and what else is not the same."""

from dataclasses import replace

import pytest

from service.estimation.options import Scalings
from service.estimation.report_warning import ReportWarning
from service.estimation.separation_records import Interval
from service.estimation.terms import Objective, RatioStatus, Regime, Scaling
from service.gating.comparison import compare
from tests.unit.gating.compared import published, report, with_ca


def test_a_report_does_not_differ_from_itself():
    for same in (published(), report()):
        found = compare(same, same)
        assert found.differs is False
        assert found.summary == "Nothing differs beyond the intervals."
        assert {ratio.reason for ratio in found.ratios} == {"The ratio is the same."}
        assert (found.inputs_changed, found.options, found.versions) == ((), (), ())
        assert (found.warnings_new, found.warnings_gone, found.recommendation_changed) == ((), (), False)


@pytest.mark.parametrize(
    ("second", "differs"),
    [
        (Interval(1.9, 2.5, 0.9), False),
        (Interval(2.0, 2.5, 0.9), False),  # they share their end
        (Interval(2.1, 2.5, 0.9), True),
        (Interval(2.1, None, 0.9), True),
        (Interval(0.5, 1.1, 0.9), True),
        (Interval(0.0, None, 0.9), False),
    ],
)
def test_a_ratio_differs_when_the_intervals_are_disjoint(second, differs):
    one, other = report(low=1.2, high=2.0), with_ca(report(), ratio=2.2, interval=second)
    for a, b in ((one, other), (other, one)):
        found = compare(a, b)
        assert [ratio.differs for ratio in found.ratios] == [differs, False, False]
        assert found.differs is differs
    assert ("the ratio of alignment" in found.summary) is differs


def test_an_interval_without_an_upper_end_is_above_what_ends_before_it():
    endless = with_ca(report(), ratio=9.0, interval=Interval(3.0, None, 0.9))
    assert compare(endless, report()).ratios[0].reason.startswith("The second interval lies below")
    assert compare(report(), endless).ratios[0].reason.startswith("The second interval lies above")


def test_no_signal_has_an_interval_that_counts():
    none = with_ca(report(), ratio=None, status=RatioStatus.NO_SIGNAL, interval=Interval(0.0, 0.4, 0.9))
    assert compare(report(), none).ratios[0].differs is True
    near = with_ca(report(), ratio=None, status=RatioStatus.NO_SIGNAL, interval=Interval(0.0, 1.3, 0.9))
    assert compare(report(), near).ratios[0].differs is False


def test_without_nuisance_nothing_is_claimed_unless_both_are():
    none = with_ca(report(), ratio=None, status=RatioStatus.NO_NUISANCE, interval=None)
    found = compare(report(), none)
    assert (found.ratios[0].differs, found.differs) == (None, None)
    assert "The second report finds no nuisance" in found.ratios[0].reason
    assert "The first report finds no nuisance" in compare(none, report()).ratios[0].reason
    assert compare(none, none).differs is False


def test_ratios_without_intervals_are_never_said_to_differ():
    found = compare(published(0), published(1))
    changed = [ratio for ratio in found.ratios if ratio.a.ratio != ratio.b.ratio]
    assert changed
    for ratio in changed:
        assert ratio.differs is None
        assert "Method calibrated gives intervals." in ratio.reason
    assert found.differs is None
    assert "it cannot be said" in found.summary


def test_a_difference_counts_even_where_of_another_ratio_nothing_can_be_said():
    one = with_ca(report(), ratio=None, status=RatioStatus.NO_NUISANCE, interval=None)
    found = compare(one, report(ratio=9.0, low=8.0, high=10.0))
    assert [ratio.differs for ratio in found.ratios] == [None, True, True]
    assert found.differs is True


@pytest.mark.parametrize(
    ("first", "second", "differs"), [(0.8, 0.2, True), (0.2, 0.8, True), (0.79, 0.2, False), (0.8, 0.21, False)]
)
def test_a_sure_verdict_that_turned_differs_whatever_the_intervals(first, second, differs):
    found = compare(report(ratio=1.1, probability=first), report(ratio=0.9, probability=second))
    assert {ratio.differs for ratio in found.ratios} == {differs}


def test_a_turned_verdict_says_which_way():
    sure, not_sure = report(ratio=1.1, probability=0.9), report(ratio=0.9, probability=0.1)
    assert "surely recovered the signal in the first report" in compare(sure, not_sure).ratios[0].reason
    assert "surely recovers it in the second" in compare(not_sure, sure).ratios[0].reason


@pytest.mark.parametrize(("share", "differs"), [(0.8, True), (0.79, False)])
def test_a_regime_differs_when_both_are_conclusive(share, differs):
    found = compare(report(regime=Regime.BOTH), report(regime=Regime.CA_ONLY, share=share))
    assert [regime.differs for regime in found.regimes] == [differs, differs]
    assert [(regime.a, regime.b) for regime in found.regimes] == [("both", "ca_only")] * 2
    assert found.regimes[0].probability_b == share
    assert ("the regime x_to_y" in found.summary) is differs


def test_a_regime_without_probabilities_is_not_said_to_differ():
    base = published()
    other = replace(base, regimes=replace(base.regimes, x_to_y=Regime.NEITHER, y_to_x=Regime.CP_ONLY))
    changed = [regime for regime in compare(base, other).regimes if regime.a != regime.b]
    assert changed
    assert {regime.differs for regime in changed} == {None}


def test_warnings_recommendation_inputs_options_and_versions_are_compared():
    base = report()
    kept, gone, new = (ReportWarning(code, "Words.") for code in ("few_labels", "repeated_rows", "missing_values"))
    provenance = replace(
        base.provenance,
        digests=replace(base.provenance.digests, y="0" * 64, groups="1" * 64),
        options=replace(base.provenance.options, seed=7, scaling=Scalings(y=Scaling.STANDARDIZE)),
        versions=replace(base.provenance.versions, phasegate="9.0"),
    )
    other = replace(
        base,
        warnings=(kept, new),
        provenance=provenance,
        recommendation=replace(base.recommendation, objective=Objective.UNDETERMINED, direction=None, modality=None),
    )
    found = compare(replace(base, warnings=(gone, kept)), other)
    assert (found.warnings_gone, found.warnings_new) == (("repeated_rows",), ("missing_values",))
    assert found.inputs_changed == ("y", "groups")
    assert [(change.name, change.a, change.b) for change in found.options] == [
        ("scaling.y", "none", "standardize"),
        ("seed", 0, 7),
    ]
    assert [change.name for change in found.versions] == ["phasegate"]
    assert found.recommendation_changed is True
    assert found.differs is False  # none of this is a ratio or a regime


def test_other_reasons_are_no_other_recommendation():
    base = report()
    other = replace(base, recommendation=replace(base.recommendation, reasons=("Because.",)))
    assert compare(base, other).recommendation_changed is False
