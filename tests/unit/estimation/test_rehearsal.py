"""The rehearsal against one that refits everything from raw arrays, and what it must and must not depend on."""

from dataclasses import replace

import numpy as np
import pytest

from service.estimation.labels import LabelColumn, LabelType, label_columns
from service.estimation.moments import BlockMoments, block_moments, without
from service.estimation.record import to_json
from service.estimation.rehearsal import rehearse
from service.estimation.rehearsal_records import Rehearsal
from service.estimation.terms import Encoder, Metric
from tests.unit.estimation.naive_rehearsal import naive_earned, naive_encoder, naive_jackknife, naive_score
from tests.unit.estimation.samples import paired

ANY_FOLD = -1  # of unlabeled pairs that share no group with a labeled one
ANYWHERE = np.array([ANY_FOLD])
DX, DY = 7, 5


def sums_of(x, y):
    """All pairs as one block."""
    return block_moments(x, y, np.zeros(len(x), dtype=int), 1)


def problem(seed=0, n=120, m=45, n_folds=5):
    """The first m pairs are labeled, by a numeric column and a class of three."""
    sample = paired(seed, n=n, dx=DX, dy=DY)
    rng = np.random.default_rng(seed)
    folds = rng.permutation(m) % n_folds
    classes = np.searchsorted([-0.4, 1.0], sample.labels[:m, 1])
    columns = label_columns(
        {"height": sample.labels[:m, 0], "kind": classes}, {"kind": LabelType.CATEGORICAL, "height": LabelType.NUMERIC}
    )
    return sample.x, sample.y, folds, columns


def rehearsed(x, y, folds, columns, dims=(3,), **more) -> Rehearsal:
    m = len(folds)
    return rehearse(sums_of(x[m:], y[m:]), ANYWHERE, x[:m], y[:m], folds, columns, dims, **more)


def naive(x, y, folds, column, dims, seen, groups=None):
    """Rows by encoder and dimension: score, error, difference, error.  `seen[f]` are the pairs that encoders see."""
    m = len(folds)
    rows = np.arange(m) if column.present is None else np.flatnonzero(column.present)
    units = np.arange(m)[rows] if groups is None else groups[rows]
    values, n_classes = column.values[rows], None
    if column.type is LabelType.CATEGORICAL:
        values, n_classes = np.unique(values, return_inverse=True)[1], len(np.unique(values))
    found = {}
    for encoder in Encoder:
        for k in (None,) if encoder in ("x", "y", "both") else dims:
            embed = [naive_encoder(x[mask], y[mask], encoder, k) for mask in seen]
            embeddings = [one(x[:m][rows], y[:m][rows]) for one in embed]
            found[encoder, k] = naive_earned(embeddings, folds[rows], values, n_classes)

    def score(key, kept):
        return naive_score(found[key][0][kept], found[key][1][kept], values[kept], n_classes)

    every = np.full(len(rows), True)
    best = max([(Encoder.X, None), (Encoder.Y, None)], key=lambda key: score(key, every))
    return {
        key: (
            score(key, every),
            naive_jackknife(lambda kept, key=key: score(key, kept), units),
            score(key, every) - score(best, every),
            naive_jackknife(lambda kept, key=key: score(key, kept) - score(best, kept), units),
        )
        for key in found
    }


def check(rehearsal, columns, expected_of):
    for column in columns:
        expected = expected_of(column)
        rows = [row for row in rehearsal.rows if row.label == column.name]
        assert [(row.encoder, row.embedding_dim) for row in rows] == list(expected)
        for row in rows:
            got = (row.score, row.standard_error, row.difference, row.difference_se)
            assert got == pytest.approx(expected[row.encoder, row.embedding_dim], rel=1e-8, abs=1e-8)


def numbers(rehearsal):
    return np.array([[row.score, row.standard_error, row.difference, row.difference_se] for row in rehearsal.rows])


def by_encoder(rehearsal, label):
    return {row.encoder: row for row in rehearsal.rows if row.label == label}


