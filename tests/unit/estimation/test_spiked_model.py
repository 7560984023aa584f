"""Closed forms against fractional matrix powers, published values and exact limits; what no model can be."""

import dataclasses
import json

import numpy as np
import pytest
from scipy import linalg

from benchmarks.problems import draw_model
from service.estimation.errors import InputError, InvalidModel
from service.estimation.record import to_json
from service.estimation.spiked_model import MAX_FEATURES, SpikedModel, model_separation, spiked_model
from service.estimation.spiked_sample import population, random_bases
from service.estimation.terms import Direction, RatioStatus, Regime, Verdict
from tests.reference.published import PUBLISHED, PUBLISHED_REGIMES

MODEL = spiked_model([1.6, 1.1], [0.4, 0.2], 0.7, [2.0, 0.5], [1.5, 0.8, 0.3, 1.0], [0.45, 0.15])
PAPER = {"gamma_x": 1.0, "gamma_y": 0.05, "gamma_tilde_x": 1.0}  # the two-panel figure, but for gamma_tilde_y


def inverse_root(matrix):
    return linalg.fractional_matrix_power(matrix, -0.5).real


def smallest_over_largest(coupling, left_signal, right_signal):
    """Signal are the triplets that lie in the signal subspaces."""
    left, values, right = linalg.svd(coupling, full_matrices=False)
    overlap = (left_signal.T @ left) ** 2
    signal = overlap.sum(axis=0) > 0.5
    np.testing.assert_array_equal(signal, ((right_signal.T @ right.T) ** 2).sum(axis=0) > 0.5)
    return values[signal].min() / values[~signal].max()


@pytest.mark.parametrize("seed", range(6))
def test_ratios_are_those_of_the_population_s_coupling_matrices(seed):
    rng = np.random.default_rng(seed)
    k, dx, dy = (2, 7, 5) if seed % 2 else (3, 4, 9)
    model = spiked_model(
        rng.uniform(0.5, 2, k),
        rng.uniform(0.1, 2, k),
        rng.uniform(0.1, 2, k),
        rng.uniform(0.1, 4, dx - k),
        rng.uniform(0.1, 4, dy - k),
        rng.uniform(0.1, 0.9, min(dx, dy) - k),
    )
    bases = random_bases(model, seed)
    joint = population(model, bases)
    signal_x, signal_y = bases.x[:, :k], bases.y[:, :k]
    found = model_separation(model).separation
    alignment = inverse_root(joint.x) @ joint.cross @ inverse_root(joint.y)
    assert found.ca.ratio == pytest.approx(smallest_over_largest(alignment, signal_x, signal_y), rel=1e-9)
    forward = joint.cross.T @ inverse_root(joint.x)
    assert found.cp_x_to_y.ratio == pytest.approx(smallest_over_largest(forward, signal_y, signal_x), rel=1e-9)
    reverse = joint.cross @ inverse_root(joint.y)
    assert found.cp_y_to_x.ratio == pytest.approx(smallest_over_largest(reverse, signal_x, signal_y), rel=1e-9)


@pytest.mark.parametrize("seed", range(8))
def test_the_benchmark_s_problems_have_the_same_ratios(seed):
    frozen = draw_model(np.random.default_rng(seed), 11, 8)
    model = spiked_model(
        np.sqrt(frozen.kappa2), frozen.gamma_x, frozen.gamma_y, frozen.tilde_x, frozen.tilde_y, frozen.nu
    )
    found, expected = model_separation(model), frozen.ratios()
    for name in ("ca", "cp_x_to_y", "cp_y_to_x"):
        assert getattr(found.separation, name).ratio == pytest.approx(getattr(expected, name), rel=1e-12)
    assert found.regimes.x_to_y is expected.regime


@pytest.mark.parametrize("direction", ["x_to_y", "y_to_x"])
@pytest.mark.parametrize("name", list(PUBLISHED))
def test_ratios_at_published_coordinates_are_the_published_ones(name, direction):
    printed = PUBLISHED[name][direction]
    model = spiked_model(
        [printed["kappa_hat"]],
        *(printed[f"{symbol}_hat"] for symbol in ("gamma_x", "gamma_y", "gamma_tilde_x", "gamma_tilde_y", "nu")),
        dx=3,
        dy=2,
    )
    found = model_separation(model)
    assert found.separation.ca.ratio == pytest.approx(printed["delta_ca_composite"], rel=1e-12)
    assert found.separation.cp_x_to_y.ratio == pytest.approx(printed["delta_cp_composite"], rel=1e-12)
    assert found.regimes.x_to_y == PUBLISHED_REGIMES[printed["regime_secondary"]]


