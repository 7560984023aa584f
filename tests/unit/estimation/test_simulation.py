"""Simulations tell the truth, and of the sample what the solvers and the estimator say of the pairs drawn."""

import json

import numpy as np
import pytest

from service.estimation.errors import InvalidModel, InvalidOption
from service.estimation.estimate import estimate
from service.estimation.labels import label_columns
from service.estimation.objectives import align, joint_covariance, predict, subspace_distance
from service.estimation.options import Options
from service.estimation.record import to_json
from service.estimation.simulation import (
    LABEL_NOISE,
    MAX_PAIRS,
    SMALL_FEATURES,
    SMALL_VALUES,
    check_simulation,
    is_small,
    simulate,
)
from service.estimation.spiked_model import model_separation, spiked_model
from service.estimation.spiked_sample import CHUNK_ROWS, draw, draw_labels, random_bases
from service.estimation.terms import Direction, Method, RatioStatus, Regime

VARIANCES = {"gamma_x": 1.0, "gamma_y": 0.05, "gamma_tilde_x": 1.0, "gamma_tilde_y": 5.0}
MODEL = spiked_model([1.5, 1.2], **VARIANCES, nu=0.5, dx=7, dy=5)  # alignment recovers, prediction of y does not
REFERENCE = Options(method=Method.REFERENCE)


def test_a_large_sample_shows_the_truth():
    found = simulate(MODEL, 40_000, seed=1)
    assert found.truth == model_separation(MODEL)
    assert found.truth.regimes == found.regimes
    assert found.regimes.x_to_y is Regime.CA_ONLY
    for name in ("ca", "cp_x_to_y", "cp_y_to_x"):
        truth, sampled = getattr(found.truth.separation, name), getattr(found.separation, name)
        assert sampled.ratio == pytest.approx(truth.ratio, rel=0.05)
        objective = getattr(found.objectives, name)
        assert objective.recovered is truth.recovers
        for distance in vars(objective.distance).values():
            assert distance < 0.1 if truth.recovers else distance > 0.9
        expected = np.sort([*truth_values(found.truth, name)])[::-1]
        np.testing.assert_allclose(objective.singular_values, expected, rtol=0, atol=0.05)


def truth_values(truth, name):
    if name == "ca":
        return *truth.rho, *truth.nu
    way = name.removeprefix("cp_")
    return *getattr(truth.tau, way), *getattr(truth.xi, way)


def test_solutions_are_those_of_the_pairs_drawn():
    n_pairs = CHUNK_ROWS + 100
    found = simulate(MODEL, n_pairs, seed=2).objectives
    bases = random_bases(MODEL, 2)
    pairs = draw(MODEL, bases, n_pairs, 2)
    joint = joint_covariance(pairs.x, pairs.y)
    signal_x, signal_y = bases.x[:, :2], bases.y[:, :2]
    alignment = align(joint, 2)
    forward, reverse = (predict(joint, 2, direction) for direction in Direction)
    for objective, solution, span_x, span_y in (
        (found.ca, alignment, alignment.W.T, alignment.V.T),
        (found.cp_x_to_y, forward, forward.E.T, forward.D),
        (found.cp_y_to_x, reverse, reverse.D, reverse.E.T),
    ):
        np.testing.assert_allclose(objective.singular_values, solution.triplets.values, rtol=1e-9)
        assert objective.distance.x == pytest.approx(subspace_distance(span_x, signal_x), rel=1e-8)
        assert objective.distance.y == pytest.approx(subspace_distance(span_y, signal_y), rel=1e-8)
    assert sum(found.ca.signal_overlap) == pytest.approx((2 + 2) / 2, abs=0.05)


def test_a_seed_names_one_simulation():
    found = simulate(MODEL, 300, seed=3)
    assert to_json(simulate(MODEL, 300, seed=3)) == to_json(found)
    assert simulate(MODEL, 300, seed=4).separation != found.separation


def test_a_simulation_is_json():
    found = simulate(MODEL, 300, seed=3)
    read = json.loads(to_json(found))
    assert read["truth"]["regimes"]["x_to_y"] == "ca_only"
    assert read["objectives"]["ca"]["singular_values"] == list(found.objectives.ca.singular_values)
    assert read["estimate"] is None


def test_without_signal_there_is_nothing_to_be_close_to():
    found = simulate(spiked_model([], [], [], 1.0, 2.0, 0.3, dx=3, dy=4), 200, seed=0)
    for objective in vars(found.objectives).values():
        assert (objective.distance.x, objective.distance.y, objective.recovered) == (None, None, None)
        assert objective.signal_overlap == (0.0,) * 3
    assert found.separation.ca.status is RatioStatus.NO_SIGNAL


