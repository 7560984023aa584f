from dataclasses import replace

import numpy as np
import pytest
from scipy import linalg

from service.estimation.posterior.chain import problem
from service.estimation.posterior.exchangeable import class_group
from service.estimation.posterior.fit import best_axes
from service.estimation.posterior.frames import (
    LARGEST_CORRELATION,
    Motion,
    Target,
    Variances,
    across,
    cayley,
    curvature,
    energy_gradient,
    fisher,
    hamiltonian_move,
    measured,
    trajectory,
)
from service.estimation.posterior.labels import Loading, label_term, log_likelihood, score_products
from service.estimation.posterior.moments import LabelMoments, PairMoments, inverse_root

from .worlds import diagonal_moments, general_moments, label_moments, pair_moments, rotation, spiked_world

DX, DY = 4, 3
DIFFERENCE = 1e-5  # of an angle, for central differences
GRADIENT_TOLERANCE = 1e-6  # relative to the largest entry
SECOND_DIFFERENCE = 1e-4
CURVATURE_TOLERANCE = 1e-5


def whitened(pairs: PairMoments) -> PairMoments:
    to_x, to_y = inverse_root(pairs.sxx)[0], inverse_root(pairs.syy)[0]
    return PairMoments(np.eye(DX), to_x @ pairs.sxy @ to_y, np.eye(DY), pairs.n, whitened=True)


def target_of(pairs: PairMoments, *, classes: bool = True, prior: bool = True) -> Target:
    rng = np.random.default_rng(1)
    mean, root = rng.standard_normal(DX + DY), rng.uniform(0.5, 2.0, DX + DY)
    group = class_group(
        problem(pairs, []).classes.couplings, (np.array([0]), np.array([], dtype=int), np.array([1, 2])), 3
    )
    return Target(
        pairs,
        pairs.n,
        group if classes else None,
        Variances(mean, root if prior else np.zeros(DX + DY)),
        labels=None,
    )


def generator_of_plane(d, i, j):
    skew = np.zeros((d, d))
    skew[i, j], skew[j, i] = 1.0, -1.0
    return skew


def derivative(function, x, y, side, i, j, eps=DIFFERENCE):
    """Central difference of a function of the axes along the plane (i, j) of x or y."""
    values = []
    for sign in (1.0, -1.0):
        moved = [x, y]
        moved[side] = moved[side] @ linalg.expm(sign * eps * generator_of_plane(len(moved[side]), i, j))
        values.append(function(*moved))
    return (values[0] - values[1]) / (2 * eps)


def numerical_gradient(function, x, y):
    found = []
    for side, d in ((0, len(x)), (1, len(y))):
        gradient = np.zeros((d, d))
        for i in range(d):
            for j in range(i + 1, d):
                gradient[i, j] = derivative(function, x, y, side, i, j)
        found.append(gradient - gradient.T)
    return found


@pytest.mark.parametrize("kind", ["pairs", "with priors", "whitened"])
def test_gradient_is_that_of_the_energy(kind):
    rng = np.random.default_rng(0)
    pairs = general_moments(2, DX, DY)
    if kind == "whitened":
        pairs = whitened(pairs)
    target = target_of(pairs, classes=kind != "pairs", prior=kind != "pairs")
    x, y = rotation(rng, DX), rotation(rng, DY)
    _, gx, gy = energy_gradient(target, x, y)
    for found, expected in zip(
        (gx, gy), numerical_gradient(lambda *r: energy_gradient(target, *r)[0], x, y), strict=True
    ):
        np.testing.assert_allclose(found, expected, atol=GRADIENT_TOLERANCE * np.abs(expected).max())


def naive_energy(target: Target, x, y):
    """Eq. 3 from the covariances of pairs of coordinates, priors of couplings left out."""
    pairs, n = target.pairs, target.n
    total = 0.0
    k, m, c = x.T @ pairs.sxx @ x, y.T @ pairs.syy @ y, x.T @ pairs.sxy @ y
    for i in range(max(DX, DY)):
        block = []
        if i < DX and i < DY:
            block = [[k[i, i], c[i, i]], [c[i, i], m[i, i]]]
        else:
            block = [[k[i, i]]] if i < DX else [[m[i, i]]]
        total += 0.5 * n * np.linalg.slogdet(np.array(block))[1]
    logs = np.log(np.r_[k.diagonal(), m.diagonal()])
    return total + 0.5 * (((logs - target.variances.mean) * target.variances.root_precision) ** 2).sum()


