import numpy as np
import pytest

from service.estimation.posterior.background import LOG_PRIOR, STRENGTHS, with_backgrounds
from service.estimation.posterior.labels import Loading, log_likelihood, score_products
from service.estimation.posterior.moments import PairMoments

from .worlds import label_moments, pair_moments, spiked_world

LOADING = Loading(slab=0.3, psi=0.7)


def rows(seed=0, m=40):
    world = spiked_world(seed=seed, n=90, dx=5, dy=3)
    pairs = pair_moments(world.x, world.y)
    x, y, targets = (part[:m] - part[:m].mean(axis=0) for part in (world.x, world.y, world.labels))
    return pairs, x, y, targets


def noise_covariance(pairs, x, y, strength):
    white = [side @ np.linalg.inv(np.linalg.cholesky(s)).T for side, s in ((x, pairs.sxx), (y, pairs.syy))]
    return np.eye(len(x)) + strength * sum(side @ side.T for side in white)


def test_the_prior_is_a_distribution_that_favours_no_background():
    assert np.exp(LOG_PRIOR).sum() == pytest.approx(1)
    assert LOG_PRIOR.argmax() == 0
    assert STRENGTHS[0] == 0


@pytest.mark.parametrize("place", [1, 4])
def test_products_are_those_of_generalised_least_squares(place):
    pairs, x, y, targets = rows()
    found = with_backgrounds([label_moments(x, y, targets)], pairs)[place][0]
    covariance = noise_covariance(pairs, x, y, STRENGTHS[place])
    inverse = np.linalg.inv(covariance)
    z = np.hstack([x, y])
    np.testing.assert_allclose(found.products, z.T @ inverse @ z, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found.cross, z.T @ inverse @ targets, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found.tt, np.diag(targets.T @ inverse @ targets), rtol=1e-9)
    assert found.log_determinant == pytest.approx(np.linalg.slogdet(covariance)[1], rel=1e-9)


def test_without_a_background_nothing_changes():
    pairs, x, y, targets = rows()
    given = label_moments(x, y, targets)
    assert with_backgrounds([given], pairs)[0][0] is given


def test_it_is_the_same_in_whitened_coordinates():
    pairs, x, y, targets = rows()
    to_x, to_y = (np.linalg.inv(np.linalg.cholesky(s)).T for s in (pairs.sxx, pairs.syy))
    given = label_moments(x, y, targets)
    white = PairMoments(np.eye(5), to_x.T @ pairs.sxy @ to_y, np.eye(3), pairs.n, whitened=True)
    here = with_backgrounds([given], pairs)[3][0].mapped(to_x, to_y)
    there = with_backgrounds([given.mapped(to_x, to_y)], white)[3][0]
    np.testing.assert_allclose(here.products, there.products, rtol=1e-8, atol=1e-10)
    assert here.log_determinant == pytest.approx(there.log_determinant, rel=1e-9)


def evidence(targets_from):
    """Log marginal likelihood of every strength when nothing is signal."""
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal((400, 12)), rng.standard_normal((400, 8))
    pairs = pair_moments(x, y)
    targets = targets_from(rng, x)
    targets = (targets - targets.mean(axis=0)) / targets.std(axis=0)
    found = []
    for sets in with_backgrounds([label_moments(x, y, targets)], pairs):
        products = score_products(sets, np.eye(12)[:, :8], np.eye(8), np.zeros(8), np.zeros(8))
        found.append(log_likelihood(products, np.array([], dtype=int), LOADING))
    return np.array(found)


def test_labels_of_noise_speak_against_it_and_many_small_effects_for_it():
    assert evidence(lambda rng, x: rng.standard_normal((400, 2))).argmax() == 0
    many_small = evidence(lambda rng, x: 0.15 * x @ rng.standard_normal((12, 2)) + rng.standard_normal((400, 2)))
    assert many_small.argmax() >= 3
    assert many_small.max() - many_small[0] > 5
