"""The R^2 step against a loop of scikit-learn ridges, and at its exact limits."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold

from service.estimation.association import cross_validated_r2, fold_scores, permuted_r2
from service.estimation.moments import Blocks, shuffled_blocks


def looped_r2(scores, labels, alpha, folds=5, seed=42):
    """One Ridge per component, label and fold."""
    _, n, count = scores.shape
    splits = list(KFold(folds, shuffle=True, random_state=seed).split(np.zeros(n)))
    r2 = np.zeros((count, labels.shape[1]))
    for component in range(count):
        for label in range(labels.shape[1]):
            residual = total = 0.0
            for train, test in splits:
                fit = Ridge(alpha=alpha).fit(scores[:, train, component].T, labels[train, label])
                held = labels[test, label]
                residual += ((held - fit.predict(scores[:, test, component].T)) ** 2).sum()
                total += ((held - held.mean()) ** 2).sum()
            r2[component, label] = max(1 - residual / total, 0.0) if total > 0 else 0.0
    return r2


def drawn(seed, p, n, c, n_labels):
    rng = np.random.default_rng(seed)
    scores = rng.standard_normal((p, n, c)) * np.geomspace(1e-2, 10, c) + 3
    labels = scores[0] @ rng.standard_normal((c, n_labels)) + rng.standard_normal((n, n_labels))
    return scores, labels


@pytest.mark.parametrize("alpha", [1.0, 0.01, 100.0])
@pytest.mark.parametrize(("p", "n"), [(1, 50), (2, 50), (1, 53), (2, 54), (2, 11), (3, 37)])
def test_same_as_a_loop(p, n, alpha):
    scores, labels = drawn(n + p, p, n, 4, 3)
    r2 = cross_validated_r2(fold_scores(scores, shuffled_blocks(n, 5, 42)), labels, alpha)
    expected = looped_r2(scores, labels, alpha)
    assert expected.max() > 0
    np.testing.assert_allclose(r2, expected, rtol=1e-9, atol=1e-11, strict=True)


@pytest.mark.parametrize("p", [1, 2])
def test_every_permutation_same_as_a_loop(p):
    n = 23
    scores, labels = drawn(p, p, n, 6, 5)
    found = list(permuted_r2(fold_scores(scores, shuffled_blocks(n, 5, 42)), labels, 1.0, 6, 12345))
    generator = np.random.RandomState(12345)
    expected = [looped_r2(scores, labels[generator.permutation(n)], 1.0) for _ in range(6)]
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-11)
    assert len({draw.tobytes() for draw in found}) > 1


def test_label_constant_within_a_fold_counts_its_residual_only():
    n = 40
    folds = shuffled_blocks(n, 5, 42)
    scores, labels = drawn(3, 2, n, 3, 2)
    labels[folds.order[folds.slices()[1]], 0] = 2.5
    r2 = cross_validated_r2(fold_scores(scores, folds), labels, 1.0)
    np.testing.assert_allclose(r2, looped_r2(scores, labels, 1.0), rtol=1e-9, atol=1e-11)


def test_label_constant_within_every_fold_scores_zero():
    folds = shuffled_blocks(20, 5, 42)
    labels = np.zeros((20, 2))
    labels[folds.order, 0] = np.repeat(np.arange(5.0), 4)
    labels[:, 1] = np.random.default_rng(0).standard_normal(20)
    scores, _ = drawn(0, 1, 20, 3, 1)
    scores[0, :, 0] = labels[:, 1]
    r2 = cross_validated_r2(fold_scores(scores, folds), labels, 1.0)
    assert r2[:, 0].tolist() == [0, 0, 0]
    assert r2[0, 1] > 0.5


def test_constant_label_scores_zero():
    scores, labels = drawn(0, 2, 30, 3, 2)
    labels[:, 1] = 7.1
    r2 = cross_validated_r2(fold_scores(scores, shuffled_blocks(30, 5, 42)), labels, 1.0)
    assert r2[:, 1].tolist() == [0, 0, 0]


def test_perfect_predictor_reaches_one_as_the_penalty_vanishes():
    scores, _ = drawn(0, 1, 30, 2, 1)
    labels = scores[0, :, :1] * 2 - 1
    r2 = cross_validated_r2(fold_scores(scores, shuffled_blocks(30, 5, 42)), labels, 1e-12)
    assert r2[0, 0] == pytest.approx(1, abs=1e-9)


def test_unrelated_predictor_scores_near_zero():
    rng = np.random.default_rng(5)
    scores, labels = rng.standard_normal((1, 4000, 6)), rng.standard_normal((4000, 3))
    r2 = cross_validated_r2(fold_scores(scores, shuffled_blocks(4000, 5, 42)), labels, 1.0)
    assert r2.max() < 0.005
    assert r2.min() == 0.0


def test_duplicated_and_constant_predictors_are_fitted_by_the_penalty():
    scores, labels = drawn(7, 2, 31, 4, 2)
    scores[1, :, 0] = scores[0, :, 0]
    scores[1, :, 1] = 4.0
    scores[:, :, 2] = -1.0
    r2 = cross_validated_r2(fold_scores(scores, shuffled_blocks(31, 5, 42)), labels, 1.0)
    np.testing.assert_allclose(r2, looped_r2(scores, labels, 1.0), rtol=1e-9, atol=1e-11)


def test_labels_and_scores_may_have_any_offset():
    scores, labels = drawn(8, 2, 33, 4, 2)
    folds = shuffled_blocks(33, 5, 42)
    plain = cross_validated_r2(fold_scores(scores, folds), labels, 1.0)
    moved = cross_validated_r2(fold_scores(scores + 1e5, folds), labels - 1e5, 1.0)
    np.testing.assert_allclose(moved, plain, rtol=0, atol=1e-9)


def test_two_uneven_blocks_are_enough():
    scores, labels = drawn(9, 1, 9, 2, 2)
    r2 = cross_validated_r2(fold_scores(scores, Blocks(np.arange(9), (0, 3, 9))), labels, 1.0)
    assert r2.shape == (2, 2)
    assert np.isfinite(r2).all()