def test_singular_values_by_hand():
    model = spiked_model([2.0], 5.0, 0.0, [4.0, 1.0], [9.0], [0.5])
    found = model_separation(model)
    assert found.rho == pytest.approx([4 / (3 * 2)])
    assert found.nu == (0.5,)
    assert (found.tau.x_to_y, found.tau.y_to_x) == (pytest.approx([4 / 3]), pytest.approx([2.0]))
    assert (found.xi.x_to_y, found.xi.y_to_x) == (pytest.approx([1.5]), pytest.approx([1.0]))
    assert found.separation.cp_x_to_y.ratio == pytest.approx(4 / 3 / 1.5)
    assert found.regimes.x_to_y is Regime.CA_ONLY
    assert found.regimes.y_to_x is Regime.BOTH
    assert found.direction is Direction.Y_TO_X
    np.testing.assert_allclose(model.covariances, [4.0, 0.5 * 6.0])


def test_loud_nuisance_in_the_target_traps_prediction_alone():
    trapped, quiet = (
        model_separation(spiked_model([1.5, 1.2], **PAPER, gamma_tilde_y=loudness, nu=0.6, dx=12, dy=8))
        for loudness in (5.0, 0.05)
    )
    assert trapped.separation.ca == quiet.separation.ca
    assert (trapped.regimes.x_to_y, quiet.regimes.x_to_y) == (Regime.CA_ONLY, Regime.BOTH)
    assert quiet.separation.cp_x_to_y.ratio / trapped.separation.cp_x_to_y.ratio == pytest.approx(10)
    assert trapped.separation.cp_y_to_x == quiet.separation.cp_y_to_x


def test_a_ratio_of_one_does_not_recover():
    model = spiked_model([1.0], 0.0, 0.0, [1.0], [1.0, 2.0], [1.0])
    found = model_separation(model)
    assert found.separation.ca.ratio == found.separation.cp_x_to_y.ratio == 1
    assert found.regimes.x_to_y is Regime.NEITHER
    assert found.direction is None


def test_without_signal_there_is_nothing_to_recover():
    found = model_separation(spiked_model([], [], 3.0, 1.0, 2.0, 0.5, dx=3, dy=4))
    assert (found.rho, found.tau.x_to_y, found.nu) == ((), (), (0.5,) * 3)
    for separation in vars(found.separation).values():
        assert (separation.ratio, separation.status) == (None, RatioStatus.NO_SIGNAL)
        assert separation.nuisance_floor > 0
    assert found.regimes.x_to_y is Regime.NEITHER


@pytest.mark.parametrize(
    "model",
    [
        spiked_model([1.0, 2.0], 1.0, 1.0, [], [], [], dx=2, dy=2),
        spiked_model([1.0, 2.0], 1.0, 1.0, [], [3.0, 1.0], []),  # what y has alone is coupled to nothing
        spiked_model([1.0, 2.0], 1.0, 1.0, 2.0, 2.0, 0.0, dx=4, dy=5),
    ],
)
def test_without_coupled_nuisance_every_objective_recovers(model):
    found = model_separation(model)
    for separation in vars(found.separation).values():
        assert (separation.ratio, separation.status) == (None, RatioStatus.NO_NUISANCE)
        assert (separation.nuisance_floor, separation.verdict) == (None, Verdict.RECOVERS)
    assert found.regimes.x_to_y is found.regimes.y_to_x is Regime.BOTH


def test_without_signal_and_nuisance_there_is_no_signal():
    found = model_separation(spiked_model([], 1.0, 1.0, 2.0, 2.0, 0.0, dx=1, dy=2))
    assert found.separation.ca.status is RatioStatus.NO_SIGNAL


def test_extreme_parameters_stay_finite():
    model = spiked_model([1e3, 1e-2], [0.0, 1e5], 1e5, [1e-4, 1e4], [1e4] * 3, [1.0, 1e-14])
    found = model_separation(model)
    assert found.separation.ca.ratio == pytest.approx(1e-4 / np.sqrt(1e5 + 1e-4) / np.sqrt(1e5), rel=1e-9)
    assert json.loads(to_json(found))["regimes"]["x_to_y"] == "neither"  # nothing of it is infinite or NaN


@pytest.mark.parametrize("nu", [1e-10, 1e-12, 1e-14])
def test_weakly_coupled_nuisance_is_nuisance(nu):
    found = model_separation(spiked_model([1.0], 1.0, 1.0, 1.0, 1.0, nu, dx=3, dy=2)).separation
    for separation in vars(found).values():
        assert (separation.status, separation.nuisance_floor) == (RatioStatus.OK, nu)
    assert found.ca.ratio == pytest.approx(0.5 / nu, rel=1e-12)


