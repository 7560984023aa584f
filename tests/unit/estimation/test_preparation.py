import numpy as np
import pytest

from service.estimation.covariates import covariate_columns
from service.estimation.errors import ConstantLabels, TooFewGroups, TooFewLabeledRows, UnpairedRows
from service.estimation.labels import label_columns
from service.estimation.options import Options
from service.estimation.preparation import BLOCKS, MOST_COMPONENTS, components_kept, prepare
from service.estimation.terms import Method, Missing

from .samples import paired

X, Y, LABELS = paired(n=90)
OPTIONS = Options(method=Method.CALIBRATED)
DROP = Options(method=Method.CALIBRATED, missing=Missing.DROP_ROWS)


def prepared(x=X, y=Y, labels=LABELS, rows=None, options=OPTIONS, **more):
    return prepare(x, y, label_columns(labels), rows, options, **more)


def test_moments_and_labeled_scores_are_those_of_the_principal_coordinates():
    rows = np.random.default_rng(0).permutation(90)[:40]
    found = prepared(labels=LABELS[rows], rows=rows)
    z = np.hstack([found.basis_x.scores(X), found.basis_y.scores(Y)])
    pooled = found.reduction.moments.pooled(np.ones(len(found.reduction.moments.counts)))
    np.testing.assert_allclose(pooled.covariance, np.cov(z.T, bias=True), rtol=1e-8, atol=1e-9)
    assert found.reduction.moments.n_x == found.basis_x.n_components == 7
    np.testing.assert_allclose(found.reduction.labeled_x, found.basis_x.scores(X[rows]), rtol=1e-8, atol=1e-9)
    np.testing.assert_array_equal(found.labeled, rows)
    np.testing.assert_array_equal(found.targets.matrix, LABELS[rows])


def test_every_pair_is_in_one_of_the_blocks_and_groups_are_not_split():
    groups = np.repeat(np.arange(30), 3)
    found = prepared(groups=groups)
    assert found.blocks.min() == 0
    assert found.blocks.max() < BLOCKS
    for group in range(30):
        assert len(set(found.blocks[groups == group])) == 1
    np.testing.assert_array_equal(found.labeled_groups, groups)
    assert prepared().labeled_groups is None


def test_rows_with_missing_features_count_nowhere():
    x = X.copy()
    x[[3, 50], 2] = np.nan
    found = prepared(x=x, options=DROP)
    np.testing.assert_array_equal(np.flatnonzero(found.blocks < 0), [3, 50])
    assert found.survey.n_pairs == 88
    np.testing.assert_array_equal(found.labeled, np.setdiff1d(np.arange(90), [3, 50]))
    assert len(found.targets.matrix) == 88
    assert found.reduction.moments.counts.sum() == 88


def test_label_rows_without_any_label_are_left_out():
    labels = LABELS.copy()
    labels[:20] = np.nan
    labels[30:40, 0] = np.nan
    found = prepared(labels=labels)
    np.testing.assert_array_equal(found.labeled, np.arange(20, 90))
    np.testing.assert_array_equal(np.isnan(found.targets.matrix).sum(axis=0), [10, 0])


def test_columns_that_cannot_be_used_are_kept_apart():
    labels = np.column_stack([LABELS[:, 0], np.full(90, 2.0)])
    found = prepared(labels=labels)
    assert [column.name for column in found.columns] == ["label_0", "label_1"]
    assert [column.name for column in found.used] == ["label_0"]


def test_labels_lost_with_missing_features_are_refused_in_words():
    x = X.copy()
    x[:15, 0] = np.nan
    with pytest.raises(TooFewLabeledRows, match="15 of 20 labeled pairs"):
        prepared(x=x, labels=LABELS[:20], rows=np.arange(20), options=DROP)


def test_a_column_constant_among_the_pairs_that_count_is_refused():
    x = X.copy()
    x[:5, 0] = np.nan
    labels = (np.arange(90) < 5).astype(float)
    with pytest.raises(ConstantLabels):
        prepared(x=x, labels=labels, options=DROP)


def test_groups_are_counted_among_the_pairs_that_count():
    groups = np.concatenate([np.zeros(60, dtype=int), np.arange(1, 31)])
    x = X.copy()
    x[62:, 0] = np.nan
    with pytest.raises(TooFewGroups):
        prepared(x=x, options=DROP, groups=groups)


def test_form_is_checked_first():
    with pytest.raises(UnpairedRows):
        prepared(y=Y[:-1])


def test_covariates_are_gathered_in_the_second_pass():
    covariates = covariate_columns({"batch": np.array(["a", "b"])[np.arange(90) % 2]})
    found = prepared(covariates=covariates)
    assert found.covariates == covariates


def test_stages_are_told_in_order():
    stages = []
    prepared(stage=stages.append)
    assert stages == ["survey", "reduce"]


@pytest.mark.parametrize(
    ("n_pairs", "chosen", "kept"), [(20, None, 10), (3, None, 2), (10**6, None, MOST_COMPONENTS), (20, 300, 300)]
)
def test_components_kept(n_pairs, chosen, kept):
    assert components_kept(Options(pca_components=chosen), n_pairs) == kept
