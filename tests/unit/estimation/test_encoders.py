"""The closed-form encoders: what they optimise, where they tend, what they do not depend on."""

import numpy as np
import pytest

from service.estimation.encoders import Planned, covariances, encoding_matrices, planned
from service.estimation.moments import BlockMoments, block_moments
from service.estimation.terms import Encoder
from tests.unit.estimation.naive_rehearsal import naive_encoder
from tests.unit.estimation.samples import paired

EVERY = np.array([True])
MANY = 1e13  # copies of a sample, which take the ridge of whitening below rounding


def fitted(x, y, copies=1.0):
    once = block_moments(x, y, np.zeros(len(x), dtype=int), 1)
    return covariances(BlockMoments(copies * once.counts, copies * once.first, copies * once.second, once.n_x), EVERY)


def matrix_of(encoder, k, x, y, copies=1.0):
    return encoding_matrices(fitted(x, y, copies), [Planned(Encoder(encoder), k)])[0]


def test_covariances_are_those_of_the_chosen_blocks():
    sample = paired(n=40)
    blocks = np.arange(40) % 3
    found = covariances(block_moments(sample.x, sample.y, blocks, 3), np.array([True, False, True]))
    x, y = sample.x[blocks != 1], sample.y[blocks != 1]
    joint = np.cov(x.T, y.T, bias=True)
    for modality, expected in ((found.x, joint[:7, :7]), (found.y, joint[7:, 7:])):
        rebuilt = (modality.axes * modality.variances) @ modality.axes.T
        np.testing.assert_allclose(rebuilt, expected, rtol=0, atol=1e-12)
        assert (np.diff(modality.variances) <= 0).all()
        assert modality.ridge == pytest.approx(np.trace(expected) / len(x), rel=1e-12)
    np.testing.assert_allclose(found.x.axes @ found.cross @ found.y.axes.T, joint[:7, 7:], rtol=0, atol=1e-12)


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("encoder", [encoder for encoder in Encoder if encoder not in ("x", "y", "both")])
def test_every_encoder_is_that_of_the_raw_arrays_up_to_sign(encoder, k):
    sample = paired(seed=3, n=30)
    matrix = matrix_of(encoder, k, sample.x, sample.y)
    expected = naive_encoder(sample.x, sample.y, encoder, k)(np.eye(12)[:, :7], np.eye(12)[:, 7:])
    signs = np.sign((matrix * expected).sum(0))
    np.testing.assert_allclose(matrix * signs, expected, rtol=0, atol=1e-9)


def test_alignment_meets_its_constraint_and_its_canonical_correlations():
    """W^T Sxy V is diagonal with the correlations that no other pair of unit-variance directions exceeds."""
    sample = paired(seed=1, n=60)
    w = matrix_of("ca_x", 3, sample.x, sample.y, MANY)[:7]
    v = matrix_of("ca_y", 3, sample.x, sample.y, MANY)[7:]
    joint = np.cov(sample.x.T, sample.y.T, bias=True)
    np.testing.assert_allclose(w.T @ joint[:7, :7] @ w, np.eye(3), rtol=0, atol=1e-9)
    np.testing.assert_allclose(v.T @ joint[7:, 7:] @ v, np.eye(3), rtol=0, atol=1e-9)
    # The squared correlations are eigenvalues of Sxx^-1 Sxy Syy^-1 Syx.
    product = np.linalg.solve(joint[:7, :7], joint[:7, 7:]) @ np.linalg.solve(joint[7:, 7:], joint[7:, :7])
    squares = np.sort(np.linalg.eigvals(product).real)[::-1][:3]
    np.testing.assert_allclose(w.T @ joint[:7, 7:] @ v, np.diag(np.sqrt(squares)), rtol=0, atol=1e-9)


