import numpy as np
import pytest
from scipy import integrate, stats

from service.estimation.posterior.labels import (
    ACROSS,
    SCALE,
    SHAPE,
    Loading,
    appreciable,
    fitted,
    inverted,
    log_likelihood,
    score_products,
)
from service.estimation.posterior.moments import block_diagonal, inverse_root

from .worlds import label_moments, rotation

DX, DY, R, M = 5, 3, 3, 25
LOADING = Loading(slab=0.4, psi=0.7)


def data(seed=0, n_targets=2):
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((M, DX)), rng.standard_normal((M, DY))
    targets = 0.5 * x[:, :1] + rng.standard_normal((M, n_targets))
    axes_x, axes_y = rotation(rng, DX)[:, :R], rotation(rng, DY)[:, :R]
    a, b = 0.3 * rng.standard_normal(R), 0.3 * rng.standard_normal(R)
    return x, y, targets, axes_x, axes_y, a, b


def design(x, y, axes_x, axes_y, a, b, members):
    """Columns (e_1, d_1, e_2, d_2, ...) of the members' scores."""
    u = (x - x.mean(axis=0)) @ axes_x * np.exp(-0.5 * a)
    v = (y - y.mean(axis=0)) @ axes_y * np.exp(-0.5 * b)
    cos, sin = np.cos(LOADING.psi), np.sin(LOADING.psi)
    columns = []
    for i in members:
        columns += [cos * u[:, i] + sin * v[:, i], -sin * u[:, i] + cos * v[:, i]]
    return np.array(columns).T.reshape(len(x), -1)


def prior_variances(k):
    return np.tile([LOADING.slab, LOADING.slab * ACROSS], k)