def test_same_as_one_from_raw_arrays():
    x, y, folds, columns = problem()
    found = rehearsed(x, y, folds, columns, dims=(4, 2))
    seen = [np.arange(120) >= 45] * 5
    check(found, columns, lambda column: naive(x, y, folds, column, (4, 2), seen))
    assert (found.encoder_pairs, found.cross_fitted, found.folds) == (75, False, 5)
    assert all(row.score > row.chance + 0.1 for row in found.rows)


@pytest.mark.parametrize("n", [45, 60])
def test_cross_fitted_same_as_one_from_raw_arrays(n):
    """Too few pairs are unlabeled, or none: each fold's encoders see all pairs outside it."""
    x, y, folds, columns = problem(seed=1, n=n, n_folds=4)
    found = rehearsed(x, y, folds, columns, dims=(2,))
    seen = [np.append(folds != fold, np.full(n - 45, True)) for fold in range(4)]
    check(found, columns, lambda column: naive(x, y, folds, column, (2,), seen))
    assert (found.encoder_pairs, found.cross_fitted) == (n - 12, True)


@pytest.mark.parametrize(("n", "cross_fitted"), [(130, False), (70, True)])
def test_encoders_see_no_unlabeled_pair_of_a_held_out_group(n, cross_fitted):
    x, y, _, columns = problem(seed=2, n=n)
    rng = np.random.default_rng(2)
    groups = rng.integers(0, 12, n)
    group_folds = np.arange(12) % 4
    group_folds[11] = ANY_FOLD  # nobody of this group is labeled
    groups[:45] %= 11
    folds = group_folds[groups[:45]]
    unlabeled = block_moments(x[45:], y[45:], groups[45:], 12)
    found = rehearse(unlabeled, group_folds, x[:45], y[:45], folds, columns, (2,), groups=groups[:45])
    labeled = np.arange(n) < 45
    seen = [(group_folds[groups] != fold) & (cross_fitted | ~labeled) for fold in range(4)]
    check(found, columns, lambda column: naive(x, y, folds, column, (2,), seen, groups[:45]))
    assert found.cross_fitted == cross_fitted
    assert found.encoder_pairs == min(mask.sum() for mask in seen)


