"""Each warning of the published procedure when it is due, and only then."""

import numpy as np
import pytest

from service.estimation import warnings
from service.estimation.covariates import covariate_columns
from service.estimation.estimate import estimate
from service.estimation.inputs import check_values
from service.estimation.labels import label_columns
from service.estimation.separation_records import Ratio, Regimes
from service.estimation.spectrum_records import RuleOutcome, Rules
from service.estimation.terms import RatioStatus, Regime, Rule

from .samples import PUBLISHED, paired

X, Y, LABELS = paired(n=60)
COLUMNS = label_columns(LABELS)
FROM_DATA = {
    "fewer_pairs_than_features",
    "rare_classes",
    "small_scale",
    "duplicate_rows",
    "unlabeled_pairs_unused",
    "constant_feature_columns",
    "constant_label_columns",
    "sparse_label_columns",
    "groups_unused",
    "covariates_unused",
}


def given(x=X, y=Y, labels=COLUMNS, rows=None, **beside):
    """Warnings by code, those that depend on the estimate itself left out."""
    report = estimate(x, y, labels, rows, PUBLISHED, **beside)
    return {warning.code: warning.message for warning in report.warnings if warning.code in FROM_DATA}


def test_ordinary_data_give_none():
    assert given() == {}


class TestFewPairs:
    def test_due_from_equality(self):
        x = paired(n=60, dx=60).x
        found = given(x=x)
        assert list(found) == ["fewer_pairs_than_features"]
        assert "60 pairs were used and x has 60 features" in found["fewer_pairs_than_features"]

    def test_not_due_below(self):
        assert given(x=paired(n=60, dx=59).x) == {}

    def test_labeled_pairs_are_what_counts(self):
        wide = paired(n=60, dx=25, dy=21)
        found = given(wide.x, wide.y, label_columns(wide.labels[:20]), np.arange(20))
        assert set(found) == {"fewer_pairs_than_features", "unlabeled_pairs_unused"}
        assert "x has 25 and y has 21 features" in found["fewer_pairs_than_features"]


class TestSmallScale:
    def test_due_when_the_ridge_is_a_share_of_the_variance(self):
        y = Y / np.sqrt(Y.var(axis=0).mean())
        assert given(y=y * 1.001e-2) == {}
        found = given(y=y * 0.999e-2)
        assert list(found) == ["small_scale"]
        assert "y's columns" in found["small_scale"]
        assert "1e-06" in found["small_scale"]


class TestDuplicates:
    def test_due_for_a_repeated_pair(self):
        x, y = X.copy(), Y.copy()
        x[[41, 50]], y[[41, 50]] = x[3], y[3]
        x[17], y[17] = x[9], y[9]
        found = given(x=x, y=y)
        assert list(found) == ["duplicate_rows"]
        assert "3 pairs repeat" in found["duplicate_rows"]
        assert "row 17, which repeats row 9" in found["duplicate_rows"]

    def test_not_due_when_one_modality_differs(self):
        x = X.copy()
        x[41] = x[3]
        assert given(x=x) == {}


def test_unlabeled_pairs_are_counted():
    found = given(labels=label_columns(LABELS[:35]), rows=np.arange(35))
    assert list(found) == ["unlabeled_pairs_unused"]
    assert "25 of 60" in found["unlabeled_pairs_unused"]


def test_rows_of_all_pairs_leave_none_unused():
    assert given(rows=np.arange(60)) == {}


class TestConstantColumns:
    def test_of_features(self):
        x = X.copy()
        x[:, [1, 4]] = 3.0
        found = given(x=x)
        assert list(found) == ["constant_feature_columns"]
        assert "2 of 7 columns of x" in found["constant_feature_columns"]
        assert "1, 4 (counted from 0)" in found["constant_feature_columns"]

    def test_long_lists_are_cut(self):
        y = np.hstack([Y, np.ones((60, 13))])
        assert "13, 14 and 3 more" in given(y=y)["constant_feature_columns"]

    def test_a_column_that_varies_in_one_row_is_not_constant(self):
        x = X.copy()
        x[:, 1] = 3.0
        x[59, 1] = 3.5
        assert given(x=x) == {}

    def test_of_labels(self):
        labels = label_columns({"a": LABELS[:, 0], "site": np.full(60, "here")})
        found = given(labels=labels)
        assert list(found) == ["constant_label_columns"]
        assert "'site'" in found["constant_label_columns"]
        report = estimate(X, Y, labels, options=PUBLISHED)
        assert [(label.name, label.used) for label in report.data.labels] == [("a", True), ("site", False)]
        assert list(report.spectra.ca[0].r2_by_label) == ["a"]


def test_columns_that_few_rows_have_are_named_and_counted():
    few = np.where(np.arange(60) < 9, LABELS[:, 0], np.nan)
    constant = np.where(np.arange(60) < 10, 1.0, np.nan)
    found = given(labels=label_columns({"a": LABELS[:, 0], "few": few, "none": few * np.nan, "constant": constant}))
    assert set(found) == {"sparse_label_columns", "constant_label_columns"}
    assert "fewer than 10 values" in found["sparse_label_columns"]
    assert "'few' (9), 'none' (0)." in found["sparse_label_columns"]
    assert "dropped: 'constant'." in found["constant_label_columns"]


