import numpy as np
import pytest
from scipy import integrate, stats

from service.estimation.posterior.exchangeable import class_group, exchangeable, shrunk, stack

SPREADS, WEIGHTS = np.array([0.05, 0.3, 0.9]), np.array([0.2, 0.5, 0.3])
CENTRE, WIDTH2, NOISE = 0.3, 0.4, 0.02
CLASS = exchangeable(SPREADS, WEIGHTS, CENTRE, WIDTH2, NOISE)
OTHER = exchangeable(np.array([0.1, 0.4]), np.ones(2), -0.5, 1.3, 0.1)
VALUES = np.array([0.1, 0.45, 0.7, -0.2])
STANDARD_ERRORS = 5.0  # by which a seeded mean may miss its expectation


def integrated(values):
    """log p of members by quadrature over the mean, for every spread of the grid."""
    total = 0.0
    for spread, weight in zip(SPREADS, WEIGHTS, strict=True):
        scale = np.sqrt(spread**2 + NOISE)
        total += (
            weight
            * integrate.quad(
                lambda mu, scale=scale: float(
                    stats.norm.pdf(values, mu, scale).prod() * stats.norm.pdf(mu, CENTRE, np.sqrt(WIDTH2))
                ),
                CENTRE - 6,
                CENTRE + 6,
                points=[values.mean()] if len(values) else None,
                epsabs=1e-13,
            )[0]
        )
    return np.log(total)


@pytest.mark.parametrize("count", [1, 2, 4])
def test_log_marginal_is_the_integral_over_mean_and_spread(count):
    values = VALUES[:count]
    # Each member's factor sqrt(2 pi) is left out: members are only ever compared at equal numbers of values.
    np.testing.assert_allclose(CLASS.of(values) - 0.5 * count * np.log(2 * np.pi), integrated(values), rtol=1e-7)


def test_a_class_without_members_has_probability_one():
    assert CLASS.of(np.empty(0)) == pytest.approx(0.0, abs=1e-12)


def test_weights_need_not_sum_to_one():
    doubled = exchangeable(SPREADS, 2 * WEIGHTS, CENTRE, WIDTH2, NOISE)
    assert doubled.of(VALUES) == pytest.approx(CLASS.of(VALUES), rel=1e-12)


def test_many_sets_of_members_at_once():
    sets = [VALUES[:2], VALUES]
    d = [values - CENTRE for values in sets]
    found = CLASS.log_marginal(
        np.array([2.0, 4.0]), np.array([part.sum() for part in d]), np.array([part @ part for part in d])
    )
    np.testing.assert_allclose(found, [CLASS.of(values) for values in sets], rtol=1e-12)


def test_a_stack_is_its_classes_side_by_side():
    d, e = VALUES - CLASS.centre, VALUES[:3] - OTHER.centre
    found = stack((CLASS, OTHER)).log_marginal(
        np.array([[4.0], [3.0]]), np.array([[d.sum()], [e.sum()]]), np.array([[d @ d], [e @ e]])
    )
    np.testing.assert_allclose(found[:, 0], [CLASS.of(VALUES), OTHER.of(VALUES[:3])], rtol=1e-12)


def test_probability_given_the_others_is_a_ratio_of_marginals():
    values = np.stack([VALUES, VALUES[::-1] + 0.1])
    inside = np.array([[True, False, True, False], [False, False, False, True]])
    found = stack((CLASS, OTHER)).given_others(values, inside)
    for place, prior in enumerate((CLASS, OTHER)):
        for i in range(4):
            others = inside[place].copy()
            others[i] = False
            with_it = others.copy()
            with_it[i] = True
            expected = prior.of(values[place][with_it]) - prior.of(values[place][others])
            assert found[place, i] == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_a_group_sums_its_classes_and_knows_their_gradient():
    values = np.array([0.1, 0.9, -0.4, 0.35, 1.2])
    members = (np.array([0, 3]), np.array([], dtype=int), np.array([1, 2, 4]))
    group = class_group(stack((CLASS, OTHER, OTHER)), members, 5)
    value, gradient = group.value_and_gradient(values)
    assert value == pytest.approx(CLASS.of(values[[0, 3]]) + OTHER.of(values[[1, 2, 4]]), rel=1e-12)
    step = 1e-5
    for i in range(5):
        up, down = values.copy(), values.copy()
        up[i] += step
        down[i] -= step
        difference = (group.value_and_gradient(up)[0] - group.value_and_gradient(down)[0]) / (2 * step)
        assert gradient[i] == pytest.approx(difference, rel=1e-6, abs=1e-7)


