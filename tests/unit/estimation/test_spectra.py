import numpy as np
import pytest

from service.estimation.spectra import NAMES, sample_spectra

N, DX, DY = 120, 5, 3
RNG = np.random.default_rng(0)
X = RNG.standard_normal((N, DX)) @ RNG.standard_normal((DX, DX))
Y = X[:, :2] @ RNG.standard_normal((2, DY)) + RNG.standard_normal((N, DY))
X, Y = X - X.mean(axis=0), Y - Y.mean(axis=0)
Z = np.hstack([X, Y])
SXX, SXY, SYY = X.T @ X / N, X.T @ Y / N, Y.T @ Y / N
SPECTRA = sample_spectra(Z.T @ Z / N, DX, 50)


def root(matrix, power):
    values, vectors = np.linalg.eigh(matrix)
    return vectors * values**power @ vectors.T


EXPECTED = {
    "ca": np.linalg.svd(root(SXX, -0.5) @ SXY @ root(SYY, -0.5), compute_uv=False),
    "cp_x_to_y": np.linalg.svd(SXY.T @ root(SXX, -0.5), compute_uv=False),
    "cp_y_to_x": np.linalg.svd(SXY @ root(SYY, -0.5), compute_uv=False),
    "pls": np.linalg.svd(SXY, compute_uv=False),
    "pca_x": np.sqrt(np.linalg.eigvalsh(SXX)[::-1]),
    "pca_y": np.sqrt(np.linalg.eigvalsh(SYY)[::-1]),
}


def test_the_six_spectra_in_their_order():
    assert tuple(SPECTRA.components) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_singular_values_are_those_of_the_formula(name):
    np.testing.assert_allclose(SPECTRA.components[name].values, EXPECTED[name], rtol=1e-9)


@pytest.mark.parametrize("name", ["ca", "cp_x_to_y", "cp_y_to_x", "pls"])
def test_a_value_is_the_coupling_of_its_directions(name):
    found = SPECTRA.components[name]
    np.testing.assert_allclose(found.x.T @ SXY @ found.y, np.diag(found.values), atol=1e-9)


def test_canonical_directions_have_uncorrelated_scores_of_unit_variance():
    found = SPECTRA.components["ca"]
    np.testing.assert_allclose(found.x.T @ SXX @ found.x, np.eye(DY), atol=1e-9)
    np.testing.assert_allclose(found.y.T @ SYY @ found.y, np.eye(DY), atol=1e-9)


@pytest.mark.parametrize(("name", "side"), [("pca_x", "x"), ("pca_y", "y")])
def test_principal_components_read_one_modality(name, side):
    found = SPECTRA.components[name]
    assert found.by == side
    along, other, covariance = (found.x, found.y, SXX) if side == "x" else (found.y, found.x, SYY)
    np.testing.assert_array_equal(other, np.zeros((DX + DY - len(along), len(found.values))))
    np.testing.assert_allclose(along.T @ covariance @ along, np.diag(found.values**2), atol=1e-9)


def test_scores_are_those_of_the_predictors():
    pair = SPECTRA.scores("ca", X, Y)
    assert pair.shape == (2, N, DY)
    correlations = [np.corrcoef(pair[0, :, i], pair[1, :, i])[0, 1] for i in range(DY)]
    np.testing.assert_allclose(correlations, EXPECTED["ca"], rtol=1e-9)
    for name, values, along in (
        ("cp_x_to_y", X, SPECTRA.components["cp_x_to_y"].x),
        ("cp_y_to_x", Y, SPECTRA.components["cp_y_to_x"].y),
        ("pca_y", Y, SPECTRA.components["pca_y"].y),
    ):
        np.testing.assert_array_equal(SPECTRA.scores(name, X, Y), (values @ along)[None])


def test_no_more_components_than_asked_for():
    few = sample_spectra(Z.T @ Z / N, DX, 2)
    for name in NAMES:
        np.testing.assert_allclose(few.components[name].values, EXPECTED[name][:2], rtol=1e-9)


@pytest.mark.parametrize("unit", [1e-6, 1e6])
def test_a_unit_changes_directions_and_values_as_it_must(unit):
    scale = np.r_[np.full(DX, unit), np.ones(DY)]
    scaled = sample_spectra(Z.T @ Z / N * np.outer(scale, scale), DX, 50)
    factors = {"ca": 1, "cp_x_to_y": 1, "cp_y_to_x": unit, "pls": unit, "pca_x": unit, "pca_y": 1}
    for name, factor in factors.items():
        np.testing.assert_allclose(scaled.components[name].values, EXPECTED[name] * factor, rtol=1e-8)


def test_perfect_correlations_are_at_most_one():
    both = np.hstack([X, X[:, :3]])
    values = sample_spectra(both.T @ both / N, DX, 50).components["ca"].values
    assert values.max() <= 1.0
    np.testing.assert_allclose(values, np.ones(3), rtol=1e-9)
