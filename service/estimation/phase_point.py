"""Where a pair lies in the spiked model's phase diagram (Kamai et al. 2026; step 8 of reference.py)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from service.estimation.classification import Classes
from service.estimation.moments import Array
from service.estimation.separation import composite_ratio, regime_of
from service.estimation.separation_records import Regimes
from service.estimation.spectrum_records import CompositeRatios, PhasePoint, VarianceAlignment
from service.estimation.spiked_model import coupling_strength


@dataclass(frozen=True)
class Classified:
    """Singular values (c,) of a spectrum with the class of each component."""

    singular_values: Array
    signal: Classes


def phase_point(ca: Classified, pls: Classified, pca_x: Classified, pca_y: Classified) -> PhasePoint:
    """Model coordinates from the classified spectra, and the ratios and regimes that the model has there.

    kappa^2 is the mean PLS singular value over signal; nu the second-largest nuisance canonical correlation (the
    largest if there are fewer than three); gamma = max(signal variance - kappa^2, 0) and gamma_tilde = nuisance
    variance, each variance a mean over the modality's own components of that class.
    """
    kappa2 = float(pls.singular_values[pls.signal].mean()) if pls.signal.any() else 0.0
    nuisance = np.sort(ca.singular_values[~ca.signal])[::-1]
    nu = 0.0 if not len(nuisance) else float(nuisance[0] if len(nuisance) < 3 else nuisance[1])
    gamma_x, tilde_x = _variances(pca_x, kappa2)
    gamma_y, tilde_y = _variances(pca_y, kappa2)

    # Without signal the numerators are 0 whatever the variances.
    strength_x, strength_y = np.asarray(kappa2 + gamma_x), np.asarray(kappa2 + gamma_y)
    shared = np.asarray(kappa2)
    tau_forward = coupling_strength(shared, strength_x) if kappa2 > 0 else 0.0
    rho = tau_forward / np.sqrt(strength_y) if kappa2 > 0 else 0.0
    tau_reverse = coupling_strength(shared, strength_y) if kappa2 > 0 else 0.0
    ratios = CompositeRatios(
        ca=composite_ratio(float(rho), nu),
        cp_x_to_y=composite_ratio(float(tau_forward), nu * tilde_y**0.5),
        cp_y_to_x=composite_ratio(float(tau_reverse), nu * tilde_x**0.5),
    )
    return PhasePoint(
        kappa=kappa2**0.5,
        nu=nu,
        gamma_x=gamma_x,
        gamma_y=gamma_y,
        gamma_tilde_x=tilde_x,
        gamma_tilde_y=tilde_y,
        composite_ratios=ratios,
        composite_regimes=Regimes(
            x_to_y=regime_of(ratios.ca, ratios.cp_x_to_y), y_to_x=regime_of(ratios.ca, ratios.cp_y_to_x)
        ),
        variance_alignment=VarianceAlignment(x=variance_alignment(pca_x), y=variance_alignment(pca_y)),
    )


def variance_alignment(spectrum: Classified) -> float | None:
    """Q: squared singular values over signal, over those of as many leading components; None without signal."""
    squares = spectrum.singular_values**2
    count = int(spectrum.signal.sum())
    return float(squares[spectrum.signal].sum() / squares[:count].sum()) if count else None


def _variances(spectrum: Classified, kappa2: float) -> tuple[float, float]:
    """gamma (private signal variance) and gamma_tilde (nuisance variance) of one modality; 0 for an empty class."""
    variances = spectrum.singular_values**2
    signal = float(variances[spectrum.signal].mean()) if spectrum.signal.any() else 0.0
    nuisance = float(variances[~spectrum.signal].mean()) if not spectrum.signal.all() else 0.0
    return max(signal - kappa2, 0.0), nuisance
