from dataclasses import replace

import numpy as np
import pytest

from service.estimation.posterior import diagonalize as module
from service.estimation.posterior.diagonalize import diagonalize

from .worlds import diagonal_moments, general_moments, pair_moments, rotation, spiked_world, turned

DX, DY = 6, 4
A, B = np.array([1.2, -0.4, 0.8, 0.1, -0.9, 0.5]), np.array([0.3, 1.0, -0.7, -0.1])
CORRELATIONS = np.array([0.9, 0.6, 0.4, 0.1])
ANGLES = np.linspace(-np.pi / 2, np.pi / 2, 181)  # a degree apart: naive searches


def criterion(pairs, x, y):
    """f of eq. 2, determinant by determinant."""
    k, m, c = x.T @ pairs.sxx @ x, y.T @ pairs.syy @ y, x.T @ pairs.sxy @ y
    total = 0.0
    for i in range(max(len(k), len(m))):
        if i < min(len(k), len(m)):
            total += np.log(k[i, i] * m[i, i] - c[i, i] ** 2)
        else:
            total += np.log(k[i, i] if i < len(k) else m[i, i])
    return total


def plane(d, p, q, angle):
    turn = np.eye(d)
    turn[p, p] = turn[q, q] = np.cos(angle)
    turn[p, q], turn[q, p] = -np.sin(angle), np.sin(angle)
    return turn


@pytest.mark.parametrize("flipped", [False, True])
def test_moments_that_can_be_diagonal_become_diagonal(flipped):
    rng = np.random.default_rng(0)
    pairs = diagonal_moments(A, B, CORRELATIONS, 100.0)
    pairs = turned(pairs, rotation(rng, DX), rotation(rng, DY))
    if flipped:
        pairs = replace(pairs, sxx=pairs.syy, sxy=pairs.sxy.T, syy=pairs.sxx)
    x, y = diagonalize(pairs, 3)
    np.testing.assert_allclose(x.T @ x, np.eye(len(x)), atol=1e-12)
    np.testing.assert_allclose(y.T @ y, np.eye(len(y)), atol=1e-12)
    k, m, c = x.T @ pairs.sxx @ x, y.T @ pairs.syy @ y, x.T @ pairs.sxy @ y
    for matrix in (k, m, c):
        off = matrix.copy()
        np.fill_diagonal(off, 0.0)
        np.testing.assert_allclose(off, np.zeros_like(off), atol=1e-8)
    found = c.diagonal() / np.sqrt(k.diagonal()[:4] * m.diagonal()[:4])
    np.testing.assert_allclose(found, CORRELATIONS, rtol=1e-8)  # positive, and in falling order


def test_whitened_moments_become_their_singular_values():
    rng = np.random.default_rng(0)
    cross = rotation(rng, DX)[:, :DY] * CORRELATIONS @ rotation(rng, DY)
    pairs = replace(general_moments(0, DX, DY), sxx=np.eye(DX), sxy=cross, syy=np.eye(DY), whitened=True)
    x, y = diagonalize(pairs, 1)
    expected = np.zeros((DX, DY))
    np.fill_diagonal(expected, CORRELATIONS)
    np.testing.assert_allclose(x.T @ cross @ y, expected, atol=1e-12)
    assert (x[np.abs(x).argmax(axis=0), np.arange(DX)] > 0).all()  # no sign is left to rounding


@pytest.mark.parametrize("seed", range(4))
def test_sweeps_never_raise_the_criterion(seed):
    pairs = general_moments(seed, DX, DY)
    x, y, *_ = module._paired_principal_axes(pairs)
    values = [criterion(pairs, x, y)] + [criterion(pairs, *diagonalize(pairs, sweeps)) for sweeps in range(1, 5)]
    assert (np.diff(values) <= 1e-9).all()
    assert values[0] - values[-1] > 0.1