def test_energy_is_minus_the_log_posterior_of_the_axes():
    rng = np.random.default_rng(0)
    target = target_of(general_moments(2, DX, DY), classes=False)
    for _ in range(3):
        x, y = rotation(rng, DX), rotation(rng, DY)
        np.testing.assert_allclose(energy_gradient(target, x, y)[0], naive_energy(target, x, y), rtol=1e-12)


def test_classes_of_couplings_enter_the_energy_as_their_log_probability():
    pairs = general_moments(2, DX, DY)
    classes = problem(pairs, []).classes
    target = target_of(pairs)
    x, y = rotation(np.random.default_rng(0), DX), rotation(np.random.default_rng(1), DY)
    z = measured(pairs, x, y).z
    expected = classes.weak.of(z[[0]]) + classes.signal.of(z[[1, 2]])
    found = energy_gradient(replace(target, classes=None), x, y)[0] - energy_gradient(target, x, y)[0]
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def labeled() -> tuple[PairMoments, list[LabelMoments]]:
    world = spiked_world(seed=5, n=80, dx=DX, dy=DY, k=2)
    return pair_moments(world.x, world.y), [
        label_moments(world.x[:50], world.y[:50], world.labels[:50]),
        label_moments(world.x[30:], world.y[30:], world.labels[30:, :1]),
    ]


def test_label_term_is_minus_the_log_likelihood_of_the_labels():
    _, sets = labeled()
    loading, members = Loading(0.4, 0.5), np.array([0, 2])
    scale_x, scale_y = np.array([0.7, 1.3]), np.array([0.9, 1.1])
    term = label_term(sets, members, scale_x, scale_y, loading)
    rng = np.random.default_rng(0)
    differences = []
    for _ in range(3):
        x, y = rotation(rng, DX), rotation(rng, DY)
        a, b = np.zeros(3), np.zeros(3)
        a[members], b[members] = -2 * np.log(scale_x), -2 * np.log(scale_y)
        products = score_products(sets, x[:, :3], y[:, :3], a, b)
        energy = term.add(x, y, np.zeros((DX, DX)), np.zeros((DY, DY)))
        differences.append(energy + log_likelihood(products, members, loading))
    np.testing.assert_allclose(differences, differences[0], rtol=1e-9)


def test_force_of_the_labels_is_the_gradient_of_their_likelihood_without_moment_factors():
    _, sets = labeled()
    loading, members = Loading(0.4, 0.5), np.array([0, 2])
    scale_x, scale_y = np.array([0.7, 1.3]), np.array([0.9, 1.1])
    term = label_term(sets, members, scale_x, scale_y, loading)
    x, y = rotation(np.random.default_rng(3), DX), rotation(np.random.default_rng(4), DY)

    def energy(x, y):
        """Multivariate t of the targets, by the regression's normal equations."""
        total = 0.0
        both = linalg.block_diag(x[:, members] * scale_x, y[:, members] * scale_y)
        for part in sets:
            gram = both.T @ part.products @ both + term.penalty
            cross = both.T @ part.cross
            rest = part.tt - (cross * np.linalg.solve(gram, cross)).sum(axis=0)
            total += 0.5 * len(part.tt) * np.linalg.slogdet(gram)[1]
            total += (1.0 + 0.5 * part.m) * np.log(0.5 + 0.5 * rest).sum()
        return total

    gx, gy = np.zeros((DX, DX)), np.zeros((DY, DY))
    term.add(x, y, gx, gy)
    for found, expected in zip((gx - gx.T, gy - gy.T), numerical_gradient(energy, x, y), strict=True):
        np.testing.assert_allclose(found, expected, atol=GRADIENT_TOLERANCE * np.abs(expected).max())


