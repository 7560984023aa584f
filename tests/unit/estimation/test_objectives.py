"""Linear optima against least squares and random competitors, with singular inputs; distances of subspaces."""

import numpy as np
import pytest
from scipy import linalg

from service.estimation.errors import InvalidModel
from service.estimation.moments import centred
from service.estimation.objectives import (
    JointCovariance,
    align,
    alignment_triplets,
    inverse_root,
    joint_covariance,
    predict,
    prediction_triplets,
    subspace_distance,
)
from service.estimation.terms import Direction

from .samples import paired

X_TO_Y, Y_TO_X = Direction


def sample(seed=0, dx=7, dy=5):
    x, y, _ = paired(seed=seed, dx=dx, dy=dy)
    return centred(x), centred(y)


@pytest.mark.parametrize(("dx", "dy"), [(7, 5), (3, 8), (4, 1)])
def test_alignment_meets_its_constraint_and_its_value(dx, dy):
    x, y = sample(1, dx, dy)
    k = min(dx, dy, 2)
    found = align(joint_covariance(x, y), k)
    assert (found.W.shape, found.V.shape) == ((k, dx), (k, dy))
    codes_x, codes_y = x @ found.W.T, y @ found.V.T
    np.testing.assert_allclose(codes_x.T @ codes_y / len(x), np.eye(k), atol=1e-12)
    expected = 2 * (1 / found.triplets.values[:k] - 1).sum()
    assert np.square(codes_x - codes_y).sum() / len(x) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("direction", Direction)
def test_prediction_of_full_rank_is_least_squares(direction):
    source, target = sample(2, 4, 6) if direction is X_TO_Y else sample(2, 4, 6)[::-1]
    joint = joint_covariance(*sample(2, 4, 6))
    found = predict(joint, 4, direction)
    np.testing.assert_allclose((found.D @ found.E).T, linalg.lstsq(source, target)[0], atol=1e-12)
    assert found.E.shape == (4, source.shape[1])


@pytest.mark.parametrize("direction", Direction)
def test_no_competitor_of_the_same_rank_predicts_better(direction):
    x, y = sample(3)
    source, target = (x, y) if direction is X_TO_Y else (y, x)
    found = predict(joint_covariance(x, y), 2, direction)
    least = np.square(target - source @ (found.D @ found.E).T).sum() / len(x)
    values = found.triplets.values
    assert least == pytest.approx(np.square(target).sum() / len(x) - np.square(values[:2]).sum(), rel=1e-12)
    rng = np.random.default_rng(0)
    for _ in range(20):
        encoder = found.E + 0.1 * rng.standard_normal(found.E.shape)
        decoder = linalg.lstsq(source @ encoder.T, target)[0].T  # the best one for this encoder
        assert np.square(target - source @ (decoder @ encoder).T).sum() / len(x) > least


def test_singular_vectors_belong_to_the_modality_that_they_are_named_after():
    joint = joint_covariance(*sample(4))
    for triplets in (alignment_triplets(joint), *(prediction_triplets(joint, direction) for direction in Direction)):
        assert (triplets.x.shape, triplets.y.shape) == ((7, 5), (5, 5))
    forward, reverse = (prediction_triplets(joint, direction) for direction in Direction)
    root_x, root_y = inverse_root(joint.x), inverse_root(joint.y)
    np.testing.assert_allclose((forward.y * forward.values) @ forward.x.T, joint.cross.T @ root_x, atol=1e-12)
    np.testing.assert_allclose((reverse.x * reverse.values) @ reverse.y.T, joint.cross @ root_y, atol=1e-12)


def test_a_repeated_column_changes_no_singular_value():
    x, y = sample(5)
    repeated = np.hstack([x, x[:, :2]])
    plain, doubled = joint_covariance(x, y), joint_covariance(repeated, y)
    assert linalg.eigvalsh(inverse_root(doubled.x)).max() < 100  # not one over rounding
    np.testing.assert_allclose(alignment_triplets(doubled).values, alignment_triplets(plain).values, rtol=1e-9)
    np.testing.assert_allclose(
        prediction_triplets(doubled, X_TO_Y).values, prediction_triplets(plain, X_TO_Y).values, rtol=1e-9
    )


def test_inverse_root_leaves_out_what_does_not_vary():
    root = inverse_root(np.diag([4.0, 0.0, 1e-14, 1.0]))
    np.testing.assert_allclose(root, np.diag([0.5, 0.0, 0.0, 1.0]), atol=1e-15)
    np.testing.assert_array_equal(inverse_root(np.zeros((2, 2))), np.zeros((2, 2)))


def test_inverse_root_keeps_what_varies_little():
    root = inverse_root(np.diag([4.0, 1e-8, 1e-12]))
    np.testing.assert_allclose(root, np.diag([0.5, 1e4, 1e6]), rtol=1e-12)


def test_no_correlation_exceeds_one():
    x, y = sample(7, 4, 6)
    values = alignment_triplets(joint_covariance(x, np.hstack([x * [1.0, 30.0, 1e-3, 7.0], y]))).values
    np.testing.assert_allclose(values, 1, rtol=1e-12)
    assert values.max() <= 1


def test_more_directions_than_are_coupled_are_refused():
    joint = JointCovariance(np.eye(4), np.eye(3), np.diag([0.5, 0.2, 0.0, 0.0])[:, :3])
    assert align(joint, 2).W.shape == (2, 4)
    for solve in (lambda: align(joint, 3), lambda: predict(joint, 3, Y_TO_X)):
        with pytest.raises(InvalidModel, match="only 2 directions"):
            solve()


def test_rank_zero_is_a_solution_without_rows():
    joint = joint_covariance(*sample(6))
    assert align(joint, 0).W.shape == (0, 7)
    assert predict(joint, 0, X_TO_Y).D.shape == (5, 0)


def test_distance_of_equal_subspaces_is_zero():
    rng = np.random.default_rng(0)
    basis = rng.standard_normal((6, 2))
    assert subspace_distance(basis, basis @ rng.standard_normal((2, 2))) == pytest.approx(0, abs=1e-14)


def test_distance_is_the_sine_of_the_largest_angle():
    axes = np.eye(4)
    angle = np.pi / 6
    turned = np.column_stack([axes[:, 0], np.cos(angle) * axes[:, 1] + np.sin(angle) * axes[:, 2]])
    assert subspace_distance(axes[:, :2], turned) == pytest.approx(0.5, rel=1e-14)
    tiny = np.column_stack([axes[:, 0], axes[:, 1] + 1e-10 * axes[:, 2]])
    assert subspace_distance(axes[:, :2], tiny) == pytest.approx(1e-10, rel=1e-5)


def test_distance_does_not_depend_on_how_long_columns_are():
    rng = np.random.default_rng(1)
    a, b = rng.standard_normal((2, 6, 3))
    expected = subspace_distance(a, b)
    assert expected > 0.1
    for scale in ([1e-18, 1.0, 1e18], [1e-150, 1.0, 1e150]):
        assert subspace_distance(a * scale, b) == pytest.approx(expected, rel=1e-12)
        assert subspace_distance(a, b * scale) == pytest.approx(expected, rel=1e-12)


def test_distance_of_orthogonal_directions_is_one():
    axes = np.eye(4)
    assert subspace_distance(axes[:, :2], axes[:, [0, 3]]) == pytest.approx(1)


def test_without_signal_there_is_no_distance():
    assert subspace_distance(np.empty((5, 0)), np.empty((5, 0))) is None