def test_the_best_turn_of_one_plane_is_the_best_of_a_naive_search():
    pairs = general_moments(1, 3, 2)
    x, y = diagonalize(pairs, 50)
    best = criterion(pairs, x, y)
    for p in range(3):
        for q in range(p + 1, 3):
            assert min(criterion(pairs, x @ plane(3, p, q, angle), y) for angle in ANGLES) > best - 1e-3
    assert min(criterion(pairs, x, y @ plane(2, 0, 1, angle)) for angle in ANGLES) > best - 1e-3
    assert min(criterion(pairs, x @ plane(3, 0, 1, a), y @ plane(2, 0, 1, a)) for a in ANGLES) > best - 1e-3


def test_one_round_equals_a_loop_over_its_planes():
    pairs = general_moments(5, 3, 2)
    start_x, start_y, k, m, z = module._paired_principal_axes(pairs)
    x = start_x.copy()
    module._turn_one(x, k, z, m.diagonal().copy(), 2)
    naive = start_x.copy()
    fine = np.linspace(-np.pi / 2, np.pi / 2, 20001)
    rounds = [(int(p), int(q)) for ps, qs in module._rounds(3) for p, q in zip(ps, qs, strict=True)]
    for p, q in rounds:
        values = [_plane_value(pairs, naive, start_y, p, q, angle) for angle in fine]
        naive = naive @ plane(3, p, q, fine[int(np.argmin(values))])
    found, expected = criterion(pairs, x, start_y), criterion(pairs, naive, start_y)
    assert found == pytest.approx(expected, abs=1e-5)
    assert found < criterion(pairs, start_x, start_y)


def _plane_value(pairs, x, y, p, q, angle):
    """What the turn of one plane changes in the criterion."""
    cos, sin = np.cos(angle), np.sin(angle)
    total = 0.0
    for place, axis in ((p, x[:, p] * cos + x[:, q] * sin), (q, x[:, q] * cos - x[:, p] * sin)):
        variance = axis @ pairs.sxx @ axis
        if place < y.shape[1]:
            other = y[:, place]
            total += np.log(variance * (other @ pairs.syy @ other) - (axis @ pairs.sxy @ other) ** 2)
        else:
            total += np.log(variance)
    return total


@pytest.mark.parametrize("d", [1, 2, 5, 6])
def test_rounds_hold_every_plane_once_and_no_axis_twice(d):
    rounds = module._rounds(d)
    planes = [(int(p), int(q)) for ps, qs in rounds for p, q in zip(ps, qs, strict=True)]
    assert sorted(planes) == [(p, q) for p in range(d) for q in range(p + 1, d)]
    for ps, qs in rounds:
        both = np.concatenate([ps, qs])
        assert len(np.unique(both)) == len(both)


def test_perfect_correlations_are_diagonalized_without_a_warning():
    world = spiked_world(n=60, dx=5, dy=3)
    pairs = pair_moments(world.x, world.x[:, :3])
    for same in (pairs, pair_moments(world.x, world.x.copy())):
        x, y = diagonalize(same, 2)
        assert np.isfinite(x).all()
        np.testing.assert_allclose(y.T @ y, np.eye(len(y)), atol=1e-12)


@pytest.mark.parametrize("unit", [1e-6, 3e5])
def test_axes_do_not_hang_on_the_rounding_of_another_unit(unit):
    world = spiked_world(seed=1, n=200, dx=12, dy=5)
    pairs = pair_moments(world.x, world.y)
    # In principal coordinates, as the estimate sees them, where covariances are diagonal but for rounding.
    pairs = turned(pairs, np.linalg.eigh(pairs.sxx)[1].T, np.linalg.eigh(pairs.syy)[1].T)
    scaled = replace(pairs, sxx=(pairs.sxx * unit) * unit, sxy=pairs.sxy * unit)
    for found, expected in zip(diagonalize(scaled, 3), diagonalize(pairs, 3), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-9)


def test_with_one_dimension_there_is_nothing_to_turn():
    pairs = diagonal_moments(A[:1], B[:3], np.array([0.5]), 50.0)
    x, y = diagonalize(pairs, 2)
    np.testing.assert_allclose(np.abs(x), [[1.0]])
    assert np.abs(y[:, 0]).argmax() == 0