def test_drawn_spreads_have_their_posterior_weights():
    size = 20000
    mu, spread = CLASS.draw_parameters(VALUES, np.random.default_rng(0), size)
    logs = []
    for one, weight in zip(SPREADS, WEIGHTS, strict=True):
        covariance = (one**2 + NOISE) * np.eye(4) + WIDTH2
        logs.append(np.log(weight) + stats.multivariate_normal.logpdf(VALUES, np.full(4, CENTRE), covariance))
    weights = np.exp(logs - np.max(logs))
    weights /= weights.sum()
    found = np.array([(spread == one).mean() for one in SPREADS])
    np.testing.assert_allclose(found, weights, atol=STANDARD_ERRORS * 0.5 / np.sqrt(size))
    precision = 4 / (SPREADS**2 + NOISE) + 1 / WIDTH2
    means = (VALUES.sum() / (SPREADS**2 + NOISE) + CENTRE / WIDTH2) / precision
    for place, one in enumerate(SPREADS):
        of_one = mu[spread == one]
        if len(of_one) > 100:
            error = STANDARD_ERRORS / np.sqrt(precision[place] * len(of_one))
            assert of_one.mean() == pytest.approx(means[place], abs=error)
            assert of_one.var() * precision[place] == pytest.approx(1.0, abs=STANDARD_ERRORS * np.sqrt(2 / len(of_one)))


def test_drawn_members_have_the_conjugate_mean_and_variance():
    spread, size = 0.3, 40000
    prior = exchangeable(np.array([spread]), np.ones(1), CENTRE, WIDTH2, NOISE)
    drawn = prior.draw_members(VALUES, np.random.default_rng(0), size)
    covariance = spread**2 * np.eye(4) + WIDTH2
    gain = covariance @ np.linalg.inv(covariance + NOISE * np.eye(4))
    mean = CENTRE + gain @ (VALUES - CENTRE)
    variance = (covariance - gain @ covariance).diagonal()
    np.testing.assert_allclose(drawn.mean(axis=0), mean, atol=STANDARD_ERRORS * np.sqrt(variance.max() / size))
    np.testing.assert_allclose(drawn.var(axis=0), variance, rtol=STANDARD_ERRORS * np.sqrt(2 / size))


def test_members_seen_with_more_noise_are_drawn_nearer_to_their_class():
    noisy = exchangeable(SPREADS, WEIGHTS, CENTRE, WIDTH2, 1.0)
    near, far = (prior.draw_members(VALUES, np.random.default_rng(0), 4000).mean(axis=0) for prior in (CLASS, noisy))
    assert np.ptp(far) < 0.5 * np.ptp(near)


def test_shrunk_values_have_the_normal_posterior():
    size = 40000
    mean, variance, noise = np.array([1.0, -2.0]), np.array([0.5, 4.0]), 0.25
    values = np.array([2.0, 0.0])
    drawn = shrunk(values, noise, mean, variance, np.random.default_rng(0), size)
    posterior = variance * noise / (variance + noise)
    expected = (variance * values + noise * mean) / (variance + noise)
    np.testing.assert_allclose(drawn.mean(axis=0), expected, atol=STANDARD_ERRORS * np.sqrt(posterior.max() / size))
    np.testing.assert_allclose(drawn.var(axis=0), posterior, rtol=STANDARD_ERRORS * np.sqrt(2 / size))
