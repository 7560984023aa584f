import numpy as np
import pytest
from sklearn.model_selection import KFold

from service.estimation.moments import (
    Blocks,
    centred,
    covariance,
    cross_sums,
    label_sums,
    predictor_sums,
    shuffled_blocks,
)


@pytest.mark.parametrize("n", [10, 20, 23, 178, 569])
def test_blocks_are_the_folds_of_a_shuffled_kfold(n):
    blocks = shuffled_blocks(n, 5, 42)
    expected = [test for _, test in KFold(5, shuffle=True, random_state=42).split(np.zeros(n))]
    for rows, test in zip(blocks.slices(), expected, strict=True):
        np.testing.assert_array_equal(np.sort(blocks.order[rows]), test)
    assert sorted(blocks.order) == list(range(n))


def test_first_blocks_take_the_remainder():
    assert shuffled_blocks(23, 5, 0).sizes.tolist() == [5, 5, 5, 4, 4]


def test_blocks_depend_on_the_seed_alone():
    assert shuffled_blocks(30, 5, 1).order.tolist() == shuffled_blocks(30, 5, 1).order.tolist()
    assert shuffled_blocks(30, 5, 1).order.tolist() != shuffled_blocks(30, 5, 2).order.tolist()


def test_covariance_divides_by_n():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((11, 3)), rng.standard_normal((11, 4))
    joint = np.cov(a.T, b.T, bias=True)
    np.testing.assert_allclose(covariance(centred(a), centred(b)), joint[:3, 3:], rtol=1e-12, atol=1e-15)


def test_sums_over_uneven_blocks_match_a_loop():
    rng = np.random.default_rng(1)
    predictors, labels = rng.standard_normal((2, 9, 4)), rng.standard_normal((9, 3))
    blocks = Blocks(np.arange(9), (0, 4, 7, 9))
    sums, of_labels = predictor_sums(predictors, blocks), label_sums(labels, blocks)
    cross = cross_sums(predictors, labels, blocks)
    assert sums.first.shape == (3, 4, 2)
    assert sums.second.shape == (3, 4, 2, 2)
    assert cross.shape == (3, 4, 2, 3)
    for block, rows in enumerate([slice(0, 4), slice(4, 7), slice(7, 9)]):
        np.testing.assert_allclose(of_labels.first[block], labels[rows].sum(0))
        np.testing.assert_allclose(of_labels.second[block], (labels[rows] ** 2).sum(0))
        for component in range(4):
            part = predictors[:, rows, component]
            np.testing.assert_allclose(sums.first[block, component], part.sum(1))
            np.testing.assert_allclose(sums.second[block, component], part @ part.T)
            np.testing.assert_allclose(cross[block, component], part @ labels[rows])
