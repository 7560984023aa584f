"""The report of the published procedure."""

from dataclasses import replace

import numpy as np
import pytest

from service.estimation.covariates import covariate_columns
from service.estimation.estimate import estimate
from service.estimation.labels import label_columns
from service.estimation.terms import RatioStatus, Rule, Verdict

from .samples import PUBLISHED, paired, procedure

X, Y, LABELS = paired(n=60)
COLUMNS = label_columns(LABELS)
SPECTRA = ("ca", "cp_x_to_y", "cp_y_to_x", "pls", "pca_x", "pca_y")


def values(report, name):
    return np.array([component.singular_value for component in getattr(report.spectra, name)])


def r2(report, name):
    return np.array([list(component.r2_by_label.values()) for component in getattr(report.spectra, name)])


@pytest.mark.parametrize("rule", list(Rule))
def test_report_says_what_the_procedure_found(rule):
    report, found = estimate(X, Y, COLUMNS, options=replace(PUBLISHED, rule=rule)), procedure(X, Y, LABELS)
    assert report.separation == found.separations(rule)
    assert report.phase_point == found.phase_point(rule)
    assert report.rules == found.rules()
    for name in SPECTRA:
        spectrum = getattr(found, name)
        np.testing.assert_array_equal(values(report, name), spectrum.singular_values)
        np.testing.assert_array_equal(r2(report, name), spectrum.r2)
        classes = [component.class_ == "signal" for component in getattr(report.spectra, name)]
        assert classes == spectrum.classes[rule].tolist()


def test_report_agrees_with_itself():
    report = estimate(X, Y, COLUMNS, options=PUBLISHED)
    assert report.regime == report.regimes.x_to_y
    assert report.rules.elbow.regimes == report.regimes
    assert report.rules.elbow.ca.ratio == report.separation.ca.ratio
    for name in ("ca", "cp_x_to_y", "cp_y_to_x"):
        separation = getattr(report.separation, name)
        signal = [c.singular_value for c in getattr(report.spectra, name) if c.class_ == "signal"]
        assert separation.signal_count == len(signal)
        assert separation.signal_floor == min(signal)


def test_only_labeled_pairs_count():
    rows = np.random.default_rng(0).permutation(60)[:31]
    x, y = X.copy(), Y.copy()
    unlabeled = np.setdiff1d(np.arange(60), rows)
    x[unlabeled] *= 100
    found = estimate(x, y, label_columns(LABELS[rows]), rows, options=PUBLISHED)
    alone = estimate(X[rows], Y[rows], label_columns(LABELS[rows]), options=PUBLISHED)
    assert found.spectra == alone.spectra
    assert found.separation == alone.separation
    assert (found.data.n_pairs, found.data.n_labeled, found.data.n_pairs_used) == (60, 31, 31)


def test_fewer_labeled_rows_than_columns():
    wide = paired(n=25, dx=40, dy=33)
    report = estimate(wide.x, wide.y, wide.columns, options=PUBLISHED)
    assert (report.data.n_reduced_x, report.data.n_reduced_y) == (24, 24)
    assert values(report, "ca").max() <= 1


def test_groups_and_covariates_leave_the_published_numbers_alone():
    covariates = covariate_columns({"site": np.resize(["b", "", "b"], 60), "depth": np.resize([np.nan, 2.5], 60)})
    report = estimate(X, Y, COLUMNS, groups=np.arange(60) // 4, covariates=covariates, options=PUBLISHED)
    alone = estimate(X, Y, COLUMNS, options=PUBLISHED)
    for part in ("regimes", "direction", "recommendation", "separation", "phase_point", "rules", "spectra"):
        assert getattr(report, part) == getattr(alone, part)


def test_offsets_do_not_matter():
    report, moved = (
        estimate(X, Y, COLUMNS, options=PUBLISHED),
        estimate(X + 1000, Y - 500, label_columns(LABELS + 50), options=PUBLISHED),
    )
    for name in SPECTRA:
        np.testing.assert_allclose(values(moved, name), values(report, name), rtol=1e-9)
        np.testing.assert_allclose(r2(moved, name), r2(report, name), atol=1e-9)
    assert moved.regimes == report.regimes


def test_one_component_is_all_signal():
    report = estimate(X[:, :1], Y[:, :3], label_columns(X[:, 0]), options=PUBLISHED)
    assert report.separation.ca.status is RatioStatus.NO_NUISANCE
    assert report.regime == "both"


def test_large_units_leave_the_canonical_coordinates():
    """Squares of squares would overflow: the model's rho must be formed without them."""
    report, large = (
        estimate(X * 1e3, Y * 1e3, COLUMNS, options=PUBLISHED),
        estimate(X * 1e90, Y * 1e90, COLUMNS, options=PUBLISHED),
    )
    assert large.phase_point.nu == pytest.approx(report.phase_point.nu, rel=1e-6)
    assert large.phase_point.composite_ratios.ca.ratio == pytest.approx(
        report.phase_point.composite_ratios.ca.ratio, rel=1e-6
    )


def test_what_the_procedure_does_not_know_is_null():
    report = estimate(X, Y, COLUMNS, options=PUBLISHED)
    for name in (
        "conclusive",
        "regime_probabilities",
        "recovery_probability",
        "direction_probability",
        "evidence",
        "model",
        "rehearsal",
    ):
        assert getattr(report, name) is None, name
    for separation in vars(report.separation).values():
        assert separation.interval is separation.would_settle is separation.floor_component is None
        assert separation.verdict is (Verdict.RECOVERS if separation.recovers else Verdict.DOES_NOT_RECOVER)
    for component in report.spectra.ca:
        assert component.corrected_value is component.signal_share is component.p_value is None
        assert component.covariates == {}