def test_the_published_procedure_says_that_it_uses_no_groups():
    found = given(groups=np.arange(60) // 2)
    assert list(found) == ["groups_unused"]
    assert "method calibrated" in found["groups_unused"]


def test_the_published_procedure_says_that_it_uses_no_covariates():
    found = given(covariates=covariate_columns(LABELS))
    assert list(found) == ["covariates_unused"]
    assert "method calibrated" in found["covariates_unused"]


def ratio(value):
    return Ratio(value, RatioStatus.OK)


def rules(*regimes):
    outcomes = [RuleOutcome(ratio(2.0), ratio(2.0), ratio(2.0), Regimes(*pair)) for pair in regimes]
    return Rules(*outcomes)


BOTH, NEITHER = Regime.BOTH, Regime.NEITHER


def test_rules_agree():
    assert list(warnings.rules_disagree(rules(*[(BOTH, NEITHER)] * 3), Rule.ELBOW)) == []


@pytest.mark.parametrize("odd", [(NEITHER, NEITHER), (BOTH, BOTH)])
def test_rules_disagree_in_either_direction(odd):
    (warning,) = warnings.rules_disagree(rules((BOTH, NEITHER), (BOTH, NEITHER), odd), Rule.ELBOW_LOG)
    assert warning.code == "rules_disagree"
    assert "follows elbow_log" in warning.message
    assert f"permutation: {odd[0]} (x_to_y), {odd[1]} (y_to_x)" in warning.message


@pytest.mark.parametrize(
    ("value", "due"), [(1.0, True), (1.104, True), (0.906, True), (1.106, False), (0.904, False), (None, False)]
)
def test_near_boundary(value, due):
    class Given:
        ca = ratio(5.0)
        cp_x_to_y = ratio(value)
        cp_y_to_x = ratio(0.1)

    found = list(warnings.near_boundary(Given))
    assert [warning.code for warning in found] == ["near_boundary"] * due
    assert all(f"cp_x_to_y {value:.3g}" in warning.message for warning in found)


@pytest.mark.parametrize("seed", range(6))
def test_warnings_on_the_estimate_match_its_own_report(seed):
    sample = paired(seed=seed, noise=1.5)
    report = estimate(sample.x, sample.y, sample.columns, options=PUBLISHED)
    codes = {warning.code for warning in report.warnings}
    regimes = {report.rules.elbow.regimes, report.rules.elbow_log.regimes, report.rules.permutation.regimes}
    ratios = [s.ratio for s in (report.separation.ca, report.separation.cp_x_to_y, report.separation.cp_y_to_x)]
    assert ("rules_disagree" in codes) == (len(regimes) > 1)
    assert ("near_boundary" in codes) == any(r and abs(np.log(r)) < 0.1 for r in ratios)


def test_repeats_are_found_across_chunks(monkeypatch):
    monkeypatch.setattr("service.estimation.inputs.CHUNK_BYTES", 1)
    x, y = X.copy(), Y.copy()
    x[-1], y[-1] = x[0], y[0]
    (warning,) = warnings.duplicate_rows(check_values("x", x), check_values("y", y))
    assert "row 59, which repeats row 0" in warning.message


class TestSaturatedCorrelations:
    @staticmethod
    def of(n_reduced):
        rng = np.random.default_rng(3)
        x, y = (rng.standard_normal((60, d)) for d in n_reduced)
        report = estimate(x, y, COLUMNS, options=PUBLISHED)
        messages = [w.message for w in report.warnings if w.code == "saturated_correlations"]
        return report.spectra.ca[0].singular_value, messages

    def test_due_when_a_correlation_must_be_one(self):
        largest, messages = self.of((25, 35))
        assert largest > 0.9999
        assert len(messages) == 1
        assert "label more than 60 pairs" in messages[0]

    def test_not_due_one_component_below(self):
        assert self.of((24, 35))[1] == []

    def test_columns_that_do_not_vary_do_not_count(self):
        x, y = paired(n=60)[:2]
        padded = np.hstack([x, np.ones((60, 58))])
        report = estimate(padded, y, COLUMNS, options=PUBLISHED)
        assert "saturated_correlations" not in [warning.code for warning in report.warnings]

    def test_the_advice_is_enough(self):
        rng = np.random.default_rng(3)
        wide = (rng.standard_normal((60, width)) for width in (200, 80))
        report = estimate(*wide, COLUMNS, options=PUBLISHED)
        message = next(w.message for w in report.warnings if w.code == "saturated_correlations")
        assert "label more than 180 pairs" in message


class TestRareClasses:
    def test_due_below_one_row_a_fold(self):
        kind = np.array(["a"] * 30 + ["b"] * 26 + ["c"] * 4)
        assert (
            "Classes of 'kind' with fewer than 5 labeled rows: 'c'."
            in given(labels=label_columns({"kind": kind}))["rare_classes"]
        )

    def test_not_due_at_one_row_a_fold(self):
        kind = np.array(["a"] * 30 + ["b"] * 25 + ["c"] * 5)
        assert given(labels=label_columns({"kind": kind})) == {}
