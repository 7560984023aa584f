"""The probes against a loop of single fits, and at their limits."""

import numpy as np
import pytest

from service.estimation import probes
from service.estimation.probes import (
    RIDGES,
    Classes,
    ProbeLabels,
    Tally,
    jackknife_error,
    probe,
    score,
    scores_without_each,
)
from tests.unit.estimation.naive_rehearsal import naive_earned, naive_jackknife, naive_score


def drawn(seed, n=47, d=6, n_classes=4):
    """Features of very different variance, folds of very different size, numeric labels and uneven classes."""
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((n, d)) * np.geomspace(3, 0.05, d) + 2
    folds = rng.choice(4, size=n, p=[0.4, 0.3, 0.2, 0.1])
    numeric = features @ rng.standard_normal((d, 2)) + rng.standard_normal((n, 2)) * [0.1, 30]
    height = features[:, 0] + 0.3 * rng.standard_normal(n)
    codes = np.searchsorted(np.quantile(height, [0.5, 0.75, 0.95][: n_classes - 1]), height)
    other = rng.integers(0, 3, n)
    return features, ProbeLabels(folds, numeric, (Classes(codes, n_classes), Classes(other, 3)))


def labels_of(folds, numeric=None, codes=None, count=0):
    values = np.zeros((len(folds), 0)) if numeric is None else numeric
    return ProbeLabels(folds, values, () if codes is None else (Classes(codes, count),))


@pytest.mark.parametrize("seed", range(6))
def test_same_as_a_loop_over_folds_ridges_and_labels(seed):
    features, labels = drawn(seed)
    matrix = np.random.default_rng(seed).standard_normal((6, 4))
    tallies = probe(features, [matrix] * 4, labels)
    columns = [*((column, None) for column in labels.numeric.T), *((c.codes, c.count) for c in labels.categorical)]
    assert len(tallies) == len(columns)
    for tally, (values, n_classes) in zip(tallies, columns, strict=True):
        earned, possible = naive_earned([features @ matrix] * 4, labels.folds, values, n_classes)
        np.testing.assert_allclose(tally.earned, earned, rtol=1e-8, atol=1e-8 * np.abs(possible).max())
        np.testing.assert_allclose(tally.possible, possible, rtol=1e-8)
        assert score(tally) == pytest.approx(naive_score(earned, possible, values, n_classes), abs=1e-9)


def test_an_encoder_of_its_own_for_every_fold_same_as_a_loop():
    features, labels = drawn(7)
    rng = np.random.default_rng(7)
    shared, other = rng.standard_normal((6, 3)), rng.standard_normal((6, 3))
    encoders = [shared, other, shared, rng.standard_normal((6, 3))]
    tallies = probe(features, encoders, labels)
    embeddings = [features @ matrix for matrix in encoders]
    earned, _ = naive_earned(embeddings, labels.folds, labels.numeric[:, 0], None)
    np.testing.assert_allclose(tallies[0].earned, earned, rtol=1e-8, atol=1e-7)
    right, _ = naive_earned(embeddings, labels.folds, labels.categorical[0].codes, 4)
    np.testing.assert_array_equal(tallies[2].earned, right)


def test_rows_in_small_portions_give_the_same(monkeypatch):
    features, labels = drawn(1)
    at_once = probe(features, [np.eye(6)] * 4, labels)
    monkeypatch.setattr(probes, "CHUNK_VALUES", 3 * len(RIDGES) * 9)
    for tally, expected in zip(probe(features, [np.eye(6)] * 4, labels), at_once, strict=True):
        np.testing.assert_allclose(tally.earned, expected.earned, rtol=1e-12, atol=1e-12)


def test_the_order_of_rows_does_not_matter():
    features, labels = drawn(2)
    order = np.random.default_rng(0).permutation(len(features))
    turned = ProbeLabels(
        labels.folds[order], labels.numeric[order], tuple(Classes(c.codes[order], c.count) for c in labels.categorical)
    )
    first, second = probe(features, [np.eye(6)] * 4, labels), probe(features[order], [np.eye(6)] * 4, turned)
    for tally, other in zip(first, second, strict=True):
        np.testing.assert_allclose(other.earned, tally.earned[order], rtol=1e-8, atol=1e-8)


def test_a_label_s_values_in_the_held_out_fold_do_not_reach_its_prediction():
    features, labels = drawn(3)
    held = labels.folds == 1
    moved = labels.numeric.copy()
    moved[held] += 1000 * np.random.default_rng(0).standard_normal((held.sum(), 2))

    def predicted(numeric):
        tally = probe(features, [np.eye(6)] * 4, labels_of(labels.folds, numeric))[0]
        distance = np.sqrt(tally.possible[held] - tally.earned[held])  # |value - prediction|
        return numeric[held, 0], distance

    before, after = predicted(labels.numeric), predicted(moved)
    for value, distance, moved_value, moved_distance in zip(*before, *after, strict=True):
        candidates = {round(value - distance, 6), round(value + distance, 6)}
        assert candidates & {round(moved_value - moved_distance, 6), round(moved_value + moved_distance, 6)}


