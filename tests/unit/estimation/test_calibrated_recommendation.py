"""What to train, as a pure function: every objective with its reasons."""

from dataclasses import replace

import pytest

from service.estimation.calibrated_recommendation import HARDLY_BETTER, recommend_calibrated
from service.estimation.rehearsal_records import Rehearsal, RehearsalRow
from service.estimation.report import Evidence
from service.estimation.separation_records import (
    FloorComponent,
    Interval,
    RecoveryProbability,
    Separation,
    Separations,
    WouldSettle,
)
from service.estimation.terms import Direction, Encoder, Metric, Modality, Objective, RatioStatus, Verdict
from service.estimation.verdicts import verdict

X_TO_Y, Y_TO_X = Direction.X_TO_Y, Direction.Y_TO_X
CLAIMED = Evidence(
    signal_claimed=True,
    coupling_p_value=0.005,
    held_out_correlation=0.6,
    labels_p_value=0.0025,
    labels_p_value_x=0.0025,
    labels_p_value_y=0.0025,
)


def a_separation(probability, **changed):
    ratio = 0.5 + probability
    given = {
        "ratio": ratio,
        "status": RatioStatus.OK,
        "interval": Interval(ratio / 2, ratio * 2, 0.9),
        "verdict": verdict(probability),
        "would_settle": WouldSettle(300, 2000) if verdict(probability) is Verdict.UNDETERMINED else None,
        "signal_floor": ratio * 0.4,
        "nuisance_floor": 0.4,
        "floor_component": FloorComponent(2, None, None),
        "signal_count": 2,
        "recovered_count": 2 if ratio > 1 else 1,
    }
    return Separation(**given | changed)


def a_rehearsal(x=0.3, y=0.6, error=0.05):
    """Raw features alone, scored on one numeric label."""
    best = max(x, y)
    return Rehearsal(
        encoder_pairs=500,
        cross_fitted=False,
        folds=5,
        labels=(),
        rows=tuple(
            RehearsalRow(encoder, None, "age", Metric.R2, score, error, 0.0, score - best, 0.01)
            for encoder, score in ((Encoder.X, x), (Encoder.Y, y))
        ),
    )


def recommended(ca, forward, reverse, none=0.0, direction=None, sure=None, evidence=CLAIMED, rehearsal=None, **changed):
    recovery = RecoveryProbability(ca=ca, cp_x_to_y=forward, cp_y_to_x=reverse)
    separations = Separations(a_separation(ca, **changed), a_separation(forward), a_separation(reverse))
    return recommend_calibrated(
        separations, recovery, none, direction, sure, evidence, rehearsal or a_rehearsal(), alpha=0.05
    )


@pytest.mark.parametrize(
    ("ca", "forward", "reverse", "given", "objective", "direction"),
    [
        (0.95, 0.95, 0.05, X_TO_Y, Objective.EITHER, X_TO_Y),
        (0.95, 0.95, 0.95, Y_TO_X, Objective.EITHER, Y_TO_X),
        (0.95, 0.5, 0.85, X_TO_Y, Objective.EITHER, Y_TO_X),  # the way that surely recovers, not the larger ratio
        (0.05, 0.95, 0.95, Y_TO_X, Objective.PREDICTION, Y_TO_X),
        (0.5, 0.8, 0.5, X_TO_Y, Objective.PREDICTION, X_TO_Y),
        (0.05, 0.1, 0.9, None, Objective.PREDICTION, Y_TO_X),
        (0.95, 0.05, 0.05, None, Objective.ALIGNMENT, None),
        (0.8, 0.7, 0.7, X_TO_Y, Objective.ALIGNMENT, None),
        (0.7, 0.7, 0.7, X_TO_Y, Objective.UNDETERMINED, None),
        (0.05, 0.5, 0.05, X_TO_Y, Objective.UNDETERMINED, None),
    ],
)
def test_objective_and_direction_when_something_may_recover(ca, forward, reverse, given, objective, direction):
    found = recommended(ca, forward, reverse, none=0.1, direction=given, sure=0.9 if given else None)
    assert (found.objective, found.direction, found.modality) == (objective, direction, None)
    assert all(reason.endswith(".") for reason in found.reasons)


@pytest.mark.parametrize(("x", "y", "better"), [(0.3, 0.6, Modality.Y), (0.6, 0.3, Modality.X)])
def test_the_better_modality_by_name_when_probably_nothing_recovers(x, y, better):
    found = recommended(0.1, 0.3, 0.3, none=0.5, rehearsal=a_rehearsal(x, y))
    assert (found.objective, found.direction, found.modality) == (Objective.UNIMODAL, None, better)
    assert f"(0.50): train on {better} alone" in found.reasons[-1]


