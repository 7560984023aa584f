from dataclasses import replace

import numpy as np
import pytest

from service.estimation.posterior.chain import State, problem
from service.estimation.posterior.draws import Draws, Geometry, SampleComponents, collect, finished, nothing
from service.estimation.posterior.frames import measured
from service.estimation.posterior.labels import Loading
from service.estimation.posterior.membership import Membership, NuisanceVariances
from service.estimation.posterior.moments import PairMoments
from service.estimation.posterior.sampling import _shrunken, _whitened, iterations, sample_posterior

from .worlds import diagonal_moments, general_moments, label_moments, pair_moments, rotation, spiked_world, turned

NOWHERE = Geometry(None, None, None, None, None, None)
MANY = 1e8  # pairs: draws are then the state's own values
A, B, CORRELATIONS = np.array([0.6, 0.2, -0.3, -0.5]), np.array([0.5, -0.2, 0.3]), np.array([0.8, 0.6, 0.3])


def spectrum_of(pairs, by="both"):
    left, values, right = np.linalg.svd(pairs.sxy, full_matrices=False)
    return SampleComponents(left, right.T, values, by)


def state_of(pairs, x, y, signal, strong=(False, False, False)):
    return State(
        frames=measured(pairs, x, y),
        members=Membership(np.array(signal, dtype=int), np.array(strong)),
        nuisance=NuisanceVariances((0.0, 1.0), (0.0, 1.0)),
        signal_variances=((0.0, 1.0), (0.0, 1.0)),
        loading=Loading(0.3, 0.5),
        products=(),
    )


def collected(pairs, state, geometry=NOWHERE, covariances=None, spectra=(), size=4):
    into = nothing(spectra)
    covariances = covariances or (pairs.sxx, pairs.syy)
    collect(into, state, problem(pairs, []), geometry, covariances, spectra, size, np.random.default_rng(0))
    return into, finished(into, pairs.paired)


def test_floors_and_counts_of_a_known_model():
    pairs = diagonal_moments(A, B, CORRELATIONS, MANY)
    _, draws = collected(pairs, state_of(pairs, np.eye(4), np.eye(3), [0, 2]))
    tau_xy, tau_yx = CORRELATIONS * np.exp(0.5 * B), CORRELATIONS * np.exp(0.5 * A[:3])
    for place, strength in enumerate((CORRELATIONS, tau_xy, tau_yx)):
        signal, nuisance = strength[[0, 2]], strength[1]
        np.testing.assert_allclose(draws.signal_floor[:, place], signal.min(), rtol=2e-3)
        np.testing.assert_allclose(draws.nuisance_floor[:, place], nuisance, rtol=2e-3)
        np.testing.assert_array_equal(draws.recovered[:, place], (signal > nuisance).sum())
        np.testing.assert_allclose(draws.log_ratios[:, place], np.log(signal.min() / nuisance), atol=5e-3)
    np.testing.assert_array_equal(draws.signal_count, np.full(4, 2))


def test_without_signal_ratios_are_zero_and_without_nuisance_infinite():
    pairs = diagonal_moments(A, B, CORRELATIONS, MANY)
    for signal, expected in (([], -np.inf), ([0, 1, 2], np.inf)):
        _, draws = collected(pairs, state_of(pairs, np.eye(4), np.eye(3), signal))
        np.testing.assert_array_equal(draws.log_ratios, np.full((4, 3), expected))
        np.testing.assert_array_equal(draws.recovered, np.full((4, 3), len(signal)))


def test_ratios_of_one_component():
    draws = Draws(np.full((2, 3), 0.5), np.zeros((2, 3)), np.ones((2, 3)), np.array([1, 0]), 1)
    np.testing.assert_array_equal(draws.log_ratios[0], np.full(3, np.inf))
    np.testing.assert_array_equal(draws.log_ratios[1], np.full(3, -np.inf))


def test_few_pairs_scatter_the_draws():
    pairs = diagonal_moments(A, B, CORRELATIONS, 50.0)
    _, draws = collected(pairs, state_of(pairs, np.eye(4), np.eye(3), [0]), size=400)
    # Of correlation 0.8 the standard error is (1 - 0.64) / sqrt(50) before the class draws it in.
    assert 0.5 < draws.signal_floor[:, 0].std() / (0.36 / np.sqrt(50)) < 1.5


def test_in_whitened_coordinates_gains_of_prediction_are_those_of_the_covariances():
    pairs = replace(general_moments(3, 4, 3), n=MANY)
    white, _, geometry = _whitened(pairs, [])
    left, values, right = np.linalg.svd(white.sxy)
    state = state_of(white, left, right.T, [1])
    _, draws = collected(white, state, geometry, (pairs.sxx, pairs.syy), size=2)
    np.testing.assert_allclose(draws.signal_floor[:, 0], values[1], rtol=1e-2)
    np.testing.assert_allclose(draws.nuisance_floor[:, 0], values[0], rtol=1e-2)
    # Syx Sxx^{-1/2} of the part of the coupling that some components make up.
    phi = values * np.eye(3)
    for place, gain, axes in ((1, geometry.gain_y, right.T), (2, geometry.gain_x, left[:, :3])):
        of_signal, of_nuisance = gain @ axes[:, [1]] @ phi[[1]], gain @ axes[:, [0, 2]] @ phi[[0, 2]]
        np.testing.assert_allclose(draws.signal_floor[:, place], np.linalg.norm(of_signal), rtol=1e-2)
        np.testing.assert_allclose(draws.nuisance_floor[:, place], np.linalg.norm(of_nuisance, 2), rtol=1e-2)


