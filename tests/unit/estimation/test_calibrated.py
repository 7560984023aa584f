from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from service.estimation.calibrated import estimate_posterior, sample
from service.estimation.calibration import log_interval
from service.estimation.errors import ConstantLabels, InputError
from service.estimation.labels import label_columns
from service.estimation.material import in_units, label_moments, material_of, uncorrelated
from service.estimation.options import Options
from service.estimation.preparation import prepare
from service.estimation.terms import Method

from .posterior.worlds import rotation, spiked_world

WORLD = spiked_world()
X, Y, LABELS, SIGNAL = WORLD
N, DX, DY = 300, 7, 5
ROUNDING = 1e-6  # relative difference of draws of the same chain on rounded inputs
MONTE_CARLO = 0.12  # difference of probabilities, and of log ratios, between two chains on the same data
OPTIONS = Options(method=Method.CALIBRATED)


def material(x=X, y=Y, labels=LABELS, rows=None, groups=None, types=None):
    return material_of(prepare(x, y, label_columns(labels, types), rows, OPTIONS, groups=groups))


def estimated(*arguments, seed=0, groups=None, types=None, **options):
    return estimate_posterior(material(*arguments, groups=groups, types=types), seed=seed, **options)


@cache
def whole():
    """The estimate of the whole world, by every chain."""
    return estimated()


def assert_same_draws(found, expected):
    for name in ("signal_floor", "nuisance_floor"):
        a, b = getattr(found.posterior.draws, name), getattr(expected.posterior.draws, name)
        # Of cp the values carry the target's unit; both modalities were brought to a variance of 1 before.
        np.testing.assert_allclose(a, b, rtol=ROUNDING)
    np.testing.assert_array_equal(found.posterior.draws.signal_count, expected.posterior.draws.signal_count)
    np.testing.assert_allclose(found.probabilities, expected.probabilities, rtol=ROUNDING)
    np.testing.assert_allclose(found.log_intervals, expected.log_intervals, rtol=ROUNDING, atol=ROUNDING)
    assert found.claimed == expected.claimed


def medians(found):
    return np.array([median for _, median, _ in found.log_intervals])


def assert_sane(found):
    assert np.isfinite(found.probabilities).all()
    assert found.probabilities.min() >= 0
    assert found.probabilities.sum() == pytest.approx(1.0, rel=1e-9)
    posterior = found.posterior
    assert not np.isnan(posterior.draws.log_ratios).any()
    assert np.isfinite(posterior.misfit)
    assert 0 <= posterior.acceptance <= 1
    for low, median, high in found.log_intervals:
        assert low <= median <= high
        assert np.isfinite(median)
    for shares, corrected in zip(posterior.shares, posterior.corrected, strict=True):
        assert (shares >= 0).all()
        assert shares.max(initial=0.0) <= 1 + ROUNDING
        assert np.isfinite(corrected).all()
    assert found.worth.n_pairs > 0
    assert found.worth.n_labeled > 0


def test_a_strong_signal_is_claimed_with_the_right_counts():
    assert_sane(whole())
    draws = whole().posterior.draws
    assert whole().claimed
    assert whole().posterior.spiked
    assert (draws.signal_count == 2).mean() > 0.9
    assert (draws.recovered[:, 0] == 2).mean() > 0.9
    assert whole().probabilities[1, 1, 1] > 0.9
    # kappa 1.5, nuisance correlation 0.3: true log ratios of the world.
    variance = 1.5**2 + 0.36
    rho, tau = 1.5**2 / variance, 1.5**2 / np.sqrt(variance)
    for (low, median, high), truth in zip(
        whole().log_intervals, (np.log(rho / 0.3), np.log(tau / 0.3), np.log(tau / 0.3)), strict=True
    ):
        assert low < truth < high
        assert median == pytest.approx(truth, abs=0.4)


def test_same_seed_same_answer_and_another_seed_agrees_with_it():
    assert_same_draws(estimated(), whole())
    other = estimated(seed=1)
    assert np.abs(other.posterior.draws.signal_floor - whole().posterior.draws.signal_floor).max() > 0
    np.testing.assert_allclose(other.probabilities, whole().probabilities, atol=MONTE_CARLO)
    np.testing.assert_allclose(medians(other), medians(whole()), atol=MONTE_CARLO)