def test_curvature_is_the_second_derivative_where_the_moments_are_diagonal():
    a, b, f = np.array([1.5, 0.4, -0.3, -1.6]), np.array([1.2, 0.1, -0.8]), np.array([0.8, 0.5, 0.2])
    pairs = diagonal_moments(a, b, f, n=30.0)
    x, y = np.eye(DX), np.eye(DY)
    target = target_of(pairs, classes=False, prior=False)
    inverse = curvature(measured(pairs, x, y), pairs.n).inverse
    root = curvature(measured(pairs, x, y), pairs.n).root

    def slope(side, i, j):
        return lambda *r: energy_gradient(target, *r)[1 + side][i, j]

    for i in range(DX):
        for j in range(i + 1, DX):
            sides = [0, 1] if max(i, j) < DY else [0]
            hessian = np.array(
                [[derivative(slope(s, i, j), x, y, t, i, j, SECOND_DIFFERENCE) for s in sides] for t in sides]
            )
            assert np.linalg.eigvalsh(hessian)[0] > 0.5 * DX  # none that the floor would hide
            found = np.array([[inverse[0][i, j]]])
            square_root = np.array([[root[0][i, j]]])
            if len(sides) == 2:
                found = np.array([[inverse[0][i, j], inverse[2][i, j]], [inverse[2][i, j], inverse[1][i, j]]])
                square_root = np.array([[root[0][i, j], root[2][i, j]], [root[2][i, j], root[1][i, j]]])
            np.testing.assert_allclose(np.linalg.inv(found), hessian, rtol=CURVATURE_TOLERANCE, atol=1e-4)
            np.testing.assert_allclose(square_root @ square_root, hessian, rtol=CURVATURE_TOLERANCE, atol=1e-4)


def test_curvature_is_floored_where_the_pairs_determine_nothing():
    pairs = diagonal_moments(np.zeros(DX), np.zeros(DY), np.zeros(3), n=1000.0)
    shape = curvature(measured(pairs, np.eye(DX), np.eye(DY)), pairs.n)
    np.testing.assert_allclose(shape.inverse[0], np.full((DX, DX), 1 / (0.5 * DX)), rtol=1e-9)
    np.testing.assert_allclose(shape.inverse[2], np.zeros((3, 3)), atol=1e-12)


def test_cayley_turns_and_undoes_itself():
    rng = np.random.default_rng(0)
    velocity = rng.standard_normal((5, 5))
    velocity -= velocity.T
    turn = cayley(velocity, 0.3)
    np.testing.assert_allclose(turn @ turn.T, np.eye(5), atol=1e-14)
    np.testing.assert_allclose(turn @ cayley(-velocity, 0.3), np.eye(5), atol=1e-14)
    small = 1e-4
    np.testing.assert_allclose(cayley(velocity, small), linalg.expm(small * velocity), atol=1e-10)


def test_correlations_are_bounded():
    np.testing.assert_allclose(
        np.tanh(fisher(np.array([-1.0, 0.3, 1.0]))), [-LARGEST_CORRELATION, 0.3, LARGEST_CORRELATION]
    )


def start_of(target: Target, seed: int) -> tuple[Motion, object]:
    rng = np.random.default_rng(seed)
    fit = best_axes(target.pairs, round(target.pairs.n))
    frames = measured(target.pairs, fit.x, fit.y)
    shape = curvature(frames, target.n)
    skews = []
    for d in (DX, DY):
        upper = np.triu(rng.standard_normal((d, d)), 1)
        skews.append(upper - upper.T)
    return Motion(fit.x, fit.y, *across(shape.root, *skews, 3)), shape


def with_labels() -> Target:
    pairs, sets = labeled()
    frames = measured(pairs, *(lambda found: (found.x, found.y))(best_axes(pairs, 80)))
    members = np.array([0, 1])
    scales = np.exp(-0.5 * frames.a[members]), np.exp(-0.5 * frames.b[members])
    return replace(target_of(pairs), labels=label_term(sets, members, *scales, Loading(0.4, 0.5)))


