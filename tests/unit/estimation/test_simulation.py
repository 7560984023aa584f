"""Simulations tell the truth, and of the sample what the solvers and the estimator say of the pairs drawn."""

import dataclasses
import itertools
import json

import numpy as np
import pytest
from scipy import linalg

from service.estimation import simulation
from service.estimation.errors import InvalidModel, InvalidOption
from service.estimation.estimate import estimate
from service.estimation.inputs import MIN_PAIRS
from service.estimation.labels import label_columns
from service.estimation.moments import centred
from service.estimation.objectives import align, joint_covariance, predict
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
from service.estimation.simulation_records import SampledObjective, SubspaceDistance
from service.estimation.spiked_model import (
    GAMMA_BOUNDS,
    GAMMA_TILDE_BOUNDS,
    KAPPA_BOUNDS,
    model_separation,
    spiked_model,
)
from service.estimation.spiked_sample import CHUNK_ROWS, draw, draw_labels, own_bases, random_bases
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


def test_singular_values_are_those_of_the_pairs_drawn():
    n_pairs = CHUNK_ROWS + 100
    found = simulate(MODEL, n_pairs, seed=2).objectives
    pairs = draw(MODEL, random_bases(MODEL, 2), n_pairs, 2)
    joint = joint_covariance(pairs.x, pairs.y)
    alignment = align(joint, 2)
    forward, reverse = (predict(joint, 2, direction) for direction in Direction)
    for objective, solution in ((found.ca, alignment), (found.cp_x_to_y, forward), (found.cp_y_to_x, reverse)):
        np.testing.assert_allclose(objective.singular_values, solution.triplets.values, rtol=1e-9)
    assert sum(found.ca.signal_overlap) == pytest.approx((2 + 2) / 2, abs=0.05)


def naive_solutions(model, n_pairs, seed):
    """Singular values and vectors of every objective by fractional matrix powers, from the pairs in hidden bases."""
    bases = random_bases(model, seed)
    pairs = draw(model, bases, n_pairs, seed)
    z_x, z_y = (
        (values - values.mean(axis=0)) @ basis / np.sqrt(variances)
        for values, basis, variances in (
            (pairs.x, bases.x, model.variances_x),
            (pairs.y, bases.y, model.variances_y),
        )
    )
    y_in_units, x_in_units = z_y * np.sqrt(model.variances_y), z_x * np.sqrt(model.variances_x)
    root_x, root_y = (linalg.fractional_matrix_power(z.T @ z / n_pairs, -0.5) for z in (z_x, z_y))
    return {
        "ca": linalg.svd(root_x @ z_x.T @ z_y @ root_y / n_pairs),
        "cp_x_to_y": linalg.svd(root_x @ z_x.T @ y_in_units / n_pairs),
        "cp_y_to_x": linalg.svd(x_in_units.T @ z_y @ root_y / n_pairs),
    }


@pytest.mark.parametrize(
    ("seed", "name", "recovered"),
    [
        (16, "cp_x_to_y", True),  # both distances lie between 1/2 and sqrt(1/2)
        (30, "ca", True),
        (57, "cp_y_to_x", True),
        (25, "ca", False),  # 0.69 in x, 0.745 in y
        (57, "ca", False),
    ],
)
def test_overlap_and_distance_are_what_their_formulas_say(seed, name, recovered):
    found = getattr(simulate(MODEL, 60, seed).objectives, name)
    left, values, right = naive_solutions(MODEL, 60, seed)[name]
    np.testing.assert_allclose(found.singular_values, values, rtol=1e-9)
    overlaps = [sum(left[i, place] ** 2 + right[place, i] ** 2 for i in range(2)) / 2 for place in range(len(values))]
    np.testing.assert_allclose(found.signal_overlap, overlaps, rtol=1e-9)
    distances = [
        np.sqrt(1 - linalg.svdvals(cosines)[-1] ** 2) for cosines in (left[:2, :2], right[:2, :2])
    ]  # of the first two singular vectors from the first two coordinates
    assert (found.distance.x, found.distance.y) == pytest.approx(distances, rel=1e-9)
    assert 0.5 < max(distances) < 0.75
    assert found.recovered is recovered is bool(distances[0] < 0.5**0.5 and distances[1] < 0.5**0.5)


WEAK = spiked_model([2.0, 1.2, 0.5], 0.5, 0.5, 1.0, 1.0, 0.4, dx=30, dy=20)


@pytest.mark.parametrize("seed", range(3))
def test_as_many_components_as_there_is_signal_count_as_signal_however_smeared(seed):
    found = simulate(WEAK, 100, seed)
    for name in ("ca", "cp_x_to_y", "cp_y_to_x"):
        objective, sampled = getattr(found.objectives, name), getattr(found.separation, name)
        assert sorted(objective.signal_overlap)[-3] < 0.5  # the weakest signal is no component of its own
        nearest = sorted(range(20), key=lambda place: -objective.signal_overlap[place])[:3]
        values = objective.singular_values
        assert sampled.signal_count == 3
        assert sampled.signal_floor == min(values[place] for place in nearest)
        assert sampled.nuisance_floor == max(value for place, value in enumerate(values) if place not in nearest)
        assert sampled.ratio == sampled.signal_floor / sampled.nuisance_floor


def test_ties_of_overlap_go_to_the_earlier_component():
    tied = SampledObjective((0.9, 0.5, 0.4, 0.2), (0.3, 0.5, 0.5, 0.5), SubspaceDistance(1.0, 1.0), False)
    found = simulation._separation(tied, 2)
    assert (found.signal_floor, found.nuisance_floor, found.signal_count) == (0.4, 0.9, 2)


