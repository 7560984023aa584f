"""Couplings against fractional matrix powers and textbook analyses, with singular inputs."""

import numpy as np
import pytest
from scipy import linalg
from sklearn.cross_decomposition import CCA

from service.estimation.coupling import (
    Reduced,
    Whitened,
    alignment_components,
    covariance_components,
    fix_signs,
    prediction_components,
    principal_components,
    singular_triplets,
    unimodal_components,
    whiten,
)
from service.estimation.moments import centred

from .samples import paired

RIDGE, FLOOR = 1e-6, 1e-12


def whitened(values, ridge=RIDGE):
    return whiten(Reduced(centred(values), np.ones(values.shape[1])), ridge, FLOOR)


def test_principal_components_are_those_of_the_covariance():
    x = paired(n=40, dx=7).x + 100
    reduced = principal_components(x, 100)
    np.testing.assert_allclose(
        reduced.singular_values**2 / 40, linalg.eigvalsh(np.cov(x.T, bias=True))[::-1], rtol=1e-10
    )
    np.testing.assert_allclose(reduced.scores.mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(np.sqrt((reduced.scores**2).sum(0)), reduced.singular_values, rtol=1e-10)


def test_principal_components_keep_at_most_count():
    assert principal_components(paired(dx=7).x, 3).scores.shape == (90, 3)
    assert principal_components(paired(n=30, dx=41).x, 29).scores.shape == (30, 29)


def test_principal_components_see_variance_far_below_the_largest():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((60, 3)) * [1e6, 1.0, 1e-6]
    deviations = principal_components(x, 3).singular_values / np.sqrt(60)
    np.testing.assert_allclose(deviations, [1e6, 1.0, 1e-6], rtol=0.4)


def test_rank_deficient_modality_has_singular_values_of_zero():
    x = paired(n=50, dx=4).x
    doubled = np.hstack([x, x[:, :2], np.full((50, 1), 3.0)])
    reduced = principal_components(doubled, 100)
    assert reduced.singular_values.shape == (7,)
    assert (reduced.singular_values[:4] > 0.1).all()
    assert (reduced.singular_values[4:] < 1e-12 * reduced.singular_values[0]).all()


def test_whitener_is_the_inverse_square_root():
    x = paired(dx=6).x
    expected = linalg.fractional_matrix_power(np.cov(x.T, bias=True) + RIDGE * np.eye(6), -0.5)
    np.testing.assert_allclose(whitened(x).whitener, expected, rtol=1e-8, atol=1e-10)


def test_whitener_floors_eigenvalues():
    x = np.random.default_rng(0).standard_normal((30, 2)) @ np.ones((2, 3))
    values = linalg.eigvalsh(whiten(Reduced(centred(x), np.ones(3)), 0.0, 1e-4).whitener)
    assert values.max() == pytest.approx(1e2, rel=1e-9)


@pytest.mark.parametrize(("dx", "dy"), [(7, 5), (3, 8), (1, 4), (6, 1)])
def test_alignment_is_the_whitened_cross_covariance(dx, dy):
    x, y, _ = paired(seed=dx, dx=dx, dy=dy)
    joint = np.cov(x.T, y.T, bias=True)
    powers = [
        linalg.fractional_matrix_power(joint[rows, rows] + RIDGE * np.eye(size), -0.5)
        for rows, size in ((slice(dx), dx), (slice(dx, None), dy))
    ]
    expected = linalg.svdvals(powers[0] @ joint[:dx, dx:] @ powers[1])
    found = alignment_components(whitened(x), whitened(y), 50)
    np.testing.assert_allclose(found.singular_values, expected, rtol=1e-8, atol=1e-10)
    assert found.scores.shape == (2, 90, min(dx, dy))


def test_alignment_is_textbook_canonical_correlation():
    x, y, _ = paired(n=200, dx=5, dy=4)
    left, right = CCA(3, max_iter=5000, tol=1e-12).fit_transform(x, y)
    expected = [np.corrcoef(left[:, i], right[:, i])[0, 1] for i in range(3)]
    found = alignment_components(whitened(x, 0.0), whitened(y, 0.0), 3)
    np.testing.assert_allclose(found.singular_values, expected, rtol=1e-5)


def test_alignment_scores_have_unit_variance_and_the_canonical_correlations():
    x, y, _ = paired(dx=7, dy=5)
    found = alignment_components(whitened(x, 0.0), whitened(y, 0.0), 50)
    left, right = found.scores
    np.testing.assert_allclose(left.T @ left / 90, np.eye(5), atol=1e-10)
    np.testing.assert_allclose(left.T @ right / 90, np.diag(found.singular_values), atol=1e-10)


def test_prediction_is_the_one_sided_whitened_cross_covariance():
    x, y, _ = paired(dx=7, dy=5)
    joint = np.cov(x.T, y.T, bias=True)
    source = linalg.fractional_matrix_power(joint[:7, :7] + RIDGE * np.eye(7), -0.5)
    found = prediction_components(whitened(x), whitened(y), 50)
    np.testing.assert_allclose(found.singular_values, linalg.svdvals(joint[7:, :7] @ source), rtol=1e-8)
    assert found.scores.shape == (1, 90, 5)


def test_prediction_explains_what_least_squares_explains():
    x, y, _ = paired(dx=7, dy=5)
    a, b = centred(x), centred(y)
    fitted = a @ np.linalg.lstsq(a, b, rcond=None)[0]
    found = prediction_components(whitened(x, 0.0), whitened(y, 0.0), 50)
    assert (found.singular_values**2).sum() == pytest.approx((fitted**2).sum() / 90, rel=1e-9)


def test_covariance_components_are_partial_least_squares():
    x, y, _ = paired(dx=3, dy=8)
    found = covariance_components(whitened(x), whitened(y), 2)
    expected = linalg.svdvals(np.cov(x.T, y.T, bias=True)[:3, 3:])
    np.testing.assert_allclose(found.singular_values, expected[:2], rtol=1e-10)
    left, right = found.scores
    np.testing.assert_allclose((left * right).mean(0), found.singular_values, rtol=1e-10)


def test_unimodal_components_are_standard_deviations_of_their_scores():
    reduced = principal_components(paired(dx=7).x, 100)
    found = unimodal_components(reduced, 4)
    np.testing.assert_allclose(found.singular_values, reduced.scores[:, :4].std(0), rtol=1e-10)
    assert found.scores.shape == (1, 90, 4)


def test_rotated_copy_has_canonical_correlations_of_one():
    x = paired(dx=5).x
    y = x @ np.random.default_rng(2).standard_normal((5, 8))
    found = alignment_components(whitened(x), whitened(y), 50).singular_values
    assert found.max() <= 1.0
    np.testing.assert_allclose(found, 1, atol=1e-4)  # the ridge costs a little


def test_canonical_correlations_are_clipped_to_one():
    x = whitened(paired(dx=5).x)
    swollen = Whitened(x.scores, 1.01 * x.whitener)
    assert alignment_components(swollen, swollen, 50).singular_values.tolist() == [1.0] * 5


def test_orthogonal_modalities_have_no_coupling():
    basis = np.linalg.qr(centred(np.random.default_rng(3).standard_normal((40, 9))))[0] * np.sqrt(40)
    x, y = whitened(basis[:, :5]), whitened(basis[:, 5:])
    for components in (alignment_components(x, y, 9), prediction_components(x, y, 9), covariance_components(x, y, 9)):
        np.testing.assert_allclose(components.singular_values, 0, atol=1e-12)


@pytest.mark.parametrize(
    "x",
    [
        paired(n=20, dx=33).x,
        np.repeat(paired(n=20, dx=3).x, 2, axis=1),
        np.hstack([paired(n=20, dx=3).x, np.full((20, 2), 5.0)]),
    ],
    ids=["fewer rows than columns", "duplicate columns", "constant columns"],
)
def test_singular_modalities_give_finite_spectra(x):
    y = paired(n=20, dy=5).y
    white_x = whiten(principal_components(x, 19), RIDGE, FLOOR)
    white_y = whiten(principal_components(y, 19), RIDGE, FLOOR)
    for found in (
        alignment_components(white_x, white_y, 50),
        prediction_components(white_x, white_y, 50),
        prediction_components(white_y, white_x, 50),
    ):
        assert np.isfinite(found.scores).all()
        assert (np.diff(found.singular_values) <= 0).all()
        assert found.singular_values.min() >= 0
    assert alignment_components(white_x, white_y, 50).singular_values.max() <= 1


def test_triplets_rebuild_the_matrix_with_fixed_signs():
    matrix = np.random.default_rng(4).standard_normal((6, 4))
    left, values, right = singular_triplets(matrix, 50)
    np.testing.assert_allclose(left * values @ right.T, matrix, atol=1e-12)
    assert (left[np.abs(left).argmax(0), np.arange(4)] > 0).all()
    negated = singular_triplets(-matrix, 2)
    np.testing.assert_allclose(negated[0], left[:, :2], atol=1e-12)
    np.testing.assert_allclose(negated[2], -right[:, :2], atol=1e-12)


def test_signs_make_the_largest_entry_positive():
    vectors = np.array([[1.0, -3.0], [-2.0, 2.0], [0.5, 1.0]])
    np.testing.assert_array_equal(fix_signs(vectors), vectors * [-1, -1])
