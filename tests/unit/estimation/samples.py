"""Paired data for the tests: a shared signal of three dimensions, private noise, labels that depend on the signal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from service.estimation.labels import LabelColumn, Targets, label_columns
from service.estimation.options import Options
from service.estimation.reference import ReferenceEstimate, reference
from service.estimation.stages import Stages, silent
from service.estimation.terms import Method

PUBLISHED = Options(method=Method.REFERENCE)


class Sample(NamedTuple):
    x: np.ndarray
    y: np.ndarray
    labels: np.ndarray

    @property
    def columns(self) -> tuple[LabelColumn, ...]:
        return label_columns(self.labels)


def paired(seed: int = 0, n: int = 90, dx: int = 7, dy: int = 5, n_labels: int = 2, noise: float = 0.5) -> Sample:
    rng = np.random.default_rng(seed)
    signal = rng.standard_normal((n, 3))
    x = signal @ rng.standard_normal((3, dx)) + noise * rng.standard_normal((n, dx))
    y = signal @ rng.standard_normal((3, dy)) + noise * rng.standard_normal((n, dy))
    labels = signal @ rng.standard_normal((3, n_labels)) + 0.3 * rng.standard_normal((n, n_labels))
    return Sample(x, y, labels)


@dataclass(frozen=True)
class Spiked:
    """A population of the spiked model with uniform parameters, whose ratios follow in closed form."""

    kappa2: float = 2.0  # variance of the shared signal
    gamma: float = 0.5  # private variance in the signal coordinates, of x and of y
    tilde_x: float = 1.0  # variance of the nuisance coordinates
    tilde_y: float = 1.0
    nu: float = 0.2  # correlation of the nuisance
    n_signals: int = 2

    @property
    def ratios(self) -> dict[str, float]:
        """rho / nu, tau / xi of either direction."""
        strength = self.kappa2 + self.gamma
        tau = self.kappa2 / np.sqrt(strength)
        return {
            "ca": self.kappa2 / strength / self.nu,
            "cp_x_to_y": tau / (self.nu * np.sqrt(self.tilde_y)),
            "cp_y_to_x": tau / (self.nu * np.sqrt(self.tilde_x)),
        }

    def sample(self, seed: int = 0, n: int = 500, dx: int = 8, dy: int = 6, noise: float = 0.5) -> Sample:
        """x (n, dx), y (n, dy) in hidden bases, and two noisy labels of every signal coordinate (n, 2 n_signals)."""
        rng = np.random.default_rng(seed)
        k, paired_nuisance = self.n_signals, min(dx, dy) - self.n_signals
        signal = rng.standard_normal((n, k))
        left, right = rng.standard_normal((n, dx - k)), rng.standard_normal((n, dy - k))
        shared = self.nu * left[:, :paired_nuisance]
        right[:, :paired_nuisance] = shared + np.sqrt(1 - self.nu**2) * right[:, :paired_nuisance]
        sides = []
        for nuisance, variance in ((left, self.tilde_x), (right, self.tilde_y)):
            private = np.sqrt(self.gamma) * rng.standard_normal((n, k))
            plain = np.hstack([np.sqrt(self.kappa2) * signal + private, np.sqrt(variance) * nuisance])
            sides.append(plain @ np.linalg.qr(rng.standard_normal((plain.shape[1], plain.shape[1])))[0])
        labels = np.hstack([signal, signal]) + noise * rng.standard_normal((n, 2 * k))
        return Sample(*sides, labels)


# One clear-cut population for each regime, in both directions, and one whose ways differ.
CLEAR = {
    "both": Spiked(),
    "ca_only": Spiked(nu=0.3, tilde_x=64.0, tilde_y=64.0),
    "cp_only": Spiked(kappa2=0.5, nu=0.9, tilde_x=0.04, tilde_y=0.04),
    "neither": Spiked(kappa2=0.5, nu=0.9, tilde_x=4.0, tilde_y=4.0),
    "one way": Spiked(nu=0.3, tilde_x=64.0, tilde_y=1.0),
}


def procedure(x: np.ndarray, y: np.ndarray, labels: np.ndarray, **options: Any) -> ReferenceEstimate:
    targets = Targets(labels, tuple(f"label_{place}" for place in range(labels.shape[1])))
    sizes = {"n_components": 50, "pca_components": 100} | options
    return reference(x, y, targets, **sizes, stages=Stages(silent))
