"""Rearrangements against exhaustive ones, and p-values against their definitions."""

from itertools import permutations

import numpy as np
import pytest

from service.estimation import resampling
from service.estimation.resampling import (
    association_energies,
    combined_p,
    sign_patterns,
    standardised,
    step_down,
    tail,
)


def drawn(seed, m, c, n_labels):
    rng = np.random.default_rng(seed)
    scores = rng.standard_normal((m, c)) * np.geomspace(0.1, 10, c) + 3
    return scores, scores[:, :1] + rng.standard_normal((m, n_labels))


def energies(scores, targets, groups=None, resamples=19, weights=None):
    weights = np.ones((scores.shape[1], 1)) if weights is None else weights
    return association_energies(scores, targets, groups, weights, resamples, np.random.default_rng(0))


def correlations(scores, targets):
    return np.corrcoef(scores.T, targets.T)[: scores.shape[1], scores.shape[1] :]


def test_observed_energies_are_squared_correlations():
    scores, targets = drawn(0, 30, 4, 3)
    weights = np.array([[1.0, 0.0], [0.5, 0.0], [0.0, 2.0], [0.0, 0.1]])
    found = energies(scores, targets, weights=weights)
    expected = 30 * correlations(scores, targets) ** 2
    np.testing.assert_allclose(found.best_target[0], (weights.T @ expected).max(axis=1))
    np.testing.assert_allclose(found.total[0], expected.sum(axis=1))
    np.testing.assert_allclose(found.largest[0], expected.max(axis=1))
    assert found.n_units == 30


def test_a_missing_label_drops_out_of_its_column_alone():
    scores, targets = drawn(1, 40, 2, 2)
    targets[:15, 0] = np.nan
    # About the mean of all scores, not of those with a label: a label's own mean is taken off, so that it is the same.
    standard = (scores - scores.mean(axis=0)) / scores.std(axis=0)
    first = targets[15:, 0] - targets[15:, 0].mean()
    expected = (standard[15:].T @ first) ** 2 / (first @ first) + 40 * correlations(scores, targets[:, 1:])[:, 0] ** 2
    np.testing.assert_allclose(energies(scores, targets).total[0], expected)


@pytest.mark.parametrize(("m", "cycle"), [(5, 400), (7, 3), (6, 3)])
def test_every_row_is_a_permutation_of_label_rows(monkeypatch, m, cycle):
    monkeypatch.setattr(resampling, "CYCLE", cycle)
    scores, targets = drawn(2, m, 3, 2)
    found = energies(scores, targets)
    every = np.stack(
        [(m * correlations(scores, targets[list(order)]) ** 2).sum(axis=1) for order in permutations(range(m))]
    )
    distances = np.abs(found.total[:, None] - every).max(axis=2).min(axis=1)
    assert distances.max() < 1e-9
    assert len(np.unique(found.total[:, 0].round(9))) > 5
    assert len(found.total) >= 20


def test_chunks_of_label_targets_change_nothing(monkeypatch):
    scores, targets = drawn(3, 50, 3, 7)
    groups = np.arange(50) // 3
    whole = [energies(scores, targets, g) for g in (None, groups)]
    monkeypatch.setattr(resampling, "CHUNK_VALUES", 1)
    for before, g in zip(whole, (None, groups), strict=True):
        after = energies(scores, targets, g)
        np.testing.assert_allclose(after.total, before.total)
        np.testing.assert_allclose(after.largest, before.largest)
        np.testing.assert_allclose(after.best_target, before.best_target)


def looped_flips(scores, targets, groups, scale):
    """Total energies of every pattern of signs of groups but the last, the observed ones first."""
    ids, sizes = np.unique(groups, return_counts=True)
    weights = 1 / np.sqrt(sizes[np.searchsorted(ids, groups)])
    u = standardised(scores, weights) * np.sqrt(np.sqrt(sizes).sum())
    z = standardised(targets, weights) * weights[:, None]
    contributions = np.stack([u[groups == g].T @ z[groups == g] for g in ids])
    rows = [(contributions.sum(axis=0) ** 2).sum(axis=1)]
    for pattern in range(1, 2 ** (len(ids) - 1)):
        signs = np.array([-1.0 if pattern >> place & 1 else 1.0 for place in range(len(ids))])
        rows.append((np.tensordot(signs * scale, contributions, 1) ** 2).sum(axis=1))
    return np.stack(rows)


def test_groups_are_flipped_in_every_pattern_while_they_are_few():
    groups = np.array([3, 3, 3, 3, 5, 5, 8, 8, 8, 9])
    scores, targets = drawn(4, 10, 3, 2)
    found = energies(scores, targets, groups)
    expected = looped_flips(scores, targets, groups, resampling._flip_scale(np.sqrt([4, 2, 3, 1])))
    assert found.total.shape == (8, 3)
    np.testing.assert_allclose(found.total[0], expected[0])
    np.testing.assert_allclose(np.sort(found.total[1:], axis=0), np.sort(expected[1:], axis=0))
    assert found.n_units == 4


