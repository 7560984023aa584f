"""Samples have the model's moments in the bases that hide them, and a seed names one sample."""

import numpy as np
import pytest
from scipy import linalg

from service.estimation.objectives import joint_covariance
from service.estimation.spiked_model import spiked_model
from service.estimation.spiked_sample import (
    CHUNK_ROWS,
    draw,
    draw_chunks,
    draw_labels,
    own_bases,
    population,
    random_bases,
)

MODEL = spiked_model([1.6, 1.1], [0.4, 0.2], 0.7, [2.0, 0.5], [1.5, 0.8, 0.3, 1.0], [0.9, 0.15])


@pytest.mark.parametrize("bases", [own_bases(MODEL), random_bases(MODEL, 3)])
def test_covariances_of_a_sample_are_those_of_the_population(bases):
    n = 200_000
    pairs = draw(MODEL, bases, n, seed=0)
    found, expected = joint_covariance(pairs.x, pairs.y), population(MODEL, bases)
    for name in ("x", "y", "cross"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=0, atol=5 * 3 * 2**0.5 / n**0.5)


def test_the_population_is_that_of_the_definition():
    joint = population(MODEL, own_bases(MODEL))
    np.testing.assert_allclose(joint.x, np.diag([1.6**2 + 0.4, 1.1**2 + 0.2, 2.0, 0.5]))
    np.testing.assert_allclose(joint.y, np.diag([1.6**2 + 0.7, 1.1**2 + 0.7, 1.5, 0.8, 0.3, 1.0]))
    cross = np.zeros((4, 6))
    cross[range(4), range(4)] = [1.6**2, 1.1**2, 0.9 * 3.0**0.5, 0.15 * 0.4**0.5]
    np.testing.assert_allclose(joint.cross, cross)


def test_hidden_populations_have_the_spectra_of_the_open_one():
    hidden, opened = population(MODEL, random_bases(MODEL, 1)), population(MODEL, own_bases(MODEL))
    assert np.abs(hidden.cross - opened.cross).max() > 0.5
    for name in ("x", "y", "cross"):
        np.testing.assert_allclose(
            linalg.svdvals(getattr(hidden, name)), linalg.svdvals(getattr(opened, name)), rtol=1e-12
        )


def test_the_shared_signal_is_what_x_and_y_have_in_common():
    pairs = draw(MODEL, own_bases(MODEL), 100_000, seed=1)
    np.testing.assert_allclose(pairs.signal.T @ pairs.signal / 100_000, np.eye(2), atol=0.02)
    for values in (pairs.x, pairs.y):
        found = pairs.signal.T @ values / 100_000
        np.testing.assert_allclose(found[:, :2], np.diag([1.6, 1.1]), atol=0.03)
        np.testing.assert_allclose(found[:, 2:], 0, atol=0.02)


def test_perfectly_correlated_nuisance_is_the_same_in_both():
    model = spiked_model([1.0], 0.5, 0.5, [4.0], [1.0, 2.0], [1.0])
    pairs = draw(model, own_bases(model), 50, seed=2)
    np.testing.assert_allclose(pairs.x[:, 1], 2 * pairs.y[:, 1], rtol=1e-12)


def test_chunks_are_bounded_and_make_up_the_sample():
    n = 2 * CHUNK_ROWS + 5
    bases = random_bases(MODEL, 4)
    chunks = list(draw_chunks(MODEL, bases, n, seed=4))
    assert [len(chunk.x) for chunk in chunks] == [CHUNK_ROWS, CHUNK_ROWS, 5]
    whole = draw(MODEL, bases, n, seed=4)
    np.testing.assert_array_equal(np.concatenate([chunk.y for chunk in chunks]), whole.y)
    np.testing.assert_array_equal(draw(MODEL, bases, n, seed=4).x, whole.x)
    assert not np.array_equal(draw(MODEL, bases, n, seed=5).x, whole.x)


