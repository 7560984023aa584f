import numpy as np
import pytest

from service.estimation.covariate_moments import CovariateSums
from service.estimation.covariates import covariate_columns

N, DX, DY = 150, 4, 3
RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((N, DX)), RNG.standard_normal((N, DY))
BATCH = np.array(["a", "b", "c"])[RNG.integers(0, 3, N)]
DEPTH = RNG.standard_normal(N)
X[:, 0] += 2.0 * (BATCH == "b")
Y[:, 1] += DEPTH
Z = np.hstack([X, Y])
DIRECTIONS = np.hstack([np.eye(DX + DY)[:, [0, 5]], RNG.standard_normal((DX + DY, 2))])


def gathered(covariates, pieces=1, x=X, y=Y):
    sums = CovariateSums(covariate_columns(covariates), DX + DY)
    for numbers in np.array_split(np.arange(N), pieces):
        sums.add(numbers, x[numbers], y[numbers])
    return sums.finish()


def adjusted_r2(score, design):
    """By least squares on the design with a constant."""
    design = np.column_stack([np.ones(len(score)), design])
    residual = score - design @ np.linalg.lstsq(design, score, rcond=None)[0]
    rank = np.linalg.matrix_rank(design) - 1
    share = 1 - (residual @ residual) / ((score - score.mean()) ** 2).sum()
    return max(1 - (1 - share) * (len(score) - 1) / (len(score) - 1 - rank), 0.0)


def one_hot(values):
    return (values[:, None] == np.unique(values)).astype(float)


@pytest.mark.parametrize("pieces", [1, 7])
def test_explained_shares_are_those_of_least_squares(pieces):
    found = gathered({"batch": BATCH, "depth": DEPTH}, pieces).explained(DIRECTIONS)
    assert list(found) == ["batch", "depth"]
    for name, design in (("batch", one_hot(BATCH)), ("depth", DEPTH)):
        expected = [adjusted_r2(Z @ direction, design) for direction in DIRECTIONS.T]
        np.testing.assert_allclose(found[name], expected, rtol=1e-8, atol=1e-10)
    assert found["batch"][0] > 0.3
    assert found["depth"][1] > 0.3


def test_missing_values_count_as_the_mean():
    depth = DEPTH.copy()
    depth[:30] = np.nan
    filled = np.where(np.isnan(depth), np.nanmean(depth), depth)
    found = gathered({"depth": depth}).explained(DIRECTIONS)["depth"]
    np.testing.assert_allclose(found, [adjusted_r2(Z @ d, filled) for d in DIRECTIONS.T], rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize(("factor", "offset"), [(1e-200, 0.0), (1e99, 0.0), (1.0, 1e6)])
def test_units_and_offsets_of_a_covariate_have_no_effect(factor, offset):
    plain = gathered({"depth": DEPTH}).explained(DIRECTIONS)["depth"]
    scaled = gathered({"depth": DEPTH * factor + offset}).explained(DIRECTIONS)["depth"]
    np.testing.assert_allclose(scaled, plain, rtol=1e-6, atol=1e-9)


def test_offsets_of_the_scores_have_no_effect():
    plain = gathered({"batch": BATCH}).explained(DIRECTIONS)["batch"]
    moved = gathered({"batch": BATCH}, x=X + 100.0, y=Y - 50.0).explained(DIRECTIONS)["batch"]
    np.testing.assert_allclose(moved, plain, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("covariate", [np.full(N, 3.0), np.full(N, np.nan), np.full(N, "same")])
def test_a_covariate_that_does_not_vary_explains_nothing(covariate):
    found = gathered({"flat": covariate}).explained(DIRECTIONS)["flat"]
    np.testing.assert_array_equal(found, np.zeros(4))


def test_a_class_for_every_row_explains_nothing():
    names = np.array([f"row {i}" for i in range(N)])
    np.testing.assert_array_equal(gathered({"id": names}).explained(DIRECTIONS)["id"], np.zeros(4))


def test_a_direction_without_variance_is_not_explained():
    found = gathered({"depth": DEPTH}).explained(np.zeros((DX + DY, 1)))["depth"]
    assert found[0] == 0.0


def test_chance_explains_nothing_on_average():
    rng = np.random.default_rng(5)
    many = rng.standard_normal((DX + DY, 200))
    noise = np.array(list("pqrstuvw"))[rng.integers(0, 8, N)]
    assert gathered({"noise": noise}).explained(many)["noise"].mean() < 0.05