@pytest.mark.parametrize(("unit_x", "unit_y"), [(1e-6, 1.0), (1.0, 1e6), (1e6, 1e-6)])
def test_units_have_no_effect_on_the_draws(unit_x, unit_y):
    found = estimated(X * unit_x, Y * unit_y)
    assert_same_draws(found, whole())
    np.testing.assert_allclose(found.units, np.array(whole().units) * [unit_x, unit_y], rtol=1e-9)


def test_offsets_have_no_effect_on_the_draws():
    assert_same_draws(estimated(X + 1e3, Y - 1e3), whole())


def test_units_and_offsets_have_no_effect_where_coordinates_are_many_or_mixed():
    rng = np.random.default_rng(3)
    for x, y, labels, _ in (
        spiked_world(seed=1, n=200, dx=20, dy=12),
        spiked_world(seed=2)._replace(x=spiked_world(seed=2).x @ rng.standard_normal((DX, DX))),
    ):
        assert_same_draws(estimated(1e-3 * x + 5.0, 1e5 * y, labels), estimated(x, y, labels))


def test_units_and_offsets_of_labels_have_no_effect_on_the_draws():
    assert_same_draws(estimated(X, Y, LABELS * [1e6, 1e-6] + 1.0), whole())


def test_the_order_of_columns_has_no_effect():
    rng = np.random.default_rng(0)
    found = estimated(X[:, rng.permutation(DX)], Y[:, rng.permutation(DY)], LABELS[:, ::-1].copy())
    np.testing.assert_allclose(found.probabilities, whole().probabilities, atol=MONTE_CARLO)
    np.testing.assert_allclose(medians(found), medians(whole()), atol=MONTE_CARLO)


def test_a_rotation_has_no_effect():
    rng = np.random.default_rng(1)
    found = estimated(X @ rotation(rng, DX), Y @ rotation(rng, DY))
    np.testing.assert_allclose(found.probabilities, whole().probabilities, atol=MONTE_CARLO)
    np.testing.assert_allclose(medians(found), medians(whole()), atol=MONTE_CARLO)


def test_modalities_swapped_swap_the_directions_of_prediction():
    # Variances that differ, so that the two directions do.
    x = X @ rotation(np.random.default_rng(0), DX)
    y = spiked_world(kappa=1.0).y
    there, back = estimated(x, y), estimated(y, x)
    np.testing.assert_allclose(back.probabilities, there.probabilities.transpose(0, 2, 1), atol=MONTE_CARLO)
    np.testing.assert_allclose(medians(back), medians(there)[[0, 2, 1]], atol=MONTE_CARLO)
    assert abs(medians(there)[1] - medians(there)[2]) > 0.02


def assert_unclaimed(found):
    """Nothing is claimed: neither objective recovers the signal with even odds at least, either way, at any ratio."""
    assert_sane(found)
    assert not found.claimed
    ca_does_not = found.probabilities[0]
    assert min(ca_does_not[0].sum(), ca_does_not[:, 0].sum()) >= 0.5 - 1e-12
    for low, _, high in found.log_intervals:
        assert (low, high) == (-np.inf, np.inf)


def test_unrelated_labels_are_not_claimed():
    assert_unclaimed(estimated(X, Y, np.random.default_rng(5).standard_normal((N, 2))))


def test_unpaired_rows_are_not_claimed():
    assert_unclaimed(estimated(X, np.random.default_rng(5).permutation(Y)))