def evidence(target, z):
    """log of the integral over the noise variance of the targets' normal density, coefficients integrated out."""
    covariance = np.eye(len(z)) + (z * prior_variances(z.shape[1] // 2)) @ z.T

    def integrand(log_variance):
        variance = np.exp(log_variance)
        density = stats.multivariate_normal.logpdf(target, np.zeros(len(z)), variance * covariance)
        prior = stats.invgamma.logpdf(variance, SHAPE, scale=SCALE)
        return float(np.exp(density + prior + log_variance + 30.0))

    return np.log(integrate.quad(integrand, -6, 6, epsabs=0, epsrel=1e-10, limit=200)[0])


def log_factor(targets, z, place):
    """log of the posterior mean of sum_q beta^2 / (sigma^2 L slab) of one component, by the regression's formulas."""
    precision = z.T @ z + np.diag(1 / prior_variances(z.shape[1] // 2))
    inverse = np.linalg.inv(precision)
    total = 0.0
    for target in targets.T:
        coefficients = inverse @ z.T @ target
        scale = SCALE + 0.5 * (target @ target - target @ z @ coefficients)
        total += coefficients[2 * place] ** 2 * (SHAPE + 0.5 * len(z)) / scale + inverse[2 * place, 2 * place]
    return np.log(total / (targets.shape[1] * LOADING.slab))


@pytest.mark.parametrize("members", [[], [1], [0, 2], [0, 1, 2]])
def test_likelihood_is_the_normal_density_with_coefficients_and_noise_integrated_out(members):
    x, y, targets, *frame = data()
    centred = targets - targets.mean(axis=0)
    products = score_products([label_moments(x, y, targets)], *frame)

    def direct(members):
        z = design(x, y, *frame, members)
        total = sum(evidence(target, z) for target in centred.T)
        return total + sum(log_factor(centred, z, place) for place in range(len(members)))

    found = log_likelihood(products, np.array(members, dtype=int), LOADING)
    found -= log_likelihood(products, np.array([0]), LOADING)
    assert found == pytest.approx(direct(members) - direct([0]), rel=1e-6, abs=1e-6)


def test_sets_of_labels_add_up():
    x, y, targets, *frame = data()
    sets = [label_moments(x, y, targets[:, :1]), label_moments(x[:15], y[:15], targets[:15])]
    members = np.array([0, 2])
    together = log_likelihood(score_products(sets, *frame), members, LOADING)
    apart = [log_likelihood(score_products([part], *frame), members, LOADING) for part in sets]
    assert together == pytest.approx(sum(apart), rel=1e-12)


def test_score_products_are_those_of_the_scores():
    x, y, targets, *frame = data()
    (products,) = score_products([label_moments(x, y, targets)], *frame)
    turned = products.turned(LOADING.turn).of(np.array([0, 2]))
    z = design(x, y, *frame, [0, 2])
    np.testing.assert_allclose(turned.gram.reshape(4, 4), z.T @ z, rtol=1e-10, atol=1e-10)
    centred = targets - targets.mean(axis=0)
    np.testing.assert_allclose(turned.cross.reshape(4, 2), z.T @ centred, rtol=1e-10, atol=1e-10)


def test_labels_read_from_both_modalities_prefer_an_angle_between():
    rng = np.random.default_rng(2)
    shared = rng.standard_normal((400, 1))
    x, y = shared + 0.7 * rng.standard_normal((400, 1)), shared + 0.7 * rng.standard_normal((400, 1))
    one = np.eye(1)
    products = score_products([label_moments(x, y, shared)], one, one, np.zeros(1), np.zeros(1))
    values = [log_likelihood(products, np.array([0]), Loading(0.4, psi)) for psi in np.linspace(0, np.pi / 2, 5)]
    assert int(np.argmax(values)) == 2


def test_a_component_that_no_label_depends_on_lowers_the_likelihood_and_one_that_some_do_raises_it():
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal((200, 4)), rng.standard_normal((200, 3))
    targets = x[:, :1] + y[:, :1] + 0.5 * rng.standard_normal((200, 1))
    products = score_products([label_moments(x, y, targets)], np.eye(4)[:, :3], np.eye(3), np.zeros(3), np.zeros(3))
    nothing, first, both = (log_likelihood(products, np.array(s, dtype=int), LOADING) for s in ([], [0], [0, 1]))
    assert first - nothing > 20
    assert both - first < -2


def test_appreciable_is_large_for_large_coefficients_and_small_for_none():
    x, y, targets, *frame = data(n_targets=1)
    (products,) = score_products([label_moments(x, y, targets)], *frame)
    fit = fitted(products.turned(LOADING.turn), LOADING.slab)
    z = design(x, y, *frame, range(R))
    centred = targets - targets.mean(axis=0)
    expected = [log_factor(centred, z, place) for place in range(R)]
    np.testing.assert_allclose(appreciable(fit, LOADING.slab), expected, rtol=1e-9)


def test_inverse_and_log_determinant():
    rng = np.random.default_rng(0)
    root = rng.standard_normal((6, 4))
    matrix = root.T @ root
    inverse, log_determinant = inverted(matrix)
    np.testing.assert_allclose(inverse, np.linalg.inv(matrix), rtol=1e-9, atol=1e-12)
    assert log_determinant == pytest.approx(np.linalg.slogdet(matrix)[1], rel=1e-12)
    with pytest.raises(np.linalg.LinAlgError):
        inverted(np.diag([1.0, -1.0]))


def test_mapped_moments_are_those_of_mapped_rows():
    x, y, targets, *_ = data()
    rng = np.random.default_rng(5)
    to_x, to_y = rng.standard_normal((DX, 2)), rng.standard_normal((DY, 3))
    found = label_moments(x, y, targets).mapped(to_x, to_y)
    expected = label_moments(x @ to_x, y @ to_y, targets)
    np.testing.assert_allclose(found.products, expected.products, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(found.cross, expected.cross, rtol=1e-10, atol=1e-10)


def test_block_diagonal_and_inverse_root():
    both = block_diagonal(np.ones((2, 1)), 2 * np.ones((1, 3)))
    np.testing.assert_array_equal(both, [[1, 0, 0, 0], [1, 0, 0, 0], [0, 2, 2, 2]])
    root = np.random.default_rng(0).standard_normal((9, 4))
    matrix = root.T @ root
    inverse, forward = inverse_root(matrix)
    np.testing.assert_allclose(inverse @ matrix @ inverse, np.eye(4), atol=1e-12)
    np.testing.assert_allclose(forward @ forward, matrix, rtol=1e-10)
    floored, _ = inverse_root(np.diag([1.0, 0.0]))
    np.testing.assert_allclose(floored, np.diag([1.0, 1e5]), rtol=1e-9)
