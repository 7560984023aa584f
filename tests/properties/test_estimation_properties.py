"""What must hold for any input.

Tolerances: a covariance carries rounding of 2.2e-16 times its largest eigenvalue; whitening multiplies that by the
condition number, below 1e4 for these samples, and singular values move by no more than the matrix does.  1e-10 of the
largest singular value leaves a factor of about 50.  Offsets up to 1e3 are taken off before anything is multiplied.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.estimation.classification import elbow, elbow_log
from service.estimation.coupling import singular_triplets
from service.estimation.labels import Targets
from service.estimation.reference import PCA_COMPONENTS, reference
from service.estimation.separation import separation
from service.estimation.stages import Stages, silent
from service.estimation.terms import RatioStatus, Rule

FEW = settings(derandomize=True, deadline=None, max_examples=25)
MANY = settings(derandomize=True, deadline=None, max_examples=200)
SPECTRA = ("ca", "cp_x_to_y", "cp_y_to_x", "pls", "pca_x", "pca_y")
SWAPPED = ("ca", "cp_y_to_x", "cp_x_to_y", "pls", "pca_y", "pca_x")
CLOSE = 1e-10
RATIO_CLOSE = 1e-8  # a nuisance floor may be small beside the largest singular value, by which CLOSE is measured
CUTS = st.sampled_from([PCA_COMPONENTS, 3])  # principal components kept: all of them, or fewer than most samples have


@st.composite
def samples(draw):
    """x, y and labels with shared signal; dx is never dy."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    dx = draw(st.integers(1, 8))
    dy = draw(st.integers(1, 8).filter(lambda d: d != dx))
    n = draw(st.integers(40, 80))
    signal = rng.standard_normal((n, 2))
    parts = [
        signal @ rng.standard_normal((2, width)) + noise * rng.standard_normal((n, width))
        for width, noise in ((dx, draw(st.floats(0.3, 2.0))), (dy, draw(st.floats(0.3, 2.0))), (2, 0.5))
    ]
    return rng, *parts


def estimated(x, y, labels, cut=PCA_COMPONENTS):
    return reference(x, y, Targets(labels, ("a", "b")), 50, cut, Stages(silent))


def assert_same_values(found, expected, names=SPECTRA, tolerance=CLOSE):
    for name, other in zip(SPECTRA, names, strict=True):
        a, b = getattr(found, name).singular_values, getattr(expected, other).singular_values
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * b[0])


def assert_same_r2(found, expected, names=SPECTRA):
    for name, other in zip(SPECTRA, names, strict=True):
        np.testing.assert_allclose(getattr(found, name).r2, getattr(expected, other).r2, rtol=0, atol=CLOSE)


def assert_same_answer(found, expected, names=SPECTRA):
    """Spectra, R^2, classes by every rule, and the ratios and regimes that follow."""
    assert_same_values(found, expected, names)
    assert_same_r2(found, expected, names)
    swapped = names is SWAPPED
    for rule in Rule:
        for name, other in zip(SPECTRA, names, strict=True):
            np.testing.assert_array_equal(getattr(found, name).classes[rule], getattr(expected, other).classes[rule])
        ours, theirs = found.separations(rule), expected.separations(rule)
        for name, other in zip(SPECTRA[:3], names[:3], strict=True):
            ratio, its = getattr(ours, name), getattr(theirs, other)
            assert ratio.status is its.status
            assert ratio.ratio == (None if its.ratio is None else pytest.approx(its.ratio, rel=RATIO_CLOSE))
        regimes, others = (getattr(each.rules(), rule.value).regimes for each in (found, expected))
        assert (regimes.x_to_y, regimes.y_to_x) == (
            (others.y_to_x, others.x_to_y) if swapped else (others.x_to_y, others.y_to_x)
        )


@FEW
@given(samples(), CUTS)
def test_offsets_change_nothing(sample, cut):
    rng, x, y, labels = sample
    shifted = (values + rng.uniform(-1e3, 1e3, values.shape[1]) for values in (x, y, labels))
    assert_same_answer(estimated(*shifted, cut), estimated(x, y, labels, cut))


@FEW
@given(samples(), CUTS)
def test_rotations_and_reflections_of_either_modality_change_nothing(sample, cut):
    rng, x, y, labels = sample
    turned_x = x @ np.linalg.qr(rng.standard_normal((x.shape[1], x.shape[1])))[0]
    turned_y = y @ np.linalg.qr(rng.standard_normal((y.shape[1], y.shape[1])))[0]
    expected = estimated(x, y, labels, cut)
    for found in (estimated(turned_x, y, labels, cut), estimated(x, turned_y, labels, cut)):
        assert_same_answer(found, expected)


