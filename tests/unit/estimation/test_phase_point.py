import math

import numpy as np
import pytest

from service.estimation.phase_point import Classified, phase_point, variance_alignment
from service.estimation.terms import RatioStatus, Regime


def classified(values, signal):
    return Classified(np.array(values, dtype=float), np.array(signal, dtype=bool))


def test_coordinates_follow_their_formulas():
    point = phase_point(
        ca=classified([0.9, 0.6, 0.5, 0.2], [1, 0, 0, 0]),
        pls=classified([3.0, 1.0, 0.5], [1, 1, 0]),
        pca_x=classified([3.0, 2.0, 1.0], [1, 0, 0]),
        pca_y=classified([1.0, 4.0], [1, 0]),
    )
    assert point.kappa == pytest.approx(math.sqrt(2.0))
    assert point.nu == 0.5
    assert (point.gamma_x, point.gamma_y) == (7.0, 0.0)
    assert (point.gamma_tilde_x, point.gamma_tilde_y) == (2.5, 16.0)
    ratios = point.composite_ratios
    assert ratios.ca.ratio == pytest.approx(2 / math.sqrt(9 * 2) / 0.5)
    assert ratios.cp_x_to_y.ratio == pytest.approx(2 / 3 / (0.5 * 4))
    assert ratios.cp_y_to_x.ratio == pytest.approx(2 / math.sqrt(2) / (0.5 * math.sqrt(2.5)))
    assert point.composite_regimes.x_to_y is Regime.NEITHER
    assert point.composite_regimes.y_to_x is Regime.CP_ONLY


@pytest.mark.parametrize(
    ("values", "signal", "nu"),
    [
        ([0.9, 0.6, 0.5, 0.2], [1, 0, 0, 0], 0.5),
        ([0.9, 0.6, 0.5], [1, 0, 0], 0.6),
        ([0.9, 0.6], [1, 0], 0.6),
        ([0.9, 0.6], [1, 1], 0.0),
    ],
)
def test_nu_is_the_second_largest_of_three_or_more(values, signal, nu):
    other = classified([1.0, 0.5], [1, 0])
    assert phase_point(classified(values, signal), other, other, other).nu == nu


def test_no_signal_anywhere():
    nothing = classified([0.9, 0.5, 0.1], [0, 0, 0])
    point = phase_point(nothing, nothing, nothing, nothing)
    assert (point.kappa, point.gamma_x, point.gamma_y) == (0.0, 0.0, 0.0)
    for ratio in (point.composite_ratios.ca, point.composite_ratios.cp_x_to_y, point.composite_ratios.cp_y_to_x):
        assert (ratio.ratio, ratio.status) == (None, RatioStatus.NO_SIGNAL)
    assert point.composite_regimes.x_to_y is Regime.NEITHER
    assert point.variance_alignment.x is None


def test_no_nuisance_anywhere():
    everything = classified([0.9, 0.5], [1, 1])
    point = phase_point(everything, everything, everything, everything)
    assert (point.nu, point.gamma_tilde_x, point.gamma_tilde_y) == (0.0, 0.0, 0.0)
    assert point.composite_ratios.ca.status is RatioStatus.NO_NUISANCE
    assert point.composite_regimes.y_to_x is Regime.BOTH


def test_variance_alignment():
    assert variance_alignment(classified([3, 2, 1], [1, 0, 1])) == pytest.approx(10 / 13)
    assert variance_alignment(classified([3, 2, 1], [1, 1, 0])) == 1.0
    assert variance_alignment(classified([3, 2, 1], [0, 0, 0])) is None