@pytest.mark.parametrize(("encoder", "forward"), [("cp_x_to_y", True), ("cp_y_to_x", False)])
def test_prediction_loses_no_more_than_the_best_regression_of_its_rank(encoder, forward):
    """By Eckart and Young that is the least-squares fit, cut to its leading k components."""
    sample = paired(seed=2, n=60)
    matrix = matrix_of(encoder, 2, sample.x, sample.y, MANY)
    x, y = sample.x - sample.x.mean(0), sample.y - sample.y.mean(0)
    embedding = np.hstack([x, y]) @ matrix
    source, target = (x, y) if forward else (y, x)
    loss = np.linalg.norm(target - embedding @ np.linalg.lstsq(embedding, target)[0]) ** 2
    fit = source @ np.linalg.lstsq(source, target)[0]
    discarded = np.linalg.svd(fit, compute_uv=False)[2:]
    assert loss == pytest.approx(np.linalg.norm(target - fit) ** 2 + (discarded**2).sum(), rel=1e-9)
    assert (discarded**2).sum() > 1


def test_an_embedding_sees_its_own_modality_only():
    sample = paired()
    for encoder in ("x", "ca_x", "cp_x_to_y", "pca_x"):
        assert (matrix_of(encoder, 2, sample.x, sample.y)[7:] == 0).all()
    for encoder in ("y", "ca_y", "cp_y_to_x", "pca_y"):
        assert (matrix_of(encoder, 2, sample.x, sample.y)[:7] == 0).all()


@pytest.mark.parametrize("encoder", ["both", "ca_x", "ca_y", "ca_both", "cp_x_to_y", "cp_y_to_x"])
def test_embeddings_do_not_depend_on_a_modality_s_origin_or_unit(encoder):
    sample = paired(seed=4, n=25)
    x, y = 1e-4 * sample.x + 0.02, 300 * sample.y - 5e3

    def embedding(x, y):
        values = np.hstack([x - x.mean(0), y - y.mean(0)]) @ matrix_of(encoder, 2, x, y)
        return values * np.sign(values[0])

    np.testing.assert_allclose(embedding(x, y), embedding(sample.x, sample.y), rtol=0, atol=1e-9)


def test_with_fewer_pairs_than_features_no_direction_is_blown_up():
    """Unridged whitening would give every direction of the sample unit variance, here the 1e-6 ones as well."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((12, 20)) * np.append(np.ones(5), np.full(15, 1e-3))
    y = rng.standard_normal((12, 4))
    found = fitted(x, y)
    assert found.x.rank == 11
    whitened = found.x.variances / found.x.deviations**2
    assert whitened[0] > 0.7
    assert whitened[-1] < 1e-4


def test_dimensions_are_capped_at_the_rank_and_given_once():
    plan = planned((8, 3, 50, 3, 0), rank_x=7, rank_y=5)
    assert [(entry.encoder, entry.embedding_dim) for entry in plan] == [
        ("x", None),
        ("y", None),
        ("both", None),
        *((encoder, dim) for encoder in ("ca_x", "ca_y", "ca_both", "cp_x_to_y", "cp_y_to_x") for dim in (5, 3)),
        ("pca_x", 7),
        ("pca_x", 3),
        ("pca_y", 5),
        ("pca_y", 3),
    ]


def test_repeated_and_constant_features_lower_the_rank_and_change_no_embedding():
    sample = paired(seed=5, n=30)
    wide = np.hstack([sample.x, np.full((30, 2), 3.0)])
    found = fitted(wide, sample.y)
    assert found.x.rank == 7
    plain, padded = matrix_of("ca_x", 2, sample.x, sample.y), matrix_of("ca_x", 2, wide, sample.y)
    np.testing.assert_allclose(np.abs(padded[:7]), np.abs(plain[:7]), rtol=0, atol=1e-9)
    assert fitted(np.hstack([sample.x, sample.x[:, :3]]), sample.y).x.rank == 7


def test_a_modality_that_does_not_vary_has_no_encoder_but_its_raw_features():
    sample = paired(n=20)
    found = fitted(np.ones((20, 7)), sample.y)
    plan = planned((2,), found.x.rank, found.y.rank)
    assert [entry.encoder for entry in plan] == ["x", "y", "both", "pca_y"]
    assert all(np.isfinite(matrix).all() for matrix in encoding_matrices(found, plan))
