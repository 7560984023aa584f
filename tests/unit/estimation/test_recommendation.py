import pytest

from service.estimation.recommendation import recommend
from service.estimation.separation_records import Ratio, Separation, Separations
from service.estimation.terms import Direction, Modality, Objective, RatioStatus, Verdict


def with_ratio(ratio):
    match ratio:
        case 0:
            said = Ratio(None, RatioStatus.NO_SIGNAL)
            floors, counts = (None, 0.4), (0, 0)
        case "all":
            said = Ratio(None, RatioStatus.NO_NUISANCE)
            floors, counts = (0.4, None), (3, 3)
        case _:
            said = Ratio(ratio, RatioStatus.OK)
            floors, counts = (ratio * 0.4, 0.4), (2, 2 if ratio > 1 else 1)
    return Separation(
        ratio=said.ratio,
        status=said.status,
        interval=None,
        verdict=Verdict.RECOVERS if said.recovers else Verdict.DOES_NOT_RECOVER,
        would_settle=None,
        signal_floor=floors[0],
        nuisance_floor=floors[1],
        floor_component=None,
        signal_count=counts[0],
        recovered_count=counts[1],
    )


FORWARD, REVERSE = Direction.X_TO_Y, Direction.Y_TO_X


@pytest.mark.parametrize(
    ("ca", "forward", "reverse", "objective", "direction"),
    [
        (2.0, 1.5, 0.5, Objective.EITHER, FORWARD),
        (2.0, 1.5, 1.7, Objective.EITHER, REVERSE),
        ("all", "all", "all", Objective.EITHER, FORWARD),
        (2.0, 0.5, 1.2, Objective.EITHER, REVERSE),
        (2.0, 0.5, 0.5, Objective.ALIGNMENT, None),
        (2.0, 0, 0, Objective.ALIGNMENT, None),
        (0.9, 1.5, 0.5, Objective.PREDICTION, FORWARD),
        (0, 0.5, "all", Objective.PREDICTION, REVERSE),
        (0.9, 0.9, 0.9, Objective.UNIMODAL, None),
        (1.0, 1.0, 1.0, Objective.UNIMODAL, None),
        (0, 0, 0, Objective.UNIMODAL, None),
    ],
)
def test_objective_and_direction(ca, forward, reverse, objective, direction):
    separations = Separations(with_ratio(ca), with_ratio(forward), with_ratio(reverse))
    found = recommend(separations, {Modality.X: 0.3, Modality.Y: 0.8})
    assert (found.objective, found.direction) == (objective, direction)
    assert found.modality == (Modality.Y if objective is Objective.UNIMODAL else None)
    assert len(found.reasons) == 4
    assert all(reason.endswith((".", "way.")) for reason in found.reasons)


@pytest.mark.parametrize(("x", "y", "better"), [(0.8, 0.3, Modality.X), (0.3, 0.8, Modality.Y), (0.5, 0, Modality.X)])
def test_the_better_single_modality(x, y, better):
    below = with_ratio(0.5)
    found = recommend(Separations(below, below, below), {Modality.X: x, Modality.Y: y})
    assert found.modality is better
    assert f"{x:.3g}" in found.reasons[-1]
    assert f"{y:.3g}" in found.reasons[-1]


def test_undetermined_when_nothing_predicts_a_label():
    nothing = with_ratio(0)
    found = recommend(Separations(nothing, nothing, nothing), {Modality.X: 0.0, Modality.Y: 0.0})
    assert (found.objective, found.direction, found.modality) == (Objective.UNDETERMINED, None, None)
    assert "labels" in found.reasons[-1]


def test_reasons_hold_the_numbers():
    found = recommend(Separations(with_ratio(2.0), with_ratio(0.25), with_ratio("all")), {})
    assert "ratio 2 " in found.reasons[0]
    assert "0.8" in found.reasons[0]
    assert "2 of 2 signal components" in found.reasons[0]
    assert "does not recover" in found.reasons[1]
    assert "1 of 2 signal components" in found.reasons[1]
    assert "every component is signal" in found.reasons[2]
    assert found.reasons[3] == "Predict x from y: its ratio is unbounded (no nuisance), against 0.25 the other way."
