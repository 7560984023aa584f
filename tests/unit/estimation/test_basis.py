"""The principal basis, by each of its three ways, against an SVD of the whole matrix."""

import numpy as np
import pytest

from service.estimation import basis as module
from service.estimation.basis import OVERSAMPLING, principal_basis
from service.estimation.coupling import fix_signs
from service.estimation.errors import ConstantModality, NumericalFailure
from service.estimation.survey import survey
from service.estimation.terms import Missing, Scaling

from .samples import paired


def spread_out(seed=0, n=80, d=12):
    """Features whose principal variances are well apart, so that directions are determined."""
    rng = np.random.default_rng(seed)
    rotation = np.linalg.qr(rng.standard_normal((d, d)))[0]
    return rng.standard_normal((n, d)) * 1.5 ** -np.arange(d) @ rotation


Y = paired(n=80, dy=5).y


def based(x, count=5, variance=None, missing=Missing.REFUSE, **options):
    y = np.resize(Y, (len(x), 5))
    return principal_basis(survey(x, y, missing=missing).x, x, count, variance, **options)


def oracle(values, count):
    _, singular_values, right = np.linalg.svd(values - values.mean(0), full_matrices=False)
    return singular_values[:count] ** 2 / len(values), fix_signs(right[:count].T)


WAYS = ["products", "matrix", "random"]


@pytest.fixture(params=WAYS)
def way(request, monkeypatch):
    """Force one of the three ways, whatever the size."""
    if request.param != "products":
        monkeypatch.setattr("service.estimation.survey.PRODUCTS_LIMIT", 0)
    if request.param == "random":
        monkeypatch.setattr(module, "EXACT_LIMIT", 0)
    return request.param


@pytest.mark.parametrize("shape", [(80, 12), (30, 45)])
def test_is_the_decomposition_of_the_whole_matrix(way, shape):
    x = spread_out(1, *shape)
    found = based(x)
    variances, directions = oracle(x, 5)
    np.testing.assert_allclose(found.variances, variances, rtol=1e-10)
    np.testing.assert_allclose(found.directions, directions, atol=1e-8)
    np.testing.assert_allclose(found.total_variance, x.var(0).sum(), rtol=1e-12)
    np.testing.assert_array_equal(found.scale, np.ones(shape[1]))
    assert found.n_components == 5
    assert found.exact == (way != "random")


def test_the_way_is_chosen_by_size(monkeypatch):
    assert based(spread_out(n=80, d=80)).exact
    monkeypatch.setattr(module, "MATRIX_BYTES", 8 * 30 * 45 - 1)
    assert not based(spread_out(n=30, d=45)).exact
    assert based(spread_out(n=30, d=44)).exact
    monkeypatch.setattr(module, "EXACT_LIMIT", 29)
    assert not based(spread_out(n=30, d=44)).exact


def test_scores_of_a_basis_have_its_variances(way):
    x = spread_out(2)
    found = based(x, 4)
    scores = found.scores(x)
    np.testing.assert_allclose(scores.T @ scores / 80, np.diag(found.variances), atol=1e-12)


def test_standardize_is_the_basis_of_the_correlation_matrix(way):
    x = spread_out(3) * np.geomspace(1e-6, 1e6, 12)
    found = based(x, 5, scaling=Scaling.STANDARDIZE)
    variances, directions = oracle((x - x.mean(0)) / x.std(0), 5)
    np.testing.assert_allclose(found.variances, variances, rtol=1e-10)
    np.testing.assert_allclose(found.directions, directions, atol=1e-8)
    np.testing.assert_allclose(found.total_variance, 12, rtol=1e-12)
    scores = found.scores(x)
    np.testing.assert_allclose((scores**2).mean(0), variances, rtol=1e-10)


@pytest.mark.parametrize("scaling", list(Scaling))
@pytest.mark.parametrize(("offset", "unit"), [(1e8, 1.0), (0.0, 1e-12), (0.0, 1e12), (1e8, 2.0**40)])
def test_offset_and_unit_do_not_matter(way, scaling, offset, unit):
    x = np.round(spread_out(4) * 2**20) / 2**20  # exact beside the offset
    plain, moved = based(x, scaling=scaling), based((x + offset) * unit, scaling=scaling)
    expected = plain.variances * (unit**2 if scaling is Scaling.NONE else 1.0)
    np.testing.assert_allclose(moved.variances, expected, rtol=1e-10)
    np.testing.assert_allclose(moved.directions, plain.directions, atol=1e-10)
    assert moved.rank == plain.rank == 12


@pytest.mark.parametrize("chunk_rows", [1, 7, 80])
def test_chunks_do_not_matter(way, chunk_rows):
    x = spread_out(5)
    found, whole = based(x, chunk_bytes=8 * 12 * chunk_rows), based(x)
    np.testing.assert_allclose(found.variances, whole.variances, rtol=1e-12)
    np.testing.assert_allclose(found.directions, whole.directions, atol=1e-12)


