import numpy as np
import pytest

from service.estimation.classification import elbow, elbow_log, permutation


def brute_force_count(curve):
    """The breakpoint at which two lines fitted with polyfit leave least; the first on ties."""

    def residual(values):
        if len(values) < 3:
            return 0.0
        place = np.arange(len(values))
        return float(((values - np.polyval(np.polyfit(place, values, 1), place)) ** 2).sum())

    ordered = np.sort(curve)[::-1]
    costs = [residual(ordered[:b]) + residual(ordered[b:]) for b in range(1, len(ordered))]
    return int(np.argmin(costs)) + 1


@pytest.mark.parametrize("count", [3, 4, 5, 9, 32, 50])
@pytest.mark.parametrize("seed", range(8))
def test_elbow_is_that_of_polyfit(seed, count):
    rng = np.random.default_rng(seed)
    r2 = np.maximum(rng.standard_normal((count, 3)), 0.0) * rng.uniform(0, 1, (count, 1)) ** 4 + 1e-6
    sums = r2.sum(axis=1)
    for rule, curve in ((elbow, sums), (elbow_log, np.log(sums + max(0.01 * sums.min(), 1e-12)))):
        expected = np.zeros(count, dtype=bool)
        expected[np.argsort(-sums, kind="stable")[: brute_force_count(curve)]] = True
        np.testing.assert_array_equal(rule(r2), expected, strict=True)


@pytest.mark.parametrize("rule", [elbow, elbow_log])
class TestEitherElbow:
    def test_no_r2_is_no_signal(self, rule):
        assert rule(np.zeros((6, 2))).tolist() == [False] * 6

    def test_one_component_with_r2_is_signal(self, rule):
        assert rule(np.array([[0.2, 0.0]])).tolist() == [True]

    def test_one_component_without_r2_is_not(self, rule):
        assert rule(np.array([[0.0, 0.0]])).tolist() == [False]

    def test_two_components_split(self, rule):
        assert rule(np.array([[0.1], [0.7]])).tolist() == [False, True]

    def test_never_are_all_components_signal(self, rule):
        assert rule(np.full((5, 2), 0.5)).sum() < 5

    def test_ties_go_to_the_earlier_component(self, rule):
        signal = rule(np.array([[0.0], [0.4], [0.4], [0.0]]))
        assert signal.tolist() in ([False, True, True, False], [False, True, False, False])

    def test_ties_go_to_the_first_of_many(self, rule):
        assert np.flatnonzero(rule(np.full((50, 2), 0.5))).tolist() == [0]

    def test_first_breakpoint_on_ties(self, rule):
        assert rule(np.array([[0.3], [0.2], [0.1]])).sum() == 1


def test_elbow_sums_over_labels():
    r2 = np.array([[0.9, 0.0], [0.5, 0.5], [0.0, 0.01], [0.0, 0.0], [0.01, 0.0]])
    assert elbow(r2).tolist() == [True, True, False, False, False]


def test_logarithm_sees_a_weak_component_that_the_plain_elbow_misses():
    r2 = np.array([0.9, 0.03, 0.02, 0.0, 0.0, 0.0, 0.0])[:, None]
    assert elbow(r2).tolist() == [True, True] + [False] * 5
    assert elbow_log(r2).tolist() == [True, True, True] + [False] * 4


def test_permutation_pools_shuffles_and_components():
    null = np.random.default_rng(0).uniform(0, 1, (40, 3, 2))
    largest, total = np.quantile(null.max(2), 0.95), np.quantile(null.sum(2), 0.95)
    assert 1 < total < 2 * largest
    r2 = np.array([[largest + 1e-9, 0.0], [largest - 1e-9, 0.0], [total / 2 + 1e-9, total / 2 + 1e-9]])
    assert permutation(r2, iter(null), 0.95).tolist() == [True, False, True]


def test_permutation_asks_for_more_than_the_quantile():
    null = [np.full((3, 2), 0.25)] * 4
    assert permutation(np.full((3, 2), 0.25), null, 0.95).tolist() == [False] * 3
    assert permutation(np.full((3, 2), 0.26), null, 0.95).tolist() == [True] * 3
