"""What labels owe to everything beside the shared signal: a background of small effects of every direction.

Labels of real data depend a little on directions that the modalities do not share, and a straight line through a
curved dependence leaves the rest to others.  The regression (eq. 4) therefore has a further term,

    t_q = ... + W b_q + noise,   b_q ~ N(0, sigma_q^2 lambda I)

with W = [x Sxx^{-1/2}, y Syy^{-1/2}] the whitened features of the labeled rows.  Integrated out, it turns the noise's
covariance into sigma_q^2 G with G = I + lambda W W^T, that is every product a^T b into a^T G^{-1} b, for which by
Woodbury's identity products of W are enough.  Signal has to stand out from the background, whose strength the labels
tell.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import linalg

from service.estimation.moments import Array
from service.estimation.posterior.moments import LabelMoments, PairMoments, block_diagonal, inverse_root

STRENGTHS = np.array([0.0, 0.001, 0.003, 0.01, 0.03])  # lambda; about the R^2 of a single direction
LOG_PRIOR = np.log(np.array([0.6, 0.1, 0.1, 0.1, 0.1]))


def with_backgrounds(labels: Sequence[LabelMoments], pairs: PairMoments) -> list[list[LabelMoments]]:
    """The label sets under every one of STRENGTHS."""
    if pairs.whitened:
        white = np.eye(sum(pairs.sxy.shape))
    else:
        white = block_diagonal(inverse_root(pairs.sxx)[0], inverse_root(pairs.syy)[0])
    return [[_with_background(part, white, float(strength)) for part in labels] for strength in STRENGTHS]


def _with_background(part: LabelMoments, white: Array, strength: float) -> LabelMoments:
    if strength == 0:
        return part
    through = white.T @ part.products
    inner = np.eye(len(white)) + strength * (through @ white)
    factor = linalg.cholesky(inner, lower=True)
    towards = linalg.solve_triangular(factor, np.hstack([through, white.T @ part.cross]), lower=True)
    of_features, of_targets = towards[:, : len(white)], towards[:, len(white) :]
    return LabelMoments(
        part.m,
        part.products - strength * of_features.T @ of_features,
        part.cross - strength * of_features.T @ of_targets,
        part.tt - strength * (of_targets**2).sum(axis=0),
        log_determinant=2 * float(np.log(factor.diagonal()).sum()),
    )