def test_a_linear_label_is_predicted_and_an_unrelated_one_is_not():
    rng = np.random.default_rng(0)
    features, folds = rng.standard_normal((300, 5)), np.arange(300) % 5
    numeric = np.stack([features @ np.arange(1, 6) + 4, rng.standard_normal(300)], axis=1)
    linear, unrelated = probe(features, [np.eye(5)] * 5, labels_of(folds, numeric))
    assert score(linear) > 0.999
    assert -0.05 < score(unrelated) < 0.02


def test_a_class_between_two_others_is_found():
    """Regression on one-hot classes would never predict it."""
    rng = np.random.default_rng(1)
    codes = rng.integers(0, 3, 300)
    features = np.stack([codes + 0.1 * rng.standard_normal(300), rng.standard_normal(300)], axis=1)
    (tally,) = probe(features, [np.eye(2)] * 5, labels_of(np.arange(300) % 5, None, codes, 3))
    assert score(tally) > 0.99


def test_an_embedding_that_does_not_vary_scores_at_chance():
    folds = np.arange(30) % 3
    rng = np.random.default_rng(0)
    labels = labels_of(folds, rng.standard_normal((30, 1)), rng.permutation(30) % 5, 5)
    numeric, categorical = probe(np.full((30, 2), 4.0), [np.eye(2)] * 3, labels)
    assert score(numeric) == 0
    assert score(categorical) == pytest.approx(1 / 5)


def test_a_class_that_is_missing_from_the_training_rows_is_missed_and_breaks_nothing():
    features, labels = drawn(4)
    codes = np.where(np.arange(47) == np.flatnonzero(labels.folds == 2)[0], 2, np.arange(47) % 2)
    (tally,) = probe(features, [np.eye(6)] * 4, labels_of(labels.folds, None, codes, 3))
    assert tally.earned[codes == 2].tolist() == [0]
    assert np.isfinite(score(tally))


def test_scores_average_over_classes_not_rows():
    classes = Classes(np.array([0, 0, 0, 0, 1, 1]), 3)
    tally = Tally(np.array([1.0, 1, 1, 1, 1, 0]), np.ones(6), classes)
    assert score(tally) == pytest.approx((1 + 0.5) / 2)  # nobody is of the third class
    without = scores_without_each(tally, np.array([0, 0, 1, 1, 2, 3]))
    np.testing.assert_allclose(without, [0.75, 0.75, (1 + 0) / 2, 1.0])


def test_a_score_without_anything_possible_is_zero():
    tally = Tally(np.zeros(4), np.array([0.0, 0, 0, 2]), Classes(np.zeros(4, dtype=int), 1))
    assert scores_without_each(tally, np.arange(4)).tolist() == [0, 0, 0, 0]


def test_scores_without_each_group_match_a_loop():
    features, labels = drawn(5)
    groups = np.random.default_rng(0).integers(0, 9, 47)
    for tally in probe(features, [np.eye(6)] * 4, labels):
        n_classes = tally.classes.count if tally.classes.count > 1 else None

        def kept(rows, tally=tally, n_classes=n_classes):
            return naive_score(tally.earned[rows], tally.possible[rows], tally.classes.codes[rows], n_classes)

        values = scores_without_each(tally, groups)
        np.testing.assert_allclose(values, [kept(groups != group) for group in range(9)], rtol=1e-9)
        assert jackknife_error(values) == pytest.approx(naive_jackknife(kept, groups), rel=1e-9)


def test_jackknife_of_a_mean_is_its_textbook_standard_error():
    values = np.random.default_rng(0).standard_normal(40)
    without = (values.sum() - values) / 39
    assert jackknife_error(without) == pytest.approx(values.std(ddof=1) / np.sqrt(40), rel=1e-12)
    assert jackknife_error(np.full(7, 0.3)) == 0


def test_jackknife_error_is_the_spread_over_repetitions():
    """The score of 150 rows, drawn 60 times, spreads as its standard error says."""
    scores, errors = [], []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        features = rng.standard_normal((150, 3))
        codes = (features[:, 0] + rng.standard_normal(150) > 0.7).astype(int)
        labels = labels_of(rng.permutation(150) % 5, features[:, :1] + rng.standard_normal((150, 1)), codes, 2)
        tallies = probe(features, [np.eye(3)] * 5, labels)
        scores.append([score(tally) for tally in tallies])
        errors.append([jackknife_error(scores_without_each(tally, np.arange(150))) for tally in tallies])
    ratio = np.std(scores, axis=0) / np.sqrt(np.mean(np.square(errors), axis=0))
    assert (np.abs(np.log(ratio)) < 0.25).all()


def test_ridges_run_from_the_strongest_down():
    assert (np.diff(RIDGES) < 0).all()
    np.testing.assert_allclose(RIDGES[[0, -1]], [1e3, 1e-5])