def test_without_nuisance_everything_is_signal():
    found = simulate(spiked_model([1.0, 0.7], 0.5, 0.5, [], [], []), 100, seed=0)
    for objective in vars(found.objectives).values():
        assert objective.distance.x == pytest.approx(0, abs=1e-12)
        assert objective.recovered
    assert found.separation.cp_y_to_x.status is RatioStatus.NO_NUISANCE


def test_fewer_pairs_than_features_are_solved_on_the_directions_that_vary():
    found = simulate(spiked_model([2.0], 0.1, 0.1, 1.0, 1.0, 0.2, dx=40, dy=30), 25, seed=0)
    values = np.array(found.objectives.ca.singular_values)
    np.testing.assert_allclose(values[:24], 1, atol=1e-9)  # 24 directions vary: any two samples agree on them
    np.testing.assert_allclose(values[24:], 0, atol=1e-6)


def test_the_estimator_is_asked_about_the_pairs_drawn():
    found = simulate(MODEL, 400, seed=5, n_labeled=120, options=REFERENCE).estimate
    pairs = draw(MODEL, random_bases(MODEL, 5), 400, 5)
    rows, labels = draw_labels(pairs.signal, 120, LABEL_NOISE, 5)
    report = estimate(pairs.x, pairs.y, label_columns(labels), rows, REFERENCE)
    assert found.separation == report.separation
    assert (found.regime, found.regimes) == (report.regime, report.regimes)
    assert (found.conclusive, found.regime_probabilities, found.recovery_probability) == (None, None, None)
    assert (found.n_labeled, found.options) == (120, REFERENCE)


def test_the_calibrated_estimator_finds_the_regime(one_chain):
    found = simulate(MODEL, 2000, seed=6, n_labeled=300)
    assert found.estimate.options == Options()
    assert found.estimate.regime is found.truth.regimes.x_to_y
    assert found.estimate.regime_probabilities.x_to_y.ca_only > 0.8
    assert found.estimate.conclusive
    assert found.estimate.recovery_probability.ca > 0.8 > 0.2 > found.estimate.recovery_probability.cp_x_to_y


@pytest.mark.parametrize("n_labeled", [None, 50])
def test_progress_goes_forward_to_the_end(n_labeled):
    told = []
    options = REFERENCE if n_labeled else None
    simulate(MODEL, CHUNK_ROWS + 1, 0, n_labeled=n_labeled, options=options, progress=lambda *step: told.append(step))
    fractions = [fraction for _, fraction in told]
    assert fractions == sorted(fractions)
    assert (told[0], told[-1]) == (("sample", 0.0), ("done", 1.0))
    assert any(stage.startswith("estimate") for stage, _ in told) is (n_labeled is not None)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"n_pairs": 19}, "n_pairs is 19. Use a whole number from 20"),
        ({"n_pairs": MAX_PAIRS + 1}, "n_pairs is 100001"),
        ({"seed": -1}, "seed is -1"),
        ({"n_labeled": 9}, "n_labeled is 9"),
        ({"n_labeled": 301}, "to n_pairs, 300"),
        ({"options": REFERENCE}, "Give n_labeled, or leave out the options"),
        ({"model": spiked_model([1.0] * 30, 1, 1, [], [], []), "n_pairs": 30}, "from 31"),
        (
            {"model": spiked_model([1.0], 1, 1, 1, 1, 0, dx=500, dy=400), "n_pairs": 30_000, "n_labeled": 100},
            "more than 20000000 values",
        ),
    ],
)
def test_what_cannot_be_simulated_is_refused_before_anything_is_drawn(arguments, words):
    given = {"model": MODEL, "n_pairs": 300, "seed": 0, **arguments}
    for refuse in (check_simulation, simulate):
        with pytest.raises(InvalidModel, match=words):
            refuse(**given)


def test_options_are_checked_beforehand():
    with pytest.raises(InvalidOption, match="n_components"):
        check_simulation(MODEL, 300, 0, 100, Options(n_components=1))


def test_a_small_simulation_is_one_that_a_caller_can_wait_for():
    n_pairs = SMALL_VALUES // 12
    assert is_small(MODEL, n_pairs, estimated=False)
    assert not is_small(MODEL, n_pairs + 1, estimated=False)
    assert not is_small(MODEL, 20, estimated=True)
    assert not is_small(spiked_model([1.0], 1, 1, 1, 1, 0, dx=2, dy=SMALL_FEATURES + 1), 20, estimated=False)