def test_shares_are_r_squared_on_the_signals_scores():
    world = spiked_world(n=80, dx=4, dy=3)
    pairs = pair_moments(world.x, world.y)
    rng = np.random.default_rng(0)
    state = state_of(pairs, rotation(rng, 4), rotation(rng, 3), [0, 2])
    spectra = tuple(spectrum_of(pairs, by) for by in ("x", "y", "both"))
    into, _ = collected(pairs, state, spectra=spectra)

    def r_squared(values, axes, directions):
        values = values - values.mean(axis=0)
        design, scores = values @ axes, values @ directions
        fitted = design @ np.linalg.lstsq(design, scores, rcond=None)[0]
        return (fitted**2).sum(axis=0) / (scores**2).sum(axis=0)

    of_x = r_squared(world.x, state.frames.x[:, [0, 2]], spectra[0].x)
    of_y = r_squared(world.y, state.frames.y[:, [0, 2]], spectra[0].y)
    for found, expected in zip(into.shares, (of_x, of_y, 0.5 * (of_x + of_y)), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize("whitened", [False, True])
def test_corrected_values_are_the_samples_own_where_the_pairs_are_many(whitened):
    rng = np.random.default_rng(1)
    pairs = turned(diagonal_moments(A, B, CORRELATIONS, MANY), rotation(rng, 4), rotation(rng, 3))
    spectra = (spectrum_of(pairs),)
    given, geometry = pairs, NOWHERE
    if whitened:
        given, _, geometry = _whitened(pairs, [])
        left, _, right = np.linalg.svd(given.sxy)
        x, y = left, right.T
    else:
        _, x = np.linalg.eigh(pairs.sxx)
        _, y = np.linalg.eigh(pairs.syy)
        # Principal axes in the order of the model's components.
        x, y = x[:, np.argsort(np.argsort(A))], y[:, np.argsort(np.argsort(B))]
        y = y * np.sign((x[:, :3] * (pairs.sxy @ y)).sum(axis=0))
    into, _ = collected(given, state_of(given, x, y, [0]), geometry, (pairs.sxx, pairs.syy), spectra)
    np.testing.assert_allclose(into.corrected[0], spectra[0].values, rtol=5e-3)


def test_whitening_cuts_to_what_the_pairs_can_bear():
    pairs = general_moments(0, 14, 3, n=40.0)
    order = np.linalg.eigh(pairs.sxx)[1][:, ::-1]
    pairs = turned(pairs, order.T, np.eye(3))
    white, labels, geometry = _whitened(pairs, [label_moments(np.eye(14), np.eye(14)[:, :3], np.eye(14)[:, :1])])
    assert white.sxy.shape == (10, 3)
    assert labels[0].products.shape == (13, 13)
    assert geometry.read_x.shape == (14, 10)
    np.testing.assert_allclose(geometry.read_x.T @ pairs.sxx @ geometry.read_x, np.eye(10), atol=1e-8)
    np.testing.assert_allclose(geometry.root_x.T @ geometry.read_x, np.eye(10), atol=1e-8)
    np.testing.assert_allclose(geometry.read_y.T @ pairs.syy @ geometry.read_y, np.eye(3), atol=1e-8)


def test_shrunken_covariances_lie_between_the_sample_and_a_multiple_of_the_identity():
    covariance = np.diag([4.0, 1.0, 1.0])
    much, little = _shrunken(covariance, 10.0), _shrunken(covariance, 1e9)
    np.testing.assert_allclose(little, covariance, rtol=1e-6)
    np.testing.assert_allclose(np.trace(much), 6.0, rtol=1e-12)
    share = ((36 + 18) / 10) / 6.0  # (tr(S)^2 + tr(S^2)) / n over |S - 2 I|^2
    np.testing.assert_allclose(much, (1 - share) * covariance + share * 2 * np.eye(3), rtol=1e-12)
    np.testing.assert_allclose(_shrunken(covariance, 2.0), 2 * np.eye(3), rtol=1e-12)
    np.testing.assert_allclose(_shrunken(3 * np.eye(2), 10.0), 3 * np.eye(2), rtol=1e-12)


def test_more_iterations_where_coordinates_are_many():
    few, many, most = (
        iterations(PairMoments(np.eye(4), np.zeros((4, 3)), np.eye(3), n, whitened=True)) for n in (1e6, 14.0, 1.0)
    )
    assert (few, many, most) == ((30, 40), (45, 60), (60, 80))


def test_progress_rises_to_one():
    world = spiked_world(n=60, dx=3, dy=2)
    told = []
    pairs = pair_moments(world.x, world.y)
    posterior = sample_posterior(
        pairs, [label_moments(world.x, world.y, world.labels)], (spectrum_of(pairs),), 60, 0, tell=told.append
    )
    assert (np.diff(told) > 0).all()
    assert told[-1] == pytest.approx(1.0)
    assert posterior.spiked
    assert posterior.crowding == pytest.approx(5 / 60)
    assert len(posterior.draws.signal_count) == 4 * iterations(pairs)[1]
