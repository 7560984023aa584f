import dataclasses
import math

import numpy as np
import pytest

from service.estimation.covariates import covariate_columns
from service.estimation.errors import CovariateCountMismatch, GroupCountMismatch, TooFewGroups, WrongShape
from service.estimation.estimate import estimate
from service.estimation.labels import LabelType, label_columns
from service.estimation.options import Options
from service.estimation.terms import Objective, RatioStatus, Rule

from .samples import paired, procedure

X, Y, LABELS = paired(n=60)
COLUMNS = label_columns(LABELS)
SPECTRA = ("ca", "cp_x_to_y", "cp_y_to_x", "pls", "pca_x", "pca_y")


def values(report, name):
    return np.array([component.singular_value for component in getattr(report.spectra, name)])


def r2(report, name):
    return np.array([list(component.r2_by_label.values()) for component in getattr(report.spectra, name)])


def test_same_input_same_report():
    first, second = estimate(X, Y, COLUMNS), estimate(X.copy(), Y.copy(), label_columns(LABELS.copy()))
    assert dataclasses.replace(second, timings=first.timings) == first


@pytest.mark.parametrize("rule", list(Rule))
def test_report_says_what_the_procedure_found(rule):
    report, found = estimate(X, Y, COLUMNS, options=Options(rule=rule)), procedure(X, Y, LABELS)
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
    report = estimate(X, Y, COLUMNS)
    assert report.regime == report.regimes.x_to_y
    assert report.rules.elbow.regimes == report.regimes
    assert report.rules.elbow.ca.ratio == report.separation.ca.ratio
    for name in SPECTRA:
        components = getattr(report.spectra, name)
        assert [component.index for component in components] == list(range(len(components)))
        assert (np.diff(values(report, name)) <= 0).all()
        for component in components:
            assert component.r2 == pytest.approx(sum(component.r2_by_label.values()), rel=1e-12)
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
    found = estimate(x, y, label_columns(LABELS[rows]), rows)
    alone = estimate(X[rows], Y[rows], label_columns(LABELS[rows]))
    assert found.spectra == alone.spectra
    assert found.separation == alone.separation
    assert (found.data.n_pairs, found.data.n_labeled, found.data.n_pairs_used) == (60, 31, 31)


def test_sizes():
    report = estimate(X, Y, COLUMNS, options=Options(n_components=3, pca_components=4))
    assert (report.data.n_features_x, report.data.n_features_y) == (7, 5)
    assert (report.data.n_reduced_x, report.data.n_reduced_y) == (4, 4)
    assert [len(getattr(report.spectra, name)) for name in SPECTRA] == [3] * 6


def test_fewer_labeled_rows_than_columns():
    wide = paired(n=25, dx=40, dy=33)
    report = estimate(wide.x, wide.y, wide.columns)
    assert (report.data.n_reduced_x, report.data.n_reduced_y) == (24, 24)
    assert values(report, "ca").max() <= 1


def test_label_summary():
    labels = label_columns({"kind": np.resize(["b", "a", "b"], 60), "size": LABELS[:, 0]})
    kind, size = estimate(X, Y, labels).data.labels
    assert [(c.name, c.count) for c in kind.classes] == [("a", 20), ("b", 40)]
    assert (kind.type, size.type, size.classes) == (LabelType.CATEGORICAL, LabelType.NUMERIC, None)


