import numpy as np
import pytest

from service.estimation.separation import composite_ratio, direction_of, regime_of, separation
from service.estimation.separation_records import Ratio
from service.estimation.terms import Direction, RatioStatus, Regime

OK, NO_SIGNAL, NO_NUISANCE = RatioStatus.OK, RatioStatus.NO_SIGNAL, RatioStatus.NO_NUISANCE
ABOVE, BELOW, ONE = Ratio(1.5, OK), Ratio(0.5, OK), Ratio(1.0, OK)
NOTHING, EVERYTHING = Ratio(None, NO_SIGNAL), Ratio(None, NO_NUISANCE)


def test_ratio_floors_and_counts():
    found = separation(np.array([0.9, 0.8, 0.5, 0.4]), np.array([True, False, True, False]))
    assert found.ratio == pytest.approx(0.5 / 0.8)
    assert (found.status, found.signal_floor, found.nuisance_floor) == (OK, 0.5, 0.8)
    assert (found.signal_count, found.recovered_count) == (2, 1)


def test_equal_floors_recover_nothing():
    found = separation(np.array([0.8, 0.8, 0.1]), np.array([True, False, False]))
    assert (found.ratio, found.recovers, found.recovered_count) == (1.0, False, 0)


def test_no_signal():
    found = separation(np.array([0.9, 0.8]), np.array([False, False]))
    assert (found.ratio, found.status, found.signal_floor, found.nuisance_floor) == (None, NO_SIGNAL, None, 0.9)
    assert (found.signal_count, found.recovered_count, found.recovers) == (0, 0, False)


@pytest.mark.parametrize("values", [[0.9, 0.8], [0.3], [0.0, 0.0]])
def test_all_signal(values):
    found = separation(np.array(values), np.full(len(values), True))
    assert (found.ratio, found.status, found.signal_floor, found.nuisance_floor) == (
        None,
        NO_NUISANCE,
        values[-1],
        None,
    )
    assert (found.signal_count, found.recovered_count, found.recovers) == (len(values), len(values), True)


def test_denominator_is_floored():
    found = separation(np.array([0.5, 0.0]), np.array([True, False]))
    assert found.ratio == pytest.approx(0.5e15)


@pytest.mark.parametrize(
    ("ratio", "recovers"),
    [(ABOVE, True), (BELOW, False), (ONE, False), (NOTHING, False), (EVERYTHING, True), (Ratio(1 + 1e-15, OK), True)],
)
def test_recovers(ratio, recovers):
    assert ratio.recovers is recovers


@pytest.mark.parametrize("one", [ABOVE, EVERYTHING])
@pytest.mark.parametrize("zero", [BELOW, ONE, NOTHING])
def test_regimes(one, zero):
    assert regime_of(one, one) is Regime.BOTH
    assert regime_of(one, zero) is Regime.CA_ONLY
    assert regime_of(zero, one) is Regime.CP_ONLY
    assert regime_of(zero, zero) is Regime.NEITHER


@pytest.mark.parametrize(
    ("forward", "reverse", "expected"),
    [
        (ABOVE, BELOW, Direction.X_TO_Y),
        (BELOW, ABOVE, Direction.Y_TO_X),
        (Ratio(1.2, OK), ABOVE, Direction.Y_TO_X),
        (ABOVE, Ratio(1.2, OK), Direction.X_TO_Y),
        (ABOVE, ABOVE, Direction.X_TO_Y),
        (EVERYTHING, EVERYTHING, Direction.X_TO_Y),
        (EVERYTHING, ABOVE, Direction.X_TO_Y),
        (ABOVE, EVERYTHING, Direction.Y_TO_X),
        (NOTHING, ABOVE, Direction.Y_TO_X),
        (ABOVE, NOTHING, Direction.X_TO_Y),
        (ONE, BELOW, None),
        (NOTHING, NOTHING, None),
    ],
)
def test_direction(forward, reverse, expected):
    assert direction_of(forward, reverse) is expected


@pytest.mark.parametrize(
    ("signal", "nuisance", "expected"),
    [(3.0, 2.0, Ratio(1.5, OK)), (0.0, 2.0, NOTHING), (3.0, 0.0, EVERYTHING), (0.0, 0.0, NOTHING)],
)
def test_composite_ratio(signal, nuisance, expected):
    assert composite_ratio(signal, nuisance) == expected


@pytest.mark.parametrize(
    ("signal", "nuisance", "expected"),
    [
        (3.0, 2.0, Ratio(1.5, OK)),
        (0.0, 0.0, NOTHING),
        (1.0, 0.0, EVERYTHING),
        (1e300, 1e-300, EVERYTHING),  # the quotient leaves double precision, and JSON has no infinity
    ],
)
def test_a_composite_ratio_is_finite_or_says_why_not(signal, nuisance, expected):
    assert composite_ratio(signal, nuisance) == expected