def test_nothing_is_recommended_when_no_modality_predicts_the_labels():
    found = recommended(0.1, 0.1, 0.1, none=0.9, rehearsal=a_rehearsal(0.01, 0.02, error=0.05))
    assert (found.objective, found.direction, found.modality) == (Objective.UNDETERMINED, None, None)
    assert "Neither modality predicts the labels better than chance" in found.reasons[-1]


def test_below_even_odds_that_nothing_recovers_no_single_modality_is_recommended():
    assert recommended(0.4, 0.4, 0.4, none=0.499).objective is Objective.UNDETERMINED


def test_what_would_settle_is_said_of_undetermined_objectives_alone():
    found = recommended(0.6, 0.95, 0.05, direction=X_TO_Y, sure=0.9)
    assert "is undetermined (probability of recovery 0.60" in found.reasons[0]
    assert found.reasons[0].endswith("It would take about 300 more labeled rows or about 2000 more pairs to settle it.")
    assert not any("settle" in reason for reason in found.reasons[1:])


@pytest.mark.parametrize(
    ("labels", "pairs", "words"),
    [
        (300, None, "It would take about 300 more labeled rows to settle it."),
        (None, 2000, "It would take about 2000 more pairs to settle it."),
        (None, None, "Even 16 times as many labels or pairs like these would not settle it"),
    ],
)
def test_what_would_not_settle_is_not_offered(labels, pairs, words):
    found = recommended(0.6, 0.95, 0.05, direction=X_TO_Y, sure=0.9, would_settle=WouldSettle(labels, pairs))
    assert words in found.reasons[0]


def test_the_undetermined_are_told_what_to_do_and_what_to_begin_with():
    assert "beside a single modality, y for a start." in recommended(0.5, 0.5, 0.5, none=0.3).reasons[-1]
    unsaid = recommended(0.5, 0.5, 0.5, none=0.3, rehearsal=a_rehearsal(0.0, 0.0)).reasons[-1]
    assert unsaid.endswith("beside a single modality.")


def test_reasons_hold_the_numbers():
    found = recommended(0.95, 0.95, 0.05, direction=X_TO_Y, sure=0.83)
    assert found.reasons[0] == (
        "Alignment recovers the whole signal (probability of recovery 0.95; ratio 1.45, 90% interval 0.725 to 2.9; "
        "2 of 2 signal components above the nuisance)."
    )
    assert "Prediction of x from y does not recover the whole signal (probability of recovery 0.05" in found.reasons[2]
    assert "1 of 2 signal components" in found.reasons[2]
    assert found.reasons[3] == "If you predict, predict y from x: the better way with probability 0.83."


def test_an_unbounded_interval_and_ratio_are_said_in_words():
    found = recommended(0.95, 0.95, 0.05, interval=Interval(1.2, None, 0.5))
    assert "50% interval 1.2 to unbounded" in found.reasons[0]
    whole = {"ratio": None, "status": RatioStatus.NO_NUISANCE, "interval": None, "signal_count": 4}
    assert (
        "all 4 components are signal, with no nuisance beside them" in recommended(0.95, 0.95, 0.05, **whole).reasons[0]
    )


@pytest.mark.parametrize(
    ("sure", "words"), [(HARDLY_BETTER - 0.01, "makes hardly a difference"), (HARDLY_BETTER, "probability 0.60")]
)
def test_a_direction_that_is_hardly_better_is_said_not_to_matter(sure, words):
    assert words in recommended(0.95, 0.95, 0.95, direction=Y_TO_X, sure=sure).reasons[-1]


@pytest.mark.parametrize(
    ("coupling", "labels", "words"),
    [
        (0.4, 0.03, "hardly better than shuffled rows (p = 0.4)"),
        (0.01, 0.3, "do not go with anything that x and y share (p = 0.3)"),
        (0.01, 0.02, "both tests speak for one (p = 0.01 for the pairing, 0.02 for the labels)"),
    ],
)
def test_why_no_signal_is_claimed(coupling, labels, words):
    evidence = replace(CLAIMED, signal_claimed=False, coupling_p_value=coupling, labels_p_value=labels)
    unclaimed = {"ratio": None, "status": RatioStatus.NO_SIGNAL, "signal_floor": None}
    found = recommended(0.1, 0.1, 0.1, none=0.8, evidence=evidence, **unclaimed)
    assert "no signal)" in found.reasons[0]
    assert found.reasons[3].startswith("No signal is claimed: ")
    assert words in found.reasons[3]


def test_a_covariate_that_explains_the_floor_is_named_from_a_tenth_on():
    named = recommended(0.95, 0.95, 0.05, floor_component=FloorComponent(2, "batch", 0.1))
    assert named.reasons[3] == "batch explains 0.10 of the floor component of alignment."
    unnamed = recommended(0.95, 0.95, 0.05, floor_component=FloorComponent(2, "batch", 0.099))
    assert not any("batch" in reason for reason in unnamed.reasons)
