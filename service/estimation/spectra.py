"""Spectra of the pooled covariance: the sample components of every objective, in principal coordinates.

Eigenvalues of Sxx, Syy below a relative tolerance are not inverted; no ridge is added, so that nothing depends on a
modality's unit (the published procedure's ridge does).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import linalg

from service.estimation.coupling import singular_triplets
from service.estimation.moments import Array
from service.estimation.posterior.draws import SampleComponents
from service.estimation.posterior.moments import inverse_root

NAMES = ("ca", "cp_x_to_y", "cp_y_to_x", "pls", "pca_x", "pca_y")


@dataclass(frozen=True)
class SampleSpectra:
    """The six spectra, by name, in the order of NAMES."""

    components: dict[str, SampleComponents]

    def scores(self, name: str, x: Array, y: Array) -> Array:
        """Scores (p, m, c) of rows x (m, rx), y (m, ry): one predictor a component, or x's and y's."""
        found = self.components[name]
        parts = [(found.by != "y", x, found.x), (found.by != "x", y, found.y)]
        return np.stack([rows @ along for counts, rows, along in parts if counts])


def sample_spectra(covariance: Array, n_x: int, count: int) -> SampleSpectra:
    """The `count` leading components of every spectrum of a pooled covariance (rx + ry, rx + ry), x's n_x first.

    Values are canonical correlations (at most 1) for ca; singular values of Syx Sxx^{-1/2} and Sxy Syy^{-1/2}, in the
    target's unit, for cp; of Sxy for pls; standard deviations for pca.  value_i = x_i^T Sxy y_i for the first four.
    """
    sxx, sxy, syy = covariance[:n_x, :n_x], covariance[:n_x, n_x:], covariance[n_x:, n_x:]
    white_x, _ = inverse_root(sxx)
    white_y, _ = inverse_root(syy)
    found = {}
    left, values, right = singular_triplets(white_x @ sxy @ white_y, count)
    found["ca"] = SampleComponents(white_x @ left, white_y @ right, np.minimum(values, 1.0), "both")
    left, values, right = singular_triplets(white_x @ sxy, count)
    found["cp_x_to_y"] = SampleComponents(white_x @ left, right, values, "x")
    left, values, right = singular_triplets(sxy @ white_y, count)
    found["cp_y_to_x"] = SampleComponents(left, white_y @ right, values, "y")
    left, values, right = singular_triplets(sxy, count)
    found["pls"] = SampleComponents(left, right, values, "both")
    found["pca_x"] = _principal(sxx, count, len(syy), "x")
    found["pca_y"] = _principal(syy, count, len(sxx), "y")
    return SampleSpectra(found)


def _principal(covariance: Array, count: int, others: int, side: str) -> SampleComponents:
    values, vectors = linalg.eigh(covariance)
    kept = min(count, len(values))
    along = vectors[:, ::-1][:, :kept]
    deviations = np.sqrt(np.maximum(values[::-1][:kept], 0.0))
    nothing = np.zeros((others, kept))
    if side == "x":
        return SampleComponents(along, nothing, deviations, side)
    return SampleComponents(nothing, along, deviations, side)