def test_no_unlabeled_set_at_all_is_no_unlabeled_pair():
    x, y, folds, columns = problem(n=45)
    none = BlockMoments(np.zeros(0), np.zeros((0, DX + DY)), np.zeros((0, DX + DY, DX + DY)), DX)
    found = rehearse(none, np.zeros(0, dtype=int), x, y, folds, columns, (2,))
    expected = numbers(rehearsed(x, y, folds, columns, (2,)))  # of one empty block
    np.testing.assert_allclose(numbers(found), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("n", [120, 45])
def test_unlabeled_sums_may_be_those_of_all_pairs_without_the_labeled(n):
    x, y, folds, columns = problem(seed=13, n=n)
    blocks = np.arange(n) % 10
    every, labeled = block_moments(x, y, blocks, 10), block_moments(x[:45], y[:45], blocks[:45], 10)
    found = rehearse(without(every, labeled), np.full(10, ANY_FOLD), x[:45], y[:45], folds, columns, (2,))
    np.testing.assert_allclose(numbers(found), numbers(rehearsed(x, y, folds, columns, (2,))), rtol=0, atol=1e-9)


@pytest.mark.parametrize("n", [120, 45])
def test_rows_do_not_depend_on_a_modality_s_origin_or_unit(n):
    x, y, folds, columns = problem(seed=3, n=n)
    plain = rehearsed(x, y, folds, columns, dims=(5, 2))
    for moved in (
        rehearsed(x + 30, y, folds, columns, dims=(5, 2)),
        rehearsed(1e-5 * x, y, folds, columns, dims=(5, 2)),
        rehearsed(x, y - 30, folds, columns, dims=(5, 2)),
        rehearsed(x, 1e6 * y, folds, columns, dims=(5, 2)),
    ):
        np.testing.assert_allclose(numbers(moved), numbers(plain), rtol=0, atol=1e-8)


def test_scores_do_not_depend_on_a_label_s_origin_or_unit_or_on_the_names_of_classes():
    x, y, folds, columns = problem(seed=4)
    plain = numbers(rehearsed(x, y, folds, columns))
    height, kind = columns
    for unit, origin in ((1e-170, 0), (1e150, 1e150), (1, 1e4)):
        moved = (replace(height, values=unit * height.values + origin), kind)
        np.testing.assert_allclose(numbers(rehearsed(x, y, folds, moved)), plain, rtol=0, atol=1e-8)
    renamed = (height, replace(kind, values=np.array(["c", "a", "b"])[kind.values]))
    np.testing.assert_allclose(numbers(rehearsed(x, y, folds, renamed)), plain, rtol=0, atol=1e-12)


def test_encoders_do_not_see_labeled_pairs_where_enough_are_unlabeled():
    """A labeled pair without a value is neither probed nor, here, part of what encoders are fitted on."""
    x, y, folds, columns = problem(seed=5)
    columns = [replace(column, present=np.arange(45) > 4) for column in columns]
    plain = numbers(rehearsed(x, y, folds, columns))
    x[:5] *= -40
    assert numbers(rehearsed(x, y, folds, columns)) == pytest.approx(plain, abs=1e-9)
    few = slice(0, 60)
    assert rehearsed(x[few], y[few], folds, columns).cross_fitted
    before = numbers(rehearsed(x[few], y[few], folds, columns))
    x[:5] *= -40
    assert numbers(rehearsed(x[few], y[few], folds, columns)) != pytest.approx(before, abs=1e-3)


def test_missing_values_are_left_out():
    x, y, folds, columns = problem(seed=6)
    rng = np.random.default_rng(6)
    height, kind = columns
    hidden = (rng.random(45) < 0.3, rng.random(45) < 0.2)
    holed = label_columns(
        {"height": np.where(hidden[0], np.nan, height.values), "kind": np.ma.MaskedArray(kind.values, hidden[1])},
        {"kind": LabelType.CATEGORICAL},
    )
    found = rehearsed(x, y, folds, (*holed, replace(kind, name="whole")), dims=(2,))
    seen = [np.arange(120) >= 45] * 5
    check(found, (*holed, replace(kind, name="whole")), lambda column: naive(x, y, folds, column, (2,), seen))
    assert [label.n_rows for label in found.labels] == [45 - hidden[0].sum(), 45 - hidden[1].sum(), 45]


def test_columns_with_values_in_the_same_rows_do_not_disturb_each_other():
    x, y, folds, columns = problem(seed=7)
    together = rehearsed(x, y, folds, columns[::-1])
    alone = [rehearsed(x, y, folds, [column]) for column in columns[::-1]]
    expected = np.vstack([numbers(one) for one in alone])
    np.testing.assert_allclose(numbers(together), expected, rtol=0, atol=1e-10)
    assert [row.label for row in together.rows] == [row.label for one in alone for row in one.rows]


def test_rows_name_their_metric_and_chance():
    x, y, folds, columns = problem()
    found = rehearsed(x, y, folds, columns)
    height, kind = by_encoder(found, "height"), by_encoder(found, "kind")
    assert {(row.metric, row.chance) for row in height.values()} == {(Metric.R2, 0.0)}
    assert {(row.metric, row.chance) for row in kind.values()} == {(Metric.BALANCED_ACCURACY, 1 / 3)}
    assert [(label.label, label.n_rows, label.n_classes) for label in found.labels] == [
        ("height", 45, None),
        ("kind", 45, 3),
    ]
    for rows in (height, kind):
        better = max(rows["x"], rows["y"], key=lambda row: row.score)
        assert (better.difference, better.difference_se) == (0.0, 0.0)


def test_dimensions_above_the_rank_are_lowered_to_it_once():
    x, y, folds, columns = problem(seed=8)
    x = np.hstack([x, x[:, :2]])
    found = rehearsed(x, y, folds, columns, dims=(100, 40, 2))
    dims = {encoder: [r.embedding_dim for r in found.rows if r.encoder == encoder] for encoder in ("ca_x", "pca_x")}
    assert dims == {"ca_x": [5, 2] * 2, "pca_x": [7, 2] * 2}
    assert np.isfinite(numbers(found)).all()


def test_a_rank_that_differs_between_folds_is_the_lowest():
    """With x of rank 1 outside fold 0, that fold's encoders have one dimension."""
    x, y, folds, columns = problem(seed=9, n=45, n_folds=3)
    x[folds != 0] = np.outer(x[folds != 0, 0], np.arange(1, 8))
    found = rehearsed(x, y, folds, columns, dims=(3,))
    assert by_encoder(found, "height")["ca_y"].embedding_dim == 1
    assert by_encoder(found, "height")["pca_y"].embedding_dim == 3
    assert np.isfinite(numbers(found)).all()


def test_rare_classes_crash_nothing_and_one_that_one_fold_holds_is_left_out():
    x, y, folds, columns = problem(seed=10)
    kinds = np.array(["often", "seldom"])[(np.arange(45) % 9 == 0).astype(int)]
    kinds[np.flatnonzero(folds == 2)[:2]] = "together"
    kinds[np.flatnonzero(folds == 3)[0]] = "once"
    kinds[[np.flatnonzero(folds == fold)[1] for fold in (0, 4)]] = "twice"
    found = rehearsed(x, y, folds, [columns[0], LabelColumn("kind", LabelType.CATEGORICAL, kinds)])
    assert [(label.n_rows, label.n_classes, label.left_out) for label in found.labels] == [
        (45, None, None),
        (42, 3, None),
    ]
    assert by_encoder(found, "kind")["x"].chance == 1 / 3
    assert np.isfinite(numbers(found)).all()


def test_columns_that_cannot_be_scored_are_left_out_with_the_reason():
    x, y, folds, (height, kind) = problem(seed=11)
    constant = replace(height, name="constant", values=np.full(45, 2.5))
    scattered = LabelColumn("scattered", LabelType.CATEGORICAL, np.arange(45).astype(str))
    nowhere = replace(kind, name="nowhere", present=np.zeros(45, dtype=bool))
    narrow = replace(height, name="narrow", present=folds < 2)
    found = rehearsed(x, y, folds, [constant, scattered, nowhere, narrow, height])
    reasons = {label.label: label.left_out for label in found.labels}
    for name in ("constant", "scattered"):
        assert reasons[name].startswith(f"Label column '{name}' does not vary enough")
    for name in ("nowhere", "narrow"):
        assert reasons[name].startswith(f"Label column '{name}' has values in fewer than 3 folds.")
    assert reasons["height"] is None
    assert {row.label for row in found.rows} == {"height"}


@pytest.mark.parametrize("n_folds", [1, 2])
def test_too_few_folds_give_no_rows(n_folds):
    x, y, folds, columns = problem(n=45, n_folds=n_folds)
    found = rehearsed(x, y, folds, columns)
    assert (found.rows, found.folds, found.encoder_pairs) == ((), n_folds, 0)
    assert all("fewer than 3 folds" in label.left_out for label in found.labels)


def test_no_dimension_leaves_the_raw_features():
    x, y, folds, columns = problem()
    assert {row.encoder for row in rehearsed(x, y, folds, columns, dims=(0,)).rows} == {"x", "y", "both"}


def test_same_input_same_rehearsal_and_it_can_be_written_as_json():
    x, y, folds, columns = problem(seed=12)
    first, second = rehearsed(x, y, folds, columns), rehearsed(x, y, folds, columns)
    assert first == second
    assert to_json(first) == to_json(second)
    assert '"encoder": "ca_both"' in to_json(first)


def spiked(seed, nu, tilde_y, n=4000, m=400):
    """Two signal coordinates of kappa^2 = 1 and gamma = 0.25, three nuisance pairs, rotated:
    rho = 0.8, tau = 0.89, canonical correlations of the nuisance nu, and xi = nu sqrt(tilde_y)."""
    rng = np.random.default_rng(seed)
    signal, nuisance = rng.standard_normal((n, 2)), rng.standard_normal((n, 3))
    x = np.hstack([signal + 0.5 * rng.standard_normal((n, 2)), nuisance, rng.standard_normal((n, 2))])
    paired_nuisance = nu * nuisance + np.sqrt(1 - nu**2) * rng.standard_normal((n, 3))
    y = np.hstack([signal + 0.5 * rng.standard_normal((n, 2)), np.sqrt(tilde_y) * paired_nuisance])
    x, y = (values @ np.linalg.qr(rng.standard_normal((len(values.T),) * 2))[0] for values in (x, y))
    labels = {"sum": signal @ [1.0, 0.7], "quadrant": (signal[:, 0] > 0) + 2 * (signal[:, 1] > 0)}
    columns = label_columns(
        {name: values[:m] for name, values in labels.items()},
        {"sum": LabelType.NUMERIC, "quadrant": LabelType.CATEGORICAL},
    )
    return x, y, rng.permutation(m) % 5, columns


@pytest.mark.parametrize("label", ["sum", "quadrant"])
def test_alignment_keeps_the_signal_where_strong_nuisance_takes_prediction(label):
    """nu = 0.5, tilde_y = 9: 0.8 > 0.5 but 0.89 < 1.5."""
    rows = by_encoder(rehearsed(*spiked(0, nu=0.5, tilde_y=9.0), dims=(2,)), label)
    for name in ("ca_x", "ca_y"):
        assert abs(rows[name].score - rows["x"].score) < 0.05
    assert rows["cp_x_to_y"].score - rows["cp_x_to_y"].chance < 0.05
    assert rows["cp_x_to_y"].difference < -10 * rows["cp_x_to_y"].difference_se
    assert rows["pca_y"].score - rows["pca_y"].chance < 0.05
    assert rows["ca_both"].score > rows["ca_x"].score


@pytest.mark.parametrize("label", ["sum", "quadrant"])
def test_prediction_keeps_the_signal_where_correlated_nuisance_takes_alignment(label):
    """nu = 0.95, tilde_y = 0.05: 0.8 < 0.95 but 0.89 > 0.21."""
    rows = by_encoder(rehearsed(*spiked(1, nu=0.95, tilde_y=0.05), dims=(2,)), label)
    assert abs(rows["cp_x_to_y"].score - rows["x"].score) < 0.05
    for name in ("ca_x", "ca_y", "ca_both"):
        assert rows[name].score - rows[name].chance < 0.05
        assert rows[name].difference < -10 * rows[name].difference_se


@pytest.mark.parametrize("n", [600, 150])
@pytest.mark.parametrize("seed", range(3))
def test_labels_that_know_nothing_stay_at_chance(seed, n):
    """Not above it by three standard errors, cross-fitted or not; nor far below."""
    sample = paired(seed, n=n, dx=20, dy=15)
    rng = np.random.default_rng(seed)
    columns = label_columns({"noise": rng.standard_normal(150), "coin": rng.integers(0, 3, 150).astype(str)})
    found = rehearsed(sample.x, sample.y, rng.permutation(150) % 5, columns, dims=(10, 3))
    for row in found.rows:
        assert row.score < row.chance + 3 * row.standard_error
        assert row.score > row.chance - 0.15


def test_the_ridge_is_chosen_without_splitting_a_group():
    """Rows of a group share features and a label of chance: a ridge chosen on rows of known groups would be weak, and
    on unknown ones worse than none."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(30), 6)
    x = rng.standard_normal((30, 12))[groups] + 0.01 * rng.standard_normal((180, 12))
    y = rng.standard_normal((30, 9))[groups] + 0.01 * rng.standard_normal((180, 9))
    columns = label_columns({"of_group": rng.standard_normal(30)[groups]})
    none = sums_of(x[:0], y[:0])
    apart = rehearse(none, ANYWHERE, x, y, groups % 5, columns, (4,), groups=groups)
    split = rehearse(none, ANYWHERE, x, y, np.arange(180) % 6, columns, (4,))
    assert by_encoder(split, "of_group")["both"].score > 0.5
    assert all(-0.3 < row.score < 0.1 for row in apart.rows)
    assert by_encoder(apart, "of_group")["x"].standard_error > 2 * by_encoder(split, "of_group")["x"].standard_error