def test_label_columns_with_missing_rows_are_sets_of_their_own():
    labels = {"a": LABELS[:, 0].copy(), "b": LABELS[:, 1].copy(), "c": LABELS.sum(axis=1)}
    labels["a"][:100] = np.nan
    labels["b"][:100] = np.nan
    labels["c"][250:] = np.nan
    of = material(labels=labels)
    sets = label_moments(of)
    assert sorted(len(part.tt) for part in sets) == [1, 2]
    for part, rows in zip(sets, (slice(100, None), slice(0, 250)), strict=True):
        scores = np.hstack([of.labeled_x[rows], of.labeled_y[rows]])
        scores = scores - scores.mean(axis=0)
        weight = part.m / len(scores)
        assert weight <= 1
        np.testing.assert_allclose(part.products, weight * scores.T @ scores, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(part.tt, np.full(len(part.tt), part.m), rtol=1e-9)
    found = estimate_posterior(of)
    assert_sane(found)
    assert found.claimed
    assert (found.posterior.draws.signal_count == 2).mean() > 0.9


def test_uncorrelated_targets_span_those_given():
    rng = np.random.default_rng(0)
    targets = rng.standard_normal((50, 3)) @ rng.standard_normal((3, 3)) * [1e-8, 1.0, 1e8]
    repeated = np.column_stack([targets, targets[:, 0] * 2 + 1, np.full(50, 7.0)])
    found = uncorrelated(repeated)
    assert found.shape == (50, 3)
    np.testing.assert_allclose(found.T @ found, 50 * np.eye(3), atol=1e-9)
    centred = targets - targets.mean(axis=0)
    left = centred - found @ (found.T @ centred) / 50
    np.testing.assert_allclose(left / centred.std(axis=0), np.zeros_like(left), atol=1e-6)


def test_more_labels_and_more_pairs_count_for_more():
    of = material()
    once, twice = label_moments(of), label_moments(of, 2.0)
    assert twice[0].m == pytest.approx(2 * once[0].m)
    scaled, _ = in_units(of)
    found, more = sample(scaled), sample(scaled, more_pairs=4.0)
    assert more.worth.n_pairs == pytest.approx(4 * found.worth.n_pairs)
    assert more.worth.n_labeled == found.worth.n_labeled
    for place in range(3):
        low, _, high = log_interval(found.posterior.draws.log_ratios[:, place], 0.9, found.circumstances)
        low_then, _, high_then = log_interval(more.posterior.draws.log_ratios[:, place], 0.9, more.circumstances)
        assert high_then - low_then < high - low


def test_repeated_rows_in_groups_are_worth_their_number():
    times = 4
    rows = np.repeat(np.arange(75), times)
    found = estimated(X[rows], Y[rows], LABELS[rows], groups=rows)
    assert_sane(found)
    assert found.worth.n_pairs == pytest.approx(75, rel=0.4)
    assert found.worth.n_labeled == pytest.approx(75, rel=0.4)


def one_positive(count):
    return np.isin(np.arange(N), np.argsort(SIGNAL[:, 0])[-count:])


def with_column(values, column):
    return np.column_stack([values, column])


def with_row(values, row, content):
    changed = values.copy()
    changed[row] = content
    return changed


def same_rows(values, count):
    changed = values.copy()
    changed[:count] = changed[0]
    return changed


HOSTILE = {
    "perfect correlations": (X, X[:, :5].copy(), LABELS),
    "a modality with itself": (X, X.copy(), LABELS),
    "one perfect column": (X, with_column(Y[:, 1:], X[:, 0]), LABELS),
    "a copied column": (with_column(X, X[:, 0]), with_column(Y, Y[:, 0]), LABELS),
    "a constant column": (with_column(X, np.full(N, 2.0)), Y, LABELS),
    "every component signal": spiked_world(k=5, n_labels=5)[:3],
    "labels that are features": (X, Y, X[:, :2].copy()),
    "labels that are the signal": (X, Y, SIGNAL),
    "1 and 4 columns": spiked_world(dx=1, dy=4, k=1, n_labels=1)[:3],
    "4 and 1 columns": spiked_world(dx=4, dy=1, k=1, n_labels=1)[:3],
    "1 and 2 columns": spiked_world(dx=1, dy=2, k=1, n_labels=1)[:3],
    "2 and 3 columns": spiked_world(dx=2, dy=3, k=1, n_labels=1)[:3],
    "20 pairs": (X[:20], Y[:20], LABELS[:20]),
    "20 pairs, 10 labels": (X[:20], Y[:20], LABELS[:10], np.arange(10)),
    "fewer pairs than columns": spiked_world(n=25, dx=60, dy=40)[:3],
    "fewer pairs than columns together": spiked_world(n=40, dx=50, dy=30)[:3],
    "a column constant where it is present": (
        X,
        Y,
        np.column_stack([LABELS[:, 0], np.where(np.arange(N) < 15, 1.0, np.nan)]),
    ),
    "five positives": (X, Y, one_positive(5)),
    "one positive": (X, Y, one_positive(1)),
    "a row far out in x": (with_row(X, 7, 1e9), Y, LABELS),
    "a row far out everywhere": (with_row(X, 7, 1e9), with_row(Y, 7, 1e9), with_row(LABELS, 7, 1e9)),
    "a row beyond all others": (with_row(X, 7, 1e60), Y, LABELS),
    "labeled rows all alike": (same_rows(X, 20), same_rows(Y, 20), LABELS[:20], np.arange(20)),
    "columns of very different scale": (X * np.geomspace(1e-8, 1e4, DX), Y, LABELS),
    "whole numbers": (np.round(2 * X).astype(int), np.round(2 * Y).astype(int), LABELS),
    "one-hot columns": (np.eye(DX)[np.random.default_rng(0).integers(0, DX, N)], Y, LABELS),
    "repeated label columns": (X, Y, np.column_stack([LABELS, 2 * LABELS[:, 0] + 1])),
    "more label columns than labels": (X, Y, np.random.default_rng(0).standard_normal((12, 70)), np.arange(12)),
    "text labels": (X, Y, np.where(SIGNAL[:, 0] > 0, "high", "low")),
}


@pytest.mark.usefixtures("one_chain")
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_input_gives_finite_sane_answers_without_a_warning(name):
    assert_sane(estimated(*HOSTILE[name]))


def test_a_modality_with_itself_fits_the_spiked_model_and_ratios_of_correlations_are_one():
    found = estimated(*HOSTILE["a modality with itself"])
    assert found.posterior.spiked
    assert medians(found)[0] == pytest.approx(0.0, abs=0.02)


def test_where_every_component_is_signal_ratios_are_unbounded():
    found = estimated(*HOSTILE["every component signal"])
    assert found.claimed
    assert (found.posterior.draws.signal_count == 5).mean() > 0.9
    for _, _, high in found.log_intervals:
        assert high == np.inf


@pytest.mark.usefixtures("one_chain")
def test_a_rare_binary_label_can_be_claimed_and_a_single_positive_is_weaker_evidence():
    five, one = estimated(*HOSTILE["five positives"]), estimated(*HOSTILE["one positive"])
    assert five.claimed
    assert five.labels.p_value < one.labels.p_value


def test_one_row_far_out_makes_no_claim_of_its_own():
    rng = np.random.default_rng(2)
    x, y, labels = with_row(X, 7, 1e9), with_row(rng.permutation(Y), 7, 1e9), rng.standard_normal((N, 1))
    assert not estimated(x, y, labels).claimed


def test_label_numbers_that_double_precision_does_not_tell_apart_are_refused():
    labels = 2**62 + np.arange(N) % 2
    with pytest.raises(ConstantLabels, match="double precision"):
        estimated(X, Y, labels, types="numeric")


def test_too_few_pairs_are_refused_in_words():
    with pytest.raises(InputError, match="at least 20"):
        estimated(X[:19], Y[:19], LABELS[:19])


def test_progress_is_told():
    told = []
    estimate_posterior(material(), tell=told.append)
    assert told == sorted(told)
    assert told[-1] == pytest.approx(1.0)


@pytest.mark.usefixtures("one_chain")
def test_alpha_decides_the_claim():
    of = material(*spiked_world(2, n=120, noise=3.0)[:3])
    p_value = estimate_posterior(of).labels.p_value
    assert 0.01 < p_value < 0.05  # of as many rearrangements whatever the level below
    assert estimate_posterior(of, alpha=p_value).claimed
    assert not estimate_posterior(of, alpha=0.99 * p_value).claimed


def test_intervals_widen_with_their_level():
    wide = estimate_posterior(material(), level=0.99)
    for (low, _, high), (low_then, _, high_then) in zip(whole().log_intervals, wide.log_intervals, strict=True):
        assert low_then < low
        assert high_then > high


def test_material_knows_its_groups():
    assert not material().grouped
    assert replace(material(), labeled_groups=np.arange(N)).grouped
