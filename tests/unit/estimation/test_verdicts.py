import numpy as np
import pytest

from service.estimation.separation_records import RecoveryProbability, RegimeShares
from service.estimation.terms import Direction, Regime, Verdict
from service.estimation.verdicts import (
    better_direction,
    most_probable,
    probability_of,
    recovery_probability,
    regime_probabilities,
    verdict,
)

CELLS = np.random.default_rng(0).dirichlet(np.ones(8)).reshape(2, 2, 2)


@pytest.mark.parametrize(
    ("probability", "expected"),
    [
        (1.0, Verdict.RECOVERS),
        (0.8, Verdict.RECOVERS),
        (0.7999, Verdict.UNDETERMINED),
        (0.5, Verdict.UNDETERMINED),
        (0.2001, Verdict.UNDETERMINED),
        (0.2, Verdict.DOES_NOT_RECOVER),
        (0.0, Verdict.DOES_NOT_RECOVER),
    ],
)
def test_a_verdict_takes_a_probability_of_four_fifths_either_way(probability, expected):
    assert verdict(probability) is expected


def test_probabilities_are_sums_over_cells():
    found = recovery_probability(CELLS)
    regimes = regime_probabilities(CELLS)
    recovery = {"ca": 0.0, "cp_x_to_y": 0.0, "cp_y_to_x": 0.0}
    shares = {way: dict.fromkeys(Regime, 0.0) for way in ("x_to_y", "y_to_x")}
    of_pair = {(1, 1): Regime.BOTH, (1, 0): Regime.CA_ONLY, (0, 1): Regime.CP_ONLY, (0, 0): Regime.NEITHER}
    for (ca, forward, reverse), probability in np.ndenumerate(CELLS):
        for name, recovers in zip(recovery, (ca, forward, reverse), strict=True):
            recovery[name] += probability * recovers
        shares["x_to_y"][of_pair[ca, forward]] += probability
        shares["y_to_x"][of_pair[ca, reverse]] += probability
    assert vars(found) == pytest.approx(recovery)
    for way, expected in shares.items():
        of_way = getattr(regimes, way)
        assert {regime: probability_of(of_way, regime) for regime in Regime} == pytest.approx(expected)
        assert sum(vars(of_way).values()) == pytest.approx(1.0)
        assert of_way.both + of_way.ca_only == pytest.approx(found.ca)
        assert of_way.both + of_way.cp_only == pytest.approx(getattr(found, f"cp_{way}"))


@pytest.mark.parametrize("regime", list(Regime))
def test_the_most_probable_regime(regime):
    shares = RegimeShares(**{other.value: 0.4 if other is regime else 0.2 for other in Regime})
    assert most_probable(shares) is regime


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        (RegimeShares(0.25, 0.25, 0.25, 0.25), Regime.NEITHER),
        (RegimeShares(0.3, 0.3, 0.3, 0.1), Regime.CP_ONLY),
        (RegimeShares(0.4, 0.4, 0.1, 0.1), Regime.CA_ONLY),
    ],
)
def test_the_more_cautious_regime_on_a_tie(shares, expected):
    assert most_probable(shares) is expected


@pytest.mark.parametrize(
    ("x_to_y", "y_to_x", "forward", "expected"),
    [
        (0.9, 0.9, 0.7, (Direction.X_TO_Y, 0.7)),
        (0.9, 0.9, 0.25, (Direction.Y_TO_X, 0.75)),
        (0.5, 0.5, 0.5, (Direction.X_TO_Y, 0.5)),
        (0.9, 0.1, 0.9, (Direction.X_TO_Y, 0.9)),
        (0.55, 0.45, 0.375, (Direction.X_TO_Y, 0.375)),  # the other way may be larger, but hardly recovers
        (0.45, 0.55, 0.75, (Direction.Y_TO_X, 0.25)),
        (0.49, 0.49, 0.9, None),
    ],
)
def test_the_better_direction_is_one_that_probably_recovers(x_to_y, y_to_x, forward, expected):
    recovery = RecoveryProbability(ca=0.9, cp_x_to_y=x_to_y, cp_y_to_x=y_to_x)
    assert better_direction(recovery, forward) == expected


def test_a_way_that_surely_recovers_comes_before_one_that_only_may():
    recovery = RecoveryProbability(ca=0.1, cp_x_to_y=0.85, cp_y_to_x=0.6)
    assert better_direction(recovery, 0.45) == (Direction.X_TO_Y, 0.45)
    assert better_direction(RecoveryProbability(ca=0.1, cp_x_to_y=0.85, cp_y_to_x=0.9), 0.45) == (
        Direction.Y_TO_X,
        pytest.approx(0.55),
    )