def test_bases_are_orthogonal_and_named_by_their_seed():
    bases = random_bases(MODEL, 6)
    np.testing.assert_allclose(bases.x.T @ bases.x, np.eye(4), atol=1e-14)
    np.testing.assert_allclose(bases.y.T @ bases.y, np.eye(6), atol=1e-14)
    np.testing.assert_array_equal(bases.x, random_bases(MODEL, 6).x)
    assert np.abs(bases.x - random_bases(MODEL, 7).x).max() > 0.1


def test_labels_know_all_of_the_signal_equally_well():
    pairs = draw(MODEL, own_bases(MODEL), 60_000, seed=8)
    rows, labels = draw_labels(pairs.signal, 50_000, 0.5, seed=8)
    assert labels.shape == (50_000, 2)
    assert (np.diff(rows) > 0).all()
    signal = pairs.signal[rows]
    weights = linalg.lstsq(signal, labels)[0]
    np.testing.assert_allclose(weights.T @ weights, np.eye(2), atol=0.02)
    np.testing.assert_allclose((labels - signal @ weights).std(axis=0), 0.5, rtol=0.02)


def test_without_signal_the_label_is_noise():
    rows, labels = draw_labels(np.empty((40, 0)), 30, 0.5, seed=9)
    assert (rows.shape, labels.shape) == ((30,), (30, 1))
    assert 0.3 < labels.std() < 0.7


def test_a_seed_names_the_same_sample_in_every_process():
    """Values pinned when they were first drawn: a change of stream, of its order or of chunks shows here."""
    bases = random_bases(MODEL, 3)
    pairs = draw(MODEL, bases, CHUNK_ROWS + 2, 3)
    rows, labels = draw_labels(pairs.signal, 10, 0.5, 3)
    assert rows.tolist() == [113, 193, 267, 841, 948, 1112, 1801, 1820, 1883, 1907]
    for found, pinned in (
        (bases.x[0], [0.2841629216571602, -0.033657975428200614, -0.7248175422848184, 0.6267041607022703]),
        (bases.y[-1, :3], [0.8531687266087778, -0.07322938782366523, 0.3396330067077879]),
        (pairs.x[0], [-1.1423146284934076, -2.387046839843618, -1.8318375380716498, -1.0402015781902307]),
        (pairs.y[-1, :3], [0.08747538769101015, 0.06982966674045848, 0.7826110161245154]),
        (pairs.signal[CHUNK_ROWS], [-0.6582500340879579, 2.0702615498394223]),
        (labels[0], [-0.7650968972565722, 0.6952138512122081]),
        (labels[-1], [1.047337480864029, -0.03063610313341547]),
    ):
        np.testing.assert_allclose(found, pinned, rtol=0, atol=1e-12)


def test_bases_pairs_and_labels_are_independent_of_each_other():
    """Each has a stream of its own: the numbers that one begins with are found in no other."""
    model = spiked_model([1.0] * 4, 0.5, 0.5, [], [1.0], [])
    for seed in range(5):
        signal = draw(model, own_bases(model), 4, seed).signal  # drawn first, a square matrix like that of the basis
        basis = random_bases(model, seed).x
        assert np.abs(basis[:, 0] - signal[:, 0] / linalg.norm(signal[:, 0])).max() > 0.05
        streams = [np.random.SeedSequence(seed, spawn_key=(place,)) for place in range(2)]
        rows, _ = draw_labels(np.zeros((1000, 1)), 10, 0.5, seed)
        for stream in streams:
            assert rows.tolist() != sorted(np.random.default_rng(stream).choice(1000, 10, replace=False).tolist())


def test_no_direction_of_a_basis_is_preferred():
    """A QR decomposition alone gives the first entry the same sign every time."""
    first = np.array([random_bases(MODEL, seed).x[0, 0] for seed in range(400)])
    assert abs(first.mean()) < 4 * 0.5 / 400**0.5  # a uniform direction's entry has standard deviation 1 / sqrt(4)
    assert abs(first.std() - 0.5) < 0.06
