"""From the spectra in the paper's figure follow the ratios and regimes that the paper prints."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from service.estimation.classification import elbow
from service.estimation.separation import regime_of, separation
from service.estimation.terms import RatioStatus, Regime

PAPER = json.loads((Path(__file__).parent / "paper_spectra.json").read_text(encoding="utf-8"))


def paper_separation(name: str):
    sigma, r2 = np.array(PAPER[name]["sigma"]), np.array(PAPER[name]["r2"])
    assert sigma.shape == r2.shape == (50,)
    return separation(sigma, elbow(np.maximum(r2, 0.0)[:, None]))


def test_kepler_ratios():
    ca, cp = paper_separation("kepler_C"), paper_separation("kepler_A")
    printed = PAPER["printed"]["kepler"]
    assert ca.ratio == pytest.approx(1.125, abs=5e-4)
    assert cp.ratio == pytest.approx(2.215, abs=5e-4)
    assert ca.ratio == pytest.approx(printed["delta_ca"], abs=0.006)  # printed to two digits, read off to 0.002
    assert cp.ratio == pytest.approx(printed["delta_cp"], abs=0.006)
    assert (ca.signal_count, cp.signal_count) == (1, 2)
    assert (ca.recovered_count, cp.recovered_count) == (1, 2)


def test_kepler_regime():
    assert PAPER["printed"]["kepler"]["regime"] == "Both"
    assert regime_of(paper_separation("kepler_C"), paper_separation("kepler_A")) is Regime.BOTH


def test_tess_has_no_signal_and_neither_objective():
    ca, cp = paper_separation("tess_C"), paper_separation("tess_A")
    assert ca.status is RatioStatus.NO_SIGNAL
    assert cp.status is RatioStatus.NO_SIGNAL
    assert PAPER["printed"]["tess"]["regime"] == "Neither"
    assert regime_of(ca, cp) is Regime.NEITHER


def test_unclipped_r2_of_tess_is_below_zero_throughout():
    assert max(PAPER["tess_C"]["r2"] + PAPER["tess_A"]["r2"]) < 0
