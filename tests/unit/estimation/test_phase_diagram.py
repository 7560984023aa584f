"""The phase diagram against the closed forms, cell by cell, and at its edges."""

import itertools

import numpy as np
import pytest

from service.estimation.errors import InvalidModel
from service.estimation.phase_diagram import (
    REGIME_OF,
    Axis,
    UniformVariances,
    alignment_boundary,
    phase_diagram,
    prediction_boundary,
)
from service.estimation.spiked_model import (
    GAMMA_BOUNDS,
    GAMMA_TILDE_BOUNDS,
    KAPPA_BOUNDS,
    model_separation,
    spiked_model,
)
from service.estimation.terms import Direction, Regime

LEFT = UniformVariances(gamma_x=1.0, gamma_y=0.05, gamma_tilde_x=1.0, gamma_tilde_y=5.0)  # the paper's panels
RIGHT = UniformVariances(gamma_x=1.0, gamma_y=0.05, gamma_tilde_x=1.0, gamma_tilde_y=0.05)
X_TO_Y, Y_TO_X = Direction


@pytest.mark.parametrize("direction", Direction)
@pytest.mark.parametrize("variances", [LEFT, RIGHT, UniformVariances(0.0, 2.0, 0.3, 0.7)])
def test_every_cell_has_the_regime_of_its_model(variances, direction):
    found = phase_diagram(variances, direction, Axis(0.2, 3.0, 9), Axis(0.0, 1.0, 7))
    assert (len(found.regions), len(found.regions[0])) == (7, 9)
    for row, nu in zip(found.regions, found.nu, strict=True):
        for regime, kappa in zip(row, found.kappa, strict=True):
            model = spiked_model([kappa], *vars(variances).values(), nu, dx=3, dy=4)
            assert regime is getattr(model_separation(model).regimes, direction)


@pytest.mark.parametrize("direction", Direction)
def test_on_a_boundary_the_ratio_is_one(direction):
    found = phase_diagram(LEFT, direction, Axis(0.1, 3.0, 12))
    on_diagram = 0
    for name, objective in (("ca", "ca"), ("cp", f"cp_{direction}")):
        for point in getattr(found.boundaries, name):
            if point.nu <= 1:
                model = spiked_model([point.kappa], *vars(LEFT).values(), point.nu, dx=3, dy=2)
                ratio = getattr(model_separation(model).separation, objective).ratio
                assert ratio == pytest.approx(1, rel=1e-12)
                on_diagram += 1
    assert on_diagram > 12


def test_boundaries_by_hand():
    kappa = np.array([0.0, 1.0, 2.0])
    np.testing.assert_allclose(alignment_boundary(LEFT, kappa), [0, 1 / (2 * 1.05) ** 0.5, 4 / (5 * 4.05) ** 0.5])
    np.testing.assert_allclose(
        prediction_boundary(LEFT, kappa, X_TO_Y), [0, 1 / (2 * 5.0) ** 0.5, 4 / (5 * 5.0) ** 0.5]
    )
    np.testing.assert_allclose(prediction_boundary(LEFT, kappa, Y_TO_X), [0, 1 / 1.05**0.5, 4 / 4.05**0.5])


def test_loud_target_nuisance_shrinks_the_region_of_prediction_alone():
    left, right = phase_diagram(LEFT), phase_diagram(RIGHT)
    assert left.boundaries.ca == right.boundaries.ca
    assert all(a.nu <= b.nu for a, b in zip(left.boundaries.cp, right.boundaries.cp, strict=True))

    def recovered(diagram, *regimes):
        return {(i, j) for i, row in enumerate(diagram.regions) for j, regime in enumerate(row) if regime in regimes}

    assert recovered(left, Regime.BOTH, Regime.CA_ONLY) == recovered(right, Regime.BOTH, Regime.CA_ONLY)
    trapped, quiet = (recovered(diagram, Regime.BOTH, Regime.CP_ONLY) for diagram in (left, right))
    assert trapped < quiet
    assert len(trapped) < 2 / 3 * len(quiet)
    assert phase_diagram(LEFT, Y_TO_X).boundaries == phase_diagram(RIGHT, Y_TO_X).boundaries


def test_the_diagram_s_default_is_that_of_the_paper_s_figure():
    found = phase_diagram(LEFT)
    assert (found.kappa[0], found.kappa[-1], found.nu[0], found.nu[-1]) == (0.0, 3.0, 0.0, 1.0)
    assert (len(found.nu), len(found.kappa)) == (len(found.regions), len(found.regions[0]))


def test_without_signal_nothing_recovers_and_without_nuisance_everything():
    found = phase_diagram(UniformVariances(0.0, 0.0, 1.0, 1.0), X_TO_Y, Axis(0.0, 1.0, 3), Axis(0.0, 1.0, 2))
    assert [row[0] for row in found.regions] == [Regime.NEITHER] * 2
    assert found.regions[0][1:] == (Regime.BOTH, Regime.BOTH)
    assert found.regions[1] == (Regime.NEITHER,) * 3  # rho = 1 = nu, and tau = kappa <= 1 = xi


