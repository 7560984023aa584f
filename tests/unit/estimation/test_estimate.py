"""What `estimate` promises whatever the method."""

import dataclasses

import numpy as np
import pytest

from service.estimation.covariates import covariate_columns
from service.estimation.errors import CovariateCountMismatch, GroupCountMismatch, TooFewGroups, WrongShape
from service.estimation.estimate import estimate
from service.estimation.labels import LabelType, label_columns
from service.estimation.options import Options
from service.estimation.record import as_dict
from service.estimation.terms import Method, Objective

from .samples import paired

pytestmark = pytest.mark.usefixtures("one_chain")

X, Y, LABELS = paired(n=60)
COLUMNS = label_columns(LABELS)
SPECTRA = ("ca", "cp_x_to_y", "cp_y_to_x", "pls", "pca_x", "pca_y")
EVERY_METHOD = pytest.mark.parametrize("options", [Options(method=method) for method in Method], ids=list(Method))


def values(report, name):
    return np.array([component.singular_value for component in getattr(report.spectra, name)])


def r2(report, name):
    return np.array([list(component.r2_by_label.values()) for component in getattr(report.spectra, name)])


def test_the_calibrated_estimate_is_the_default():
    assert estimate(X, Y, COLUMNS).method is Method.CALIBRATED
    assert estimate(X, Y, COLUMNS).provenance.options == Options(method=Method.CALIBRATED)


@EVERY_METHOD
def test_same_input_same_report(options):
    first = estimate(X, Y, COLUMNS, options=options)
    second = estimate(X.copy(), Y.copy(), label_columns(LABELS.copy()), options=options)
    assert first.method is options.method
    assert dataclasses.replace(second, timings=first.timings) == first


@EVERY_METHOD
def test_sizes(options):
    chosen = dataclasses.replace(options, n_components=3, pca_components=4)
    report = estimate(X, Y, COLUMNS, options=chosen)
    assert (report.data.n_features_x, report.data.n_features_y) == (7, 5)
    assert (report.data.n_reduced_x, report.data.n_reduced_y) == (4, 4)
    assert [len(getattr(report.spectra, name)) for name in SPECTRA] == [3] * 6


@EVERY_METHOD
def test_components_are_numbered_in_order_of_their_value(options):
    report = estimate(X, Y, COLUMNS, options=options)
    for name in SPECTRA:
        components = getattr(report.spectra, name)
        assert [component.index for component in components] == list(range(len(components)))
        assert (np.diff(values(report, name)) <= 0).all()
        for component in components:
            assert component.r2 == pytest.approx(sum(component.r2_by_label.values()), rel=1e-12)


@EVERY_METHOD
def test_label_summary(options):
    labels = label_columns({"kind": np.resize(["b", "a", "b"], 60), "size": LABELS[:, 0]})
    kind, size = estimate(X, Y, labels, options=options).data.labels
    assert [(c.name, c.count) for c in kind.classes] == [("a", 20), ("b", 40)]
    assert (kind.type, size.type, size.classes) == (LabelType.CATEGORICAL, LabelType.NUMERIC, None)