def test_a_trajectory_run_backwards_returns_to_its_start():
    target = with_labels()
    start, shape = start_of(target, 0)
    end, gained = trajectory(target, start, shape, 0.2, 5)
    assert np.abs(end.x - start.x).max() > 0.01
    back, lost = trajectory(target, replace(end, px=-end.px, py=-end.py), shape, 0.2, 5)
    for name, sign in (("x", 1), ("y", 1), ("px", -1), ("py", -1)):
        np.testing.assert_allclose(sign * getattr(back, name), getattr(start, name), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(gained, -lost, rtol=1e-9, atol=1e-9)


def test_energy_is_kept_to_second_order_in_the_step():
    pairs, _ = labeled()
    target = target_of(pairs)

    def error(step, leaps):
        errors = []
        for seed in range(5):
            start, shape = start_of(target, seed)
            end, gained = trajectory(target, start, shape, step, leaps)
            errors.append(gained + end.kinetic(shape, 3) - start.kinetic(shape, 3))
        return np.abs(errors).sum()

    coarse, fine = error(0.1, 4), error(0.05, 8)
    assert 3.0 < coarse / fine < 5.5


def test_axes_stay_orthogonal_over_many_moves_and_moves_are_accepted():
    pairs, _ = labeled()
    target = target_of(pairs)
    generator = np.random.default_rng(0)
    fit = best_axes(pairs, 80)
    frames = measured(pairs, fit.x, fit.y)
    shape = curvature(frames, pairs.n)
    accepted = []
    for _ in range(200):
        x, y, chance = hamiltonian_move(target, frames, shape, 0.3, 4, generator)
        frames = measured(pairs, x, y)
        accepted.append(chance)
    assert 0.7 < np.mean(accepted) <= 1.0
    np.testing.assert_allclose(frames.x.T @ frames.x, np.eye(DX), atol=1e-12)
    np.testing.assert_allclose(frames.y.T @ frames.y, np.eye(DY), atol=1e-12)
    assert np.linalg.norm(frames.x - fit.x) > 0.01


def test_a_step_far_too_long_is_refused():
    pairs, _ = labeled()
    target = replace(target_of(pairs), n=1e6)
    fit = best_axes(pairs, 80)
    frames = measured(pairs, fit.x, fit.y)
    shape = curvature(frames, 1.0)
    x, y, chance = hamiltonian_move(target, frames, shape, 5.0, 6, np.random.default_rng(0))
    assert chance == 0.0
    assert x is frames.x
    assert y is frames.y


def test_moves_sample_the_axes_by_their_posterior():
    # One angle in x and none in y: the posterior is a curve that a grid integrates.
    pairs = PairMoments(np.diag([1.3, 0.8]), np.array([[0.5], [0.3]]), np.array([[1.0]]), 12.0, whitened=False)
    target = Target(pairs, pairs.n, None, Variances(np.zeros(3), np.zeros(3)), labels=None)
    angles = np.linspace(0, 2 * np.pi, 720, endpoint=False)

    def axes(angle):
        return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])

    y = np.eye(1)
    weights = np.exp(-np.array([energy_gradient(target, axes(angle), y)[0] for angle in angles]))
    exact = (weights * np.cos(2 * angles)).sum() / weights.sum(), (weights * np.sin(2 * angles)).sum() / weights.sum()
    generator = np.random.default_rng(0)
    frames = measured(pairs, np.eye(2), y)
    shape = curvature(frames, pairs.n)
    found = []
    for _ in range(3000):
        x, y, _ = hamiltonian_move(target, frames, shape, 0.5 * generator.uniform(0.8, 1.2), 3, generator)
        frames = measured(pairs, x, y)
        angle = np.arctan2(x[1, 0], x[0, 0])
        found.append((np.cos(2 * angle), np.sin(2 * angle)))
    monte_carlo = 0.05  # about four standard errors of a mean over the run
    np.testing.assert_allclose(np.mean(found, axis=0), exact, atol=monte_carlo)
    assert np.abs(exact).max() > 0.2