def test_groups_and_covariates_are_described_and_leave_the_published_numbers_alone():
    covariates = covariate_columns({"site": np.resize(["b", "", "b"], 60), "depth": np.resize([np.nan, 2.5], 60)})
    report = estimate(X, Y, COLUMNS, groups=np.arange(60) // 4, covariates=covariates)
    assert report.data.n_groups == 15
    site, depth = report.data.covariates
    assert [(c.name, c.count) for c in site.classes] == [("(missing)", 20), ("b", 40)]
    assert (site.name, site.type) == ("site", LabelType.CATEGORICAL)
    assert (depth.name, depth.type, depth.classes) == ("depth", LabelType.NUMERIC, None)
    alone = estimate(X, Y, COLUMNS)
    assert (alone.data.n_groups, alone.data.covariates) == (None, ())
    for part in ("regimes", "direction", "recommendation", "separation", "phase_point", "rules", "spectra"):
        assert getattr(report, part) == getattr(alone, part)


def test_groups_and_covariates_are_checked():
    with pytest.raises(GroupCountMismatch):
        estimate(X, Y, COLUMNS, groups=np.arange(59))
    with pytest.raises(TooFewGroups):
        estimate(X, Y, label_columns(LABELS[:20]), np.arange(20), groups=np.arange(60) // 4)
    with pytest.raises(CovariateCountMismatch):
        estimate(X, Y, COLUMNS, covariates=covariate_columns(LABELS[:59]))


def test_progress_rises_from_zero_to_one():
    heard = []
    report = estimate(X, Y, COLUMNS, progress=lambda stage, fraction: heard.append((stage, fraction)))
    fractions = [fraction for _, fraction in heard]
    assert fractions[0] == 0.0
    assert fractions[-1] == 1.0
    assert (np.diff(fractions) > 0).all()
    stages = [stage for stage, _ in heard]
    assert stages[-1] == "done"
    assert len(set(stages)) == len(stages)
    assert list(report.timings.stages_s) == stages[:-1]


def test_offsets_do_not_matter():
    report, moved = estimate(X, Y, COLUMNS), estimate(X + 1000, Y - 500, label_columns(LABELS + 50))
    for name in SPECTRA:
        np.testing.assert_allclose(values(moved, name), values(report, name), rtol=1e-9)
        np.testing.assert_allclose(r2(moved, name), r2(report, name), atol=1e-9)
    assert moved.regimes == report.regimes


def test_permuted_labels_lose_their_r2():
    shared = paired(n=400)
    report = estimate(shared.x, shared.y, shared.columns)
    shuffled = shared.labels[np.random.default_rng(0).permutation(400)]
    null = estimate(shared.x, shared.y, label_columns(shuffled))
    assert r2(report, "ca").max() > 0.3
    assert r2(null, "ca").max() < 0.05
    for name in SPECTRA:
        np.testing.assert_array_equal(values(null, name), values(report, name))


def test_clean_shared_signal_is_recovered_by_both():
    rng = np.random.default_rng(3)
    signal = rng.standard_normal((500, 2))
    x = np.hstack([2 * signal, rng.standard_normal((500, 6))])
    y = np.hstack([3 * signal + 0.1 * rng.standard_normal((500, 2)), rng.standard_normal((500, 3))])
    report = estimate(x, y, label_columns(signal))
    assert (report.regimes.x_to_y, report.regimes.y_to_x) == ("both", "both")
    assert report.recommendation.objective is Objective.EITHER
    assert report.separation.ca.signal_count == 2


def test_shared_nuisance_that_labels_ignore_defeats_both():
    rng = np.random.default_rng(4)
    signal, nuisance = rng.standard_normal((500, 1)), rng.standard_normal((500, 3))
    noise = rng.standard_normal((500, 9))
    x = np.hstack([signal + 2 * noise[:, :1], 5 * nuisance, noise[:, 1:3]])
    y = np.hstack([signal + 2 * noise[:, 3:4], 5 * nuisance, noise[:, 4:8]])
    report = estimate(x, y, label_columns(signal))
    assert (report.regime, report.direction) == ("neither", None)
    assert report.recommendation.objective is Objective.UNIMODAL


def test_one_component_is_all_signal():
    report = estimate(X[:, :1], Y[:, :3], label_columns(X[:, 0]))
    assert report.separation.ca.status is RatioStatus.NO_NUISANCE
    assert report.regime == "both"


@pytest.mark.parametrize("scale", [1e-90, 1e-3, 1e3, 1e90])
def test_any_allowed_scale_gives_a_finite_report(scale):
    report = estimate(X * scale, Y, COLUMNS)
    for name in SPECTRA:
        assert np.isfinite(values(report, name)).all()
        assert np.isfinite(r2(report, name)).all()
    assert math.isfinite(report.phase_point.kappa)


def test_large_units_leave_the_canonical_coordinates():
    """Squares of squares would overflow: the model's rho must be formed without them."""
    report, large = estimate(X * 1e3, Y * 1e3, COLUMNS), estimate(X * 1e90, Y * 1e90, COLUMNS)
    assert large.phase_point.nu == pytest.approx(report.phase_point.nu, rel=1e-6)
    assert large.phase_point.composite_ratios.ca.ratio == pytest.approx(
        report.phase_point.composite_ratios.ca.ratio, rel=1e-6
    )


def test_labels_without_a_column_are_refused():
    with pytest.raises(WrongShape, match="no column"):
        estimate(X, Y, ())