@pytest.mark.parametrize("kappa_axis", [Axis(0.0, 3.0, 61), Axis(0.0, 2.9, 59), Axis(0.3, 3.0, 28)])
def test_rounding_decides_no_cell(kappa_axis):
    """Without private variance of x and with unit nuisance, CA recovers below nu = 1 and CP below nu = kappa."""
    nu_axis = Axis(0.0, 1.0, 21)  # every 0.05, as in kappa
    found = phase_diagram(UniformVariances(0.0, 0.0, 1.0, 1.0), X_TO_Y, kappa_axis, nu_axis)
    ties = 0
    for row, nu in zip(found.regions, found.nu, strict=True):
        for regime, kappa in zip(row, found.kappa, strict=True):
            ca, cp = (round(20 * nu) < 20 and kappa > 0), round(20 * nu) < round(20 * kappa)
            assert regime is REGIME_OF[ca, cp]
            ties += round(20 * nu) == round(20 * kappa)
    assert ties >= 8


@pytest.mark.parametrize("variances", [UniformVariances(0.0, 3.0, 1.0, 1.0), UniformVariances(0.0, 0.0, 4.0, 0.25)])
@pytest.mark.parametrize("direction", Direction)
def test_regions_are_what_the_curves_and_the_closed_forms_say(variances, direction):
    found = phase_diagram(variances, direction, Axis(0.0, 3.0, 61), Axis(0.0, 1.0, 21))
    for row, nu in zip(found.regions, found.nu, strict=True):
        for regime, kappa, ca, cp in zip(row, found.kappa, found.boundaries.ca, found.boundaries.cp, strict=True):
            assert regime is REGIME_OF[nu < ca.nu, nu < cp.nu]
            if kappa > 0:
                model = spiked_model([kappa], *vars(variances).values(), nu, dx=3, dy=4)
                assert regime is getattr(model_separation(model).regimes, direction)


@pytest.mark.parametrize("low", [0.0, KAPPA_BOUNDS[0]])
def test_the_weakest_signal_and_the_extreme_variances_give_numbers(low):
    axis = Axis(low, low + 4 * KAPPA_BOUNDS[0], 5)
    for variances in itertools.product(GAMMA_BOUNDS, GAMMA_BOUNDS, GAMMA_TILDE_BOUNDS, GAMMA_TILDE_BOUNDS):
        with np.errstate(all="raise"):
            found = phase_diagram(UniformVariances(*variances), X_TO_Y, axis)
        assert all(np.isfinite([point.nu for curve in vars(found.boundaries).values() for point in curve]))


@pytest.mark.parametrize(
    "axis", [Axis(1e-200, 3.0, 3), Axis(0.0, 1e-200, 3), Axis(0.009, 3.0, 61), Axis(0.0, 0.5, 101)]
)
def test_points_between_no_signal_and_the_weakest_are_refused(axis):
    with pytest.raises(InvalidModel, match=r"has a point at .* begin at 0 with steps of at least 0.01, or at 0.01"):
        phase_diagram(LEFT, kappa_axis=axis)


def test_steps_of_the_weakest_strength_are_taken():
    assert len(phase_diagram(LEFT, kappa_axis=Axis(0.0, 0.6, 61)).kappa) == 61
    assert len(phase_diagram(LEFT, kappa_axis=Axis(0.0, 2.0, 201)).kappa) == 201


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"variances": UniformVariances(-1.0, 0.0, 1.0, 1.0)}, "gamma_x is -1"),
        ({"variances": UniformVariances(1.0, float("nan"), 1.0, 1.0)}, "gamma_y is nan"),
        ({"variances": UniformVariances(1.0, 0.0, 0.0, 1.0)}, "gamma_tilde_x is 0"),
        ({"variances": UniformVariances(1.0, 0.0, 1.0, 1e9)}, r"gamma_tilde_y is 1e\+09"),
        ({"kappa_axis": Axis(-1.0, 1.0, 3)}, "from 0 to 1000"),
        ({"kappa_axis": Axis(2.0, 2.0, 3)}, "Give a kappa.high above kappa.low"),
        ({"nu_axis": Axis(0.0, 1.5, 3)}, "from 0 to 1"),
        ({"nu_axis": Axis(0.0, 1.0, 1)}, "1 points"),
        ({"kappa_axis": Axis(0.0, 1.0, 202)}, "from 2 to 201"),
    ],
)
def test_out_of_bounds(arguments, words):
    with pytest.raises(InvalidModel, match=words):
        phase_diagram(**{"variances": LEFT, **arguments})