@pytest.mark.parametrize("scale", [1e-3, 30.0])
def test_units_of_nuisance_in_the_source_change_no_solution(scale):
    """Codes of the source, and with them everything said of the optimum, are the same whatever its nuisance's units."""
    model = spiked_model([1.5, 1.2], 1.0, 0.05, [1.0, 0.4, 2.0], [5.0, 1.0, 0.3, 2.0, 1.0], 0.5)
    louder = dataclasses.replace(model, gamma_tilde_x=tuple(scale * value for value in model.gamma_tilde_x))
    found, expected = simulate(louder, 60, 4), simulate(model, 60, 4)
    for name in ("ca", "cp_x_to_y"):
        objective, other = getattr(found.objectives, name), getattr(expected.objectives, name)
        assert 0.1 < other.distance.x < 0.999
        assert vars(objective.distance) == pytest.approx(vars(other.distance), rel=1e-8)
        assert objective.signal_overlap == pytest.approx(other.signal_overlap, rel=1e-8)
        assert getattr(found.separation, name).ratio == pytest.approx(
            getattr(expected.separation, name).ratio, rel=1e-8
        )
    codes = []
    for other in (model, louder):
        pairs = draw(other, own_bases(other), 60, 4)
        codes.append(centred(pairs.x) @ predict(joint_covariance(pairs.x, pairs.y), 2, Direction.X_TO_Y).E.T)
    signs = np.sign((codes[0] * codes[1]).sum(axis=0))
    np.testing.assert_allclose(codes[1] * signs, codes[0], rtol=0, atol=1e-8)


DIGITS_KEPT = 1e-9  # relative, of every singular value
CORNERS = list(
    itertools.product(
        KAPPA_BOUNDS, GAMMA_BOUNDS, GAMMA_BOUNDS, GAMMA_TILDE_BOUNDS, GAMMA_TILDE_BOUNDS, (0.0, 0.5, 1.0), (20, 300)
    )
)


def test_singular_values_keep_their_digits_at_the_corners_of_the_bounds():
    """Against orthonormal bases of the columns of the data themselves: no covariance is formed or inverted."""
    for kappa, gamma_x, gamma_y, tilde_x, tilde_y, nu, n_pairs in CORNERS:
        tildes_x = [tilde_x, GAMMA_TILDE_BOUNDS[0], GAMMA_TILDE_BOUNDS[1]]
        model = spiked_model([kappa, KAPPA_BOUNDS[1]], gamma_x, gamma_y, tildes_x, tilde_y, nu, dy=4)
        found = simulate(model, n_pairs, 1).objectives
        pairs = draw(model, own_bases(model), n_pairs, 1)
        x, y = centred(pairs.x), centred(pairs.y)
        basis_x, basis_y = (linalg.qr(z / np.sqrt(np.square(z).mean(axis=0)), mode="economic")[0] for z in (x, y))
        for objective, expected in (
            (found.ca, linalg.svdvals(basis_x.T @ basis_y)),
            (found.cp_x_to_y, linalg.svdvals(y.T @ basis_x) / np.sqrt(n_pairs)),
            (found.cp_y_to_x, linalg.svdvals(x.T @ basis_y) / np.sqrt(n_pairs)),
        ):
            np.testing.assert_allclose(objective.singular_values, expected, rtol=DIGITS_KEPT)
        assert max(found.ca.singular_values) <= 1


def test_no_simulation_that_passes_the_check_fails_afterwards():
    rng = np.random.default_rng(0)

    def extreme(bounds, count):
        """Ends of the bounds, and anything between, on a logarithmic scale."""
        low, high = max(bounds[0], 1e-12), bounds[1]
        values = np.exp(rng.uniform(np.log(low), np.log(high), count))
        return np.where(rng.random(count) < 0.7, rng.choice(bounds, count), np.clip(values, *bounds))

    for seed in range(300):
        dx, dy = rng.choice(np.arange(1, 13), 2, replace=False)
        k = int(rng.integers(0, min(dx, dy) + 1))
        model = spiked_model(
            *(extreme(bounds, k) for bounds in (KAPPA_BOUNDS, GAMMA_BOUNDS, GAMMA_BOUNDS)),
            *(extreme(GAMMA_TILDE_BOUNDS, d - k) for d in (dx, dy)),
            extreme((0.0, 1.0), min(dx, dy) - k),
        )
        n_pairs = max(MIN_PAIRS, k + 1) + int(rng.integers(0, 5))
        check_simulation(model, n_pairs, seed)
        found = simulate(model, n_pairs, seed)
        for separation in vars(found.separation).values():
            assert separation.signal_count == k
        for objective in vars(found.objectives).values():
            assert np.isfinite(objective.singular_values).all()
            assert all(0 <= overlap <= 1 for overlap in objective.signal_overlap)
            assert (objective.recovered is None) == (k == 0)
        assert max(found.objectives.ca.singular_values) <= 1


def test_a_sample_of_fewer_pairs_than_features_has_a_ratio_of_one():
    """All its correlations are 1, and which is larger is a matter of rounding."""
    for seed in range(10):
        found = simulate(spiked_model([2.0], 0.1, 0.1, 1.0, 1.0, 0.2, dx=40, dy=30), 25, seed)
        assert found.objectives.ca.singular_values[23] > 1 - 1e-9
        assert found.separation.ca.ratio == 1
        assert found.regimes.x_to_y in (Regime.CP_ONLY, Regime.NEITHER)


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


def test_a_seed_names_the_same_simulation_in_every_process():
    """Pinned when it was first computed."""
    found = simulate(MODEL, 100, seed=3).objectives
    assert found.ca.singular_values[:2] == pytest.approx([0.8307466286446252, 0.7820245073634188], rel=1e-10)
    assert found.cp_x_to_y.distance.x == pytest.approx(0.9623584053182941, rel=1e-10)