def test_constant_columns_drop_out(way):
    x = np.insert(spread_out(6), [0, 7], 1e9, axis=1)
    found, expected = based(x), based(spread_out(6))
    assert not found.directions[[0, 8]].any()
    np.testing.assert_allclose(np.delete(found.directions, [0, 8], axis=0), expected.directions, atol=1e-9)
    np.testing.assert_allclose(found.scores(x), expected.scores(spread_out(6)), atol=1e-9)


class TestKept:
    def test_no_more_than_asked_for(self, way):
        assert [based(spread_out(7), count).n_components for count in (1, 3, 500)] == [1, 3, 12]

    def test_no_more_than_vary(self, way):
        x = spread_out(8, 80, 9)
        x = np.hstack([x, x[:, :3] @ np.ones((3, 2)), x[:, :1] * 1e3 - 5.0])
        found = based(x, 500)
        assert found.rank == found.n_components == 9
        assert found.variances.min() > 0

    def test_no_more_than_pairs_allow(self, way):
        found = based(spread_out(9, 20, 45), 500)
        assert found.rank == found.n_components == 19
        np.testing.assert_allclose(found.directions.T @ found.directions, np.eye(19), atol=1e-10)

    def test_the_tolerance_is_relative(self, way):
        x = np.random.default_rng(0).standard_normal((80, 3))
        x -= x.mean(0)
        x = np.linalg.qr(x)[0]
        for unit in (1e-12, 1.0, 1e12):
            assert based(x * unit * [1.0, 1.0, 1.1e-6]).rank == 3
            assert based(x * unit * [1.0, 1.0, 0.9e-6]).rank == 2

    def test_a_share_of_the_variance(self, way):
        x = np.linalg.qr(paired(1, n=80, dx=4).x - paired(1, n=80, dx=4).x.mean(0))[0] * np.sqrt(
            [60.0, 25.0, 10.0, 5.0]
        )
        kept = {share: based(x, 4, share).n_components for share in (0.5, 0.6, 0.61, 0.85, 0.95, 0.951, 1.0)}
        assert kept == {0.5: 1, 0.6: 1, 0.61: 2, 0.85: 2, 0.95: 3, 0.951: 4, 1.0: 4}
        assert based(x, 2, 0.95).n_components == 2


def test_random_range_of_many_columns_finds_what_stands_out(monkeypatch):
    monkeypatch.setattr(module, "EXACT_LIMIT", 0)
    rng = np.random.default_rng(10)
    strong = rng.standard_normal((60, 4)) * [30.0, 20.0, 12.0, 8.0] @ np.linalg.qr(rng.standard_normal((300, 4)))[0].T
    x = strong + 0.1 * rng.standard_normal((60, 300))
    found = based(x, 4, seed=3)
    variances, directions = oracle(x, 4)
    np.testing.assert_allclose(found.variances, variances, rtol=1e-9)
    np.testing.assert_allclose(found.directions, directions, atol=1e-7)
    np.testing.assert_array_equal(based(x, 4, seed=3).directions, found.directions)
    assert (based(x, 4, seed=4).directions != found.directions).any()
    assert found.rank == 4 + OVERSAMPLING


def test_pairs_left_out_take_no_part(way):
    x = spread_out(11)
    x[[3, 50], 2] = np.nan
    found = based(x, missing=Missing.DROP_ROWS, chunk_bytes=8 * 12 * 9)
    variances, directions = oracle(np.delete(x, [3, 50], axis=0), 5)
    np.testing.assert_allclose(found.variances, variances, rtol=1e-10)
    np.testing.assert_allclose(found.directions, directions, atol=1e-8)


def test_means_stand_in_for_what_is_missing(way):
    x = spread_out(12)
    x[[3, 50], 2] = np.nan
    filled = np.where(np.isnan(x), np.nanmean(x, axis=0), x)
    found = based(x, missing=Missing.MEAN)
    variances, directions = oracle(filled, 5)
    np.testing.assert_allclose(found.variances, variances, rtol=1e-10)
    np.testing.assert_allclose(found.directions, directions, atol=1e-8)
    np.testing.assert_allclose(found.scores(x), found.scores(filled), atol=1e-12)


def test_variance_beyond_double_precision_is_refused_with_advice():
    x = spread_out() * 1e-160
    with pytest.raises(ConstantModality, match=r"x varies by .*e-161, .* Multiply x by a constant"):
        based(x)
    assert based(x, scaling=Scaling.STANDARDIZE).rank == 12


def test_numerical_failure(monkeypatch):
    def diverge(*_, **__):
        raise np.linalg.LinAlgError("did not converge")

    monkeypatch.setattr("scipy.linalg.eigh", diverge)
    with pytest.raises(NumericalFailure, match=r"components of x did not converge\. Set the option `scaling`"):
        based(spread_out())


def test_scaling_may_be_said_in_plain_text_but_not_anyhow():
    x = spread_out()
    np.testing.assert_allclose(based(x, scaling="standardize").scale, x.std(0), rtol=1e-12)
    with pytest.raises(ValueError, match="robust"):
        based(x, scaling="robust")
