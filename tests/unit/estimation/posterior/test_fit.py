from dataclasses import replace

import numpy as np
import pytest

from service.estimation.posterior.diagonalize import diagonalize
from service.estimation.posterior.fit import best_axes
from service.estimation.posterior.frames import measured

from .worlds import diagonal_moments, general_moments, pair_moments, rotation, spiked_world, turned

DX, DY, N = 8, 6, 400


def misfits(mix, n=N, worlds=12):
    found = []
    for seed in range(worlds):
        world = spiked_world(seed=seed, n=n, dx=DX, dy=DY)
        rng = np.random.default_rng(100 + seed)
        x, y = world.x, world.y
        if mix:
            x, y = x @ rng.standard_normal((DX, DX)), y @ rng.standard_normal((DY, DY))
        found.append(best_axes(pair_moments(x, y), n))
    return np.array([fit.misfit for fit in found]), found[0].freedom


def test_misfit_is_about_one_where_the_spiked_model_holds():
    values, freedom = misfits(mix=False)
    # Nearly equal components leave some degrees of freedom unused: at most one, and not far below.
    assert 0.6 < values.mean() < 1.1
    assert values.max() < 1 + 4 * np.sqrt(2 / freedom)


def test_misfit_is_far_above_one_where_axes_are_mixed():
    values, _ = misfits(mix=True)
    assert values.min() > 2.0


def test_few_pairs_do_not_inflate_the_misfit():
    values, freedom = misfits(mix=False, n=40)
    assert values.mean() < 1.2
    assert values.max() < 1 + 4 * np.sqrt(2 / freedom)


def test_degrees_of_freedom_are_covariances_less_parameters():
    fit = best_axes(general_moments(0, 3, 2), 50)
    # 15 entries; 5 variances, 2 correlations, 3 + 1 angles.
    assert fit.freedom == 15 - 11


def test_moments_that_can_be_diagonal_fit_exactly():
    rng = np.random.default_rng(1)
    pairs = diagonal_moments(np.array([1.0, 0.2, -0.8]), np.array([0.5, -0.4]), np.array([0.7, 0.3]), 100.0)
    fit = best_axes(turned(pairs, rotation(rng, 3), rotation(rng, 2)), 100)
    assert fit.misfit == pytest.approx(0.0, abs=1e-6)


def test_design_effect_divides_the_misfit():
    pairs = general_moments(2, DX, DY, n=200.0)
    whole, half = best_axes(pairs, 200), best_axes(replace(pairs, n=100.0), 200)
    assert half.misfit == pytest.approx(0.5 * whole.misfit, rel=0.01)
    assert whole.misfit > 2


def test_newton_steps_fit_no_worse_than_sweeps_and_axes_are_orthogonal():
    pairs = general_moments(3, DX, DY, n=300.0)
    fit = best_axes(pairs, 300)

    def value(x, y):
        frames = measured(pairs, x, y)
        return frames.a.sum() + frames.b.sum() + np.log1p(-(np.tanh(frames.z) ** 2)).sum()

    assert value(fit.x, fit.y) <= value(*diagonalize(pairs, 1)) + 1e-12
    np.testing.assert_allclose(fit.x.T @ fit.x, np.eye(DX), atol=1e-11)
    np.testing.assert_allclose(fit.y.T @ fit.y, np.eye(DY), atol=1e-11)


def test_a_modality_paired_with_itself_fits_exactly():
    world = spiked_world(n=200, dx=5, dy=3)
    fit = best_axes(pair_moments(world.x, world.x.copy()), 200)
    assert fit.misfit == pytest.approx(0.0, abs=0.05)


def test_singular_moments_give_a_finite_misfit():
    # As many coordinates as pairs: the covariance of both modalities together has a zero eigenvalue.
    world = spiked_world(n=20, dx=10, dy=10)
    fit = best_axes(pair_moments(world.x, world.y), 20)
    assert np.isfinite(fit.misfit)
    assert fit.misfit < 5


def test_misfit_is_the_likelihood_ratio_with_bartletts_factor():
    pairs = general_moments(4, DX, DY, n=60.0)
    fit = best_axes(pairs, 90)
    frames = measured(pairs, fit.x, fit.y)
    restricted = frames.a.sum() + frames.b.sum() + np.log(1 - np.tanh(frames.z) ** 2).sum()
    joint = np.block([[pairs.sxx, pairs.sxy], [pairs.sxy.T, pairs.syy]])
    factor = 90 - (2 * (DX + DY) + 11) / 6
    statistic = factor * (restricted - np.linalg.slogdet(joint)[1]) * 60 / 90
    assert fit.misfit * fit.freedom == pytest.approx(statistic, rel=1e-9)