@FEW
@given(samples())
def test_order_of_the_columns_changes_nothing(sample):
    rng, x, y, labels = sample
    expected = estimated(x, y, labels)
    found = estimated(x[:, rng.permutation(x.shape[1])], y[:, rng.permutation(y.shape[1])], labels)
    assert_same_answer(found, expected)


@FEW
@given(samples(), CUTS)
def test_swapping_the_modalities_swaps_the_directions(sample, cut):
    _, x, y, labels = sample
    found, expected = estimated(y, x, labels, cut), estimated(x, y, labels, cut)
    assert_same_answer(found, expected, SWAPPED)
    assert found.n_reduced == expected.n_reduced[::-1]


@FEW
@given(samples())
def test_order_of_the_rows_leaves_the_singular_values(sample):
    """Folds follow the order of the rows, so that R^2 and classes may change; couplings may not."""
    rng, x, y, labels = sample
    order = rng.permutation(len(x))
    assert_same_values(estimated(x[order], y[order], labels[order]), estimated(x, y, labels))


@FEW
@given(samples(), st.floats(0.01, 100.0), st.floats(-100.0, 100.0))
def test_units_of_the_labels_change_nothing(sample, scale, shift):
    _, x, y, labels = sample
    found, expected = estimated(x, y, labels * scale + shift), estimated(x, y, labels)
    assert_same_values(found, expected, tolerance=0)
    assert_same_answer(found, expected)


@FEW
@given(samples())
def test_order_of_the_labels_changes_nothing(sample):
    _, x, y, labels = sample
    found, expected = estimated(x, y, labels[:, ::-1]), estimated(x, y, labels)
    assert_same_values(found, expected, tolerance=0)
    for name in SPECTRA:
        np.testing.assert_allclose(getattr(found, name).r2[:, ::-1], getattr(expected, name).r2, rtol=0, atol=1e-12)


@FEW
@given(samples())
def test_bounds(sample):
    _, x, y, labels = sample
    found = estimated(x, y, labels)
    assert found.ca.singular_values.max() <= 1
    for name in SPECTRA:
        spectrum = getattr(found, name)
        assert (np.diff(spectrum.singular_values) <= 0).all()
        assert spectrum.singular_values.min() >= 0
        assert ((spectrum.r2 >= 0) & (spectrum.r2 <= 1)).all()
        for rule in (Rule.ELBOW, Rule.ELBOW_LOG):
            positive = int((spectrum.r2.sum(axis=1) > 0).sum())
            assert (spectrum.classes[rule].sum() == 0) == (positive == 0)


@MANY
@given(st.lists(st.tuples(st.floats(0, 1e6), st.booleans()), min_size=1, max_size=12))
def test_recovery_is_a_ratio_above_one(components):
    components.sort(key=lambda component: -component[0])
    values = np.array([value for value, _ in components])
    signal = np.array([flag for _, flag in components])
    found = separation(values, signal)
    assert found.signal_count == signal.sum()
    assert 0 <= found.recovered_count <= found.signal_count
    assert (found.status is RatioStatus.NO_SIGNAL) == (not signal.any())
    assert (found.status is RatioStatus.NO_NUISANCE) == bool(signal.all())
    if found.recovers:
        assert found.recovered_count == found.signal_count > 0


@MANY
@given(st.lists(st.floats(1e-6, 1.0), min_size=2, max_size=12, unique=True), st.randoms(use_true_random=False))
def test_elbows_follow_the_order_of_the_components(sums, random):
    order = random.sample(range(len(sums)), len(sums))
    r2 = np.array(sums)[:, None]
    for rule in (elbow, elbow_log):
        signal = rule(r2)
        np.testing.assert_array_equal(rule(r2[order]), signal[order])
        assert r2[signal].min() > r2[~signal].max()


@MANY
@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 2**32 - 1), st.floats(-80, 80))
def test_triplets_of_any_scale_rebuild_their_matrix(rows, columns, seed, exponent):
    matrix = np.random.default_rng(seed).standard_normal((rows, columns + 6)) * 10.0**exponent
    left, values, right = singular_triplets(matrix, 50)
    np.testing.assert_allclose(left * values @ right.T, matrix, rtol=0, atol=1e-13 * values[0])
    assert (left[np.abs(left).argmax(axis=0), np.arange(left.shape[1])] > 0).all()
