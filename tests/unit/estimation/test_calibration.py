import numpy as np
import pytest

from service.estimation.calibration import (
    LOG_LIMIT,
    MARGIN,
    SMOOTHING,
    WIDENING,
    Circumstances,
    cell_probabilities,
    log_interval,
    temperature,
)

GIVEN = Circumstances(spiked=True, crowding=0.2, one_target=False, n_pairs=400.0)
LEVEL = 0.9


def given(**changes):
    return Circumstances(**{"spiked": True, "crowding": 0.2, "one_target": False, "n_pairs": 400.0} | changes)


@pytest.mark.parametrize("spiked", [True, False])
def test_temperature_rises_with_crowding_up_to_one_coordinate_a_pair(spiked):
    temperatures = [temperature(given(spiked=spiked, crowding=c)) for c in (0.0, 0.1, 0.5, 1.0, 3.0)]
    assert temperatures[0] >= 1.0
    assert (np.diff(temperatures[:4]) > 0).all()
    assert temperatures[4] == temperatures[3]


def test_temperature_is_higher_without_the_spiked_model_and_with_one_target():
    assert temperature(given(spiked=False)) > temperature(given())
    assert temperature(given(spiked=False, one_target=True)) > temperature(given(spiked=False))
    assert temperature(given(one_target=True)) == temperature(given())


def test_probabilities_are_tempered_shares_of_the_draws():
    draws = np.array([[1.0, 1.0, -1.0]] * 30 + [[-1.0, 1.0, 1.0]] * 10)
    found = cell_probabilities(draws, GIVEN)
    assert found.shape == (2, 2, 2)
    assert found.sum() == pytest.approx(1.0, rel=1e-12)
    assert (found > 0).all()
    odds = found[1, 1, 0] / found[0, 1, 1]
    assert odds == pytest.approx(((0.75 + SMOOTHING) / (0.25 + SMOOTHING)) ** (1 / temperature(GIVEN)), rel=1e-12)
    assert found[0, 0, 0] == found[1, 1, 1]
    assert np.argmax(found) == np.ravel_multi_index((1, 1, 0), (2, 2, 2))


def test_without_a_temperature_probabilities_are_the_shares():
    draws = np.array([[1.0, -1.0, -1.0]] * 3 + [[-1.0, -1.0, 1.0]])
    found = cell_probabilities(draws, given(crowding=0.0))
    total = 1 + 8 * SMOOTHING
    assert found[1, 0, 0] == pytest.approx((0.75 + SMOOTHING) / total, rel=1e-12)
    assert found[0, 0, 1] == pytest.approx((0.25 + SMOOTHING) / total, rel=1e-12)


def test_no_signal_at_all_is_the_cell_in_which_nothing_recovers():
    found = cell_probabilities(np.full((5, 3), -np.inf), GIVEN)
    assert found[0, 0, 0] == found.max()
    assert found[0, 0, 0] > 0.5


def test_crowded_data_are_less_sure():
    draws = np.array([[1.0, 1.0, 1.0]] * 9 + [[-1.0, -1.0, -1.0]])
    sure = [cell_probabilities(draws, given(crowding=c)).max() for c in (0.0, 0.3, 1.0)]
    assert sure[0] > sure[1] > sure[2] > 1 / 8


def test_intervals_are_quantiles_moved_away_from_the_median():
    draws = np.random.default_rng(0).normal(0.4, 0.2, 999)
    low, median, high = log_interval(draws, LEVEL, GIVEN)
    ends = np.quantile(draws, [0.05, 0.5, 0.95])
    factor, margin = WIDENING * temperature(GIVEN), MARGIN / 20
    assert median == pytest.approx(ends[1], rel=1e-12)
    assert low == pytest.approx(ends[1] - factor * (ends[1] - ends[0]) - margin, rel=1e-12)
    assert high == pytest.approx(ends[1] + factor * (ends[2] - ends[1]) + margin, rel=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_ends_are_in_order_and_wider_for_more_coverage_crowding_and_fewer_pairs(seed):
    draws = np.random.default_rng(seed).standard_normal(50)
    low, median, high = log_interval(draws, LEVEL, GIVEN)
    assert low <= median <= high
    for wider in (
        log_interval(draws, 0.99, GIVEN),
        log_interval(draws, LEVEL, given(crowding=0.9)),
        log_interval(draws, LEVEL, given(n_pairs=25.0)),
        log_interval(draws, LEVEL, given(spiked=False)),
    ):
        assert wider[0] < low
        assert wider[2] > high
        assert wider[1] == median


def test_ends_beyond_the_limit_are_unbounded():
    draws = np.array([0.0] * 5 + [np.inf] * 5 + [0.5])
    low, median, high = log_interval(draws, LEVEL, GIVEN)
    assert high == np.inf
    assert np.isfinite([low, median]).all()
    assert log_interval(-draws, LEVEL, GIVEN)[0] == -np.inf
    never = log_interval(np.full(8, -np.inf), LEVEL, GIVEN)
    assert never[:2] == (-np.inf, -LOG_LIMIT)


def test_one_draw_still_has_a_margin():
    low, median, high = log_interval(np.array([0.3]), LEVEL, GIVEN)
    assert (low, median, high) == pytest.approx((0.3 - MARGIN / 20, 0.3, 0.3 + MARGIN / 20), rel=1e-12)