def test_groups_beyond_the_largest_number_of_units_are_flipped_together(monkeypatch):
    monkeypatch.setattr(resampling, "MAX_UNITS", 3)
    scores, targets = drawn(5, 18, 2, 2)
    found = energies(scores, targets, np.arange(18) // 2)
    assert len(found.total) == 4
    assert found.n_units == 9
    monkeypatch.undo()
    np.testing.assert_allclose(found.total[0], energies(scores, targets, np.arange(18) // 2).total[0])


def test_flips_of_identical_rows_vary_as_the_observed_sum_does():
    weights = np.array([1.0, 2.0, 2.0, 5.0])
    projection = np.eye(4) - weights / weights.sum()  # takes the weighted mean off
    covariance = projection @ projection.T
    observed = (np.outer(weights, weights) * covariance**2).sum()
    flipped = ((weights * np.diag(covariance) * resampling._flip_scale(weights)) ** 2).sum()
    assert flipped == pytest.approx(observed)


def test_groups_of_one_row_are_rows():
    scores, targets = drawn(6, 30, 2, 2)
    np.testing.assert_array_equal(energies(scores, targets, np.arange(30)[::-1]).total, energies(scores, targets).total)


def test_a_single_group_cannot_be_rearranged():
    scores, targets = drawn(7, 12, 2, 2)
    assert energies(scores, targets, np.zeros(12)).total.shape == (1, 2)


@pytest.mark.parametrize("grouped", [False, True])
def test_what_does_not_vary_has_no_energy(grouped):
    scores, targets = drawn(8, 24, 3, 3)
    scores[:, 1] = 0.1
    targets[:, 0], targets[:, 2] = 1e9, np.nan
    found = energies(scores, targets, np.arange(24) // 2 if grouped else None)
    assert (found.total[:, 1] == 0).all()
    assert (found.total[:, [0, 2]] > 0).all()
    np.testing.assert_array_equal(found.total, found.largest)


def test_patterns_are_all_there_are_or_as_many_as_asked_for():
    few = sign_patterns(4, 19, np.random.default_rng(0))
    assert few.shape == (8, 4)
    assert len(np.unique(few * few[:, :1], axis=0)) == 8
    many = sign_patterns(30, 19, np.random.default_rng(0))
    assert many.shape == (20, 30)
    assert set(np.unique(many)) == {-1.0, 1.0}
    for patterns in (few, many, sign_patterns(1, 19, np.random.default_rng(0))):
        assert (patterns[0] == 1).all()


def test_tail_is_the_share_that_reaches_a_value():
    values = np.array([[3.0, 1.0], [2.0, 2.0 + 1e-12], [0.0, 5.0]])
    np.testing.assert_allclose(tail(values), [[2 / 6, 5 / 6], [4 / 6, 4 / 6], [1.0, 1 / 6]])


def test_one_statistic_has_its_own_p_value():
    values = np.random.default_rng(9).chisquare(1, 50)
    assert combined_p(values[:, None]) == pytest.approx((values >= values[0]).mean())


def test_statistics_are_combined_as_a_loop_does():
    statistics = np.random.default_rng(10).chisquare(1, (50, 4))
    sums = [sum(1 / (statistics[:, k] >= row[k]).mean() for k in range(4)) for row in statistics]
    assert combined_p(statistics) == pytest.approx(np.mean([each >= sums[0] for each in sums]))


def test_the_choice_among_statistics_is_paid_for():
    p_values = []
    for draw in range(200):
        statistics = np.random.default_rng([draw, 12]).chisquare(1, (100, 6))
        p_values.append(combined_p(statistics))
    assert np.mean(np.array(p_values) <= 0.1) == pytest.approx(0.1, abs=0.05)
    statistics[0] = statistics.max() + 1
    assert combined_p(statistics) == pytest.approx(1 / 100)


def test_step_down_same_as_its_definition():
    statistics = (
        np.random.default_rng(11).chisquare(1, (60, 5)) + np.array([0, 3, 0, 1, 0]) * (np.arange(60) == 0)[:, None]
    )
    order = list(np.argsort(-statistics[0]))
    expected, least = np.zeros(5), 0.0
    for place, component in enumerate(order):
        rest = order[place:]
        least = max(least, np.mean([row[rest].max() >= statistics[0, component] for row in statistics]))
        expected[component] = least
    np.testing.assert_allclose(step_down(statistics), expected)
    assert len(set(expected)) > 2