@EVERY_METHOD
def test_groups_and_covariates_are_described(options):
    covariates = covariate_columns({"site": np.resize(["b", "", "b"], 60), "depth": np.resize([np.nan, 2.5], 60)})
    report = estimate(X, Y, COLUMNS, options=options, groups=np.arange(60) // 4, covariates=covariates)
    assert report.data.n_groups == 15
    site, depth = report.data.covariates
    assert [(c.name, c.count) for c in site.classes] == [("(missing)", 20), ("b", 40)]
    assert (site.name, site.type) == ("site", LabelType.CATEGORICAL)
    assert (depth.name, depth.type, depth.classes) == ("depth", LabelType.NUMERIC, None)
    alone = estimate(X, Y, COLUMNS, options=options)
    assert (alone.data.n_groups, alone.data.covariates) == (None, ())


@EVERY_METHOD
def test_groups_and_covariates_are_checked(options):
    with pytest.raises(GroupCountMismatch):
        estimate(X, Y, COLUMNS, options=options, groups=np.arange(59))
    with pytest.raises(TooFewGroups):
        estimate(X, Y, label_columns(LABELS[:20]), np.arange(20), options, groups=np.arange(60) // 4)
    with pytest.raises(CovariateCountMismatch):
        estimate(X, Y, COLUMNS, options=options, covariates=covariate_columns(LABELS[:59]))


@EVERY_METHOD
def test_progress_rises_from_zero_to_one(options):
    heard = []
    report = estimate(X, Y, COLUMNS, options=options, progress=lambda stage, done: heard.append((stage, done)))
    fractions = [fraction for _, fraction in heard]
    assert fractions[0] == 0.0
    assert fractions[-1] == 1.0
    assert (np.diff(fractions) >= 0).all()
    assert len(set(heard)) == len(heard)
    stages = list(dict.fromkeys(stage for stage, _ in heard))
    assert [stage for stage, _ in heard] == sorted((stage for stage, _ in heard), key=stages.index)
    assert stages[-1] == "done"
    assert list(report.timings.stages_s) == stages[:-1]


@EVERY_METHOD
def test_permuted_labels_lose_their_r2(options):
    shared = paired(n=400)
    report = estimate(shared.x, shared.y, shared.columns, options=options)
    shuffled = shared.labels[np.random.default_rng(0).permutation(400)]
    null = estimate(shared.x, shared.y, label_columns(shuffled), options=options)
    assert r2(report, "ca").max() > 0.3
    assert r2(null, "ca").max() < 0.05
    for name in SPECTRA:
        np.testing.assert_array_equal(values(null, name), values(report, name))


@EVERY_METHOD
def test_clean_shared_signal_is_recovered_by_both(options):
    rng = np.random.default_rng(3)
    signal = rng.standard_normal((500, 2))
    x = np.hstack([2 * signal, rng.standard_normal((500, 6))])
    y = np.hstack([3 * signal + 0.1 * rng.standard_normal((500, 2)), rng.standard_normal((500, 3))])
    report = estimate(x, y, label_columns(signal), options=options)
    assert (report.regimes.x_to_y, report.regimes.y_to_x) == ("both", "both")
    assert report.recommendation.objective is Objective.EITHER
    assert report.separation.ca.signal_count == 2


@EVERY_METHOD
def test_shared_nuisance_that_labels_ignore_defeats_both(options):
    rng = np.random.default_rng(4)
    signal, nuisance = rng.standard_normal((500, 1)), rng.standard_normal((500, 3))
    noise = rng.standard_normal((500, 9))
    x = np.hstack([signal + 2 * noise[:, :1], 5 * nuisance, noise[:, 1:3]])
    y = np.hstack([signal + 2 * noise[:, 3:4], 5 * nuisance, noise[:, 4:8]])
    report = estimate(x, y, label_columns(signal), options=options)
    assert (report.regime, report.direction) == ("neither", None)
    assert report.recommendation.objective is Objective.UNIMODAL


@EVERY_METHOD
@pytest.mark.parametrize("scale", [1e-90, 1e-3, 1e3, 1e90])
def test_any_allowed_scale_gives_a_finite_report(options, scale):
    report = as_dict(estimate(X * scale, Y, COLUMNS, options=options))
    spectra = [component for spectrum in report["spectra"].values() for component in spectrum]
    numbers = [component[name] for component in spectra for name in ("singular_value", "r2")]
    assert np.isfinite([*numbers, report["phase_point"]["kappa"]]).all()


@EVERY_METHOD
def test_labels_without_a_column_are_refused(options):
    with pytest.raises(WrongShape, match="no column"):
        estimate(X, Y, (), options=options)