def test_a_ratio_of_one_is_decided_by_no_rounding():
    for kappa in np.linspace(0.15, 3.0, 400):
        aligned = model_separation(spiked_model([kappa], 0.0, 0.0, 1.0, 1.0, 1.0, dx=3, dy=2))
        assert aligned.rho == (1.0,)
        assert (aligned.separation.ca.ratio, aligned.separation.ca.recovered_count) == (1.0, 0)
        assert not aligned.separation.ca.recovers
        for gamma in (0.0, 0.3, 3.0):  # of x; xi is nu times the root of the target's gamma_tilde
            tau = kappa**2 / np.sqrt(kappa**2 + gamma)
            loud = float(2 * tau**2)
            even = model_separation(spiked_model([kappa], gamma, 3.0, 1.0, loud, np.sqrt(0.5), dx=3, dy=2)).separation
            assert (even.cp_x_to_y.ratio, even.cp_x_to_y.recovered_count) == (1.0, 0)
            assert even.cp_x_to_y.ratio == even.cp_x_to_y.signal_floor / even.cp_x_to_y.nuisance_floor


def test_what_is_more_than_rounding_above_one_recovers():
    for excess, recovers in ((1e-14, True), (4e-16, False), (-1e-14, False)):
        model = spiked_model([1.0], 1.0, 1.0, 1.0, 1.0, 0.5 / (1 + excess), dx=3, dy=2)
        assert model_separation(model).separation.ca.recovers is recovers


def test_a_number_stands_for_all_coordinates():
    assert spiked_model([1, 2], 1, 0, 2, 3, 0, dx=3, dy=5) == SpikedModel(
        kappa=(1.0, 2.0),
        gamma_x=(1.0, 1.0),
        gamma_y=(0.0, 0.0),
        gamma_tilde_x=(2.0,),
        gamma_tilde_y=(3.0, 3.0, 3.0),
        nu=(0.0,),
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"gamma_x": (1.0,)}, ["gamma_x has 1 values for 2", "one value per entry of kappa"]),
        ({"gamma_y": (1.0,) * 3}, ["gamma_y has 3 values for 2"]),
        ({"nu": (0.1,) * 3}, ["nu has 3 values", "Give 2"]),
        ({"nu": (0.1, 1.1)}, ["nu[1] is 1.1", "from 0 to 1"]),
        ({"nu": (-0.1, 0.1)}, ["nu[0] is -0.1"]),
        ({"nu": (float("nan"), 0.1)}, ["nu[0] is nan"]),
        ({"kappa": (0.0, 1.0)}, ["kappa[0] is 0", "leave it out of kappa"]),
        ({"kappa": (float("inf"), 1.0)}, ["kappa[0] is inf"]),
        ({"gamma_x": (-1.0, 1.0)}, ["gamma_x[0] is -1"]),
        ({"gamma_tilde_x": (0.0, 1.0)}, ["gamma_tilde_x[0] is 0"]),
        ({"gamma_tilde_y": (1.0, 1.0, 1e7, 1.0)}, ["gamma_tilde_y[2] is 1e+07"]),
        ({"gamma_tilde_y": (1.0,) * MAX_FEATURES}, ["y has 514 coordinates", "1 to 512"]),
    ],
)
def test_no_population_has_these_parameters(change, words):
    with pytest.raises(InvalidModel) as refused:
        dataclasses.replace(MODEL, **change)
    assert refused.value.part == "model"
    for word in words:
        assert word in refused.value.message


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"gamma_tilde_x": 1.0}, ["gamma_tilde_x is one number", "Give dx"]),
        ({"gamma_tilde_y": 1.0}, ["gamma_tilde_y is one number", "Give dy"]),
        ({"gamma_tilde_x": 1.0, "dx": 1}, ["dx is 1", "dx of at least 2"]),
        ({"gamma_tilde_x": 1.0, "dx": 0}, ["dx is 0"]),
        ({"gamma_tilde_x": 1.0, "dx": 513}, ["dx is 513", "from 1 to 512"]),
        ({"dy": 7}, ["gamma_tilde_y has 4 values", "leaves 5"]),
    ],
)
def test_sizes_must_agree(change, words):
    given = {
        "kappa": [1.0, 2.0],
        "gamma_x": 1.0,
        "gamma_y": 1.0,
        "gamma_tilde_x": [1.0, 1.0],
        "gamma_tilde_y": [1.0] * 4,
        "nu": 0.5,
    }
    assert spiked_model(**given).dy == spiked_model(**given, dx=4, dy=6).dy == 6
    with pytest.raises(InvalidModel) as refused:
        spiked_model(**{**given, **change})
    for word in words:
        assert word in refused.value.message


def test_no_coordinate_at_all_is_refused():
    with pytest.raises(InputError, match="x has 0 coordinates"):
        spiked_model([], [], [], [], [1.0], [])
