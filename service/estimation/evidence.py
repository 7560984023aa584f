"""Two tests that stand before every claim of shared signal: that x and y are coupled, and that labels go with it.

Shared signal is claimed where both hold; by the intersection-union principle the claim is as rarely wrong as either
test (Berger 1982).  Both are exact or nearly so whatever the numbers of rows and features and however heavy the tails,
because their null distributions come from rearranging the data.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from service.estimation.moments import Array
from service.estimation.report_warning import ReportWarning
from service.estimation.resampling import Energies, association_energies, combined_p, sign_patterns, step_down, tail

LEVEL = 0.05  # p-value up to which a test speaks for a claim
COUPLING_RESAMPLES = 199
LABEL_RESAMPLES = 399
HELD_OUT_FOLDS = 5
LEADING_COMPONENTS = 128  # principal components in the search for single directions; it costs their cube
PATTERNS_AT_ONCE = 25  # sums of signed blocks held at a time
ROUNDING = 1e-8  # ridge, as a share of each variance, that only keeps a singular covariance factorable
CANCELLATION = 1e-12  # share of a coordinate's mean square below which its variance is rounding
HALF_WEIGHT = 0.1  # held-out correlation at which a coupled component has half the weight of a sure one
LEAST_WEIGHT = 0.01  # share of the largest weight below which a component is left out


@dataclass(frozen=True)
class CouplingEvidence:
    """Whether x and y are coupled: `p_value` of the pairing being no better than shuffled rows.

    `held_out_correlation`: canonical correlation, on blocks left out of its fit, of the direction that is best on the
    others; about 0 without coupling.  `n_blocks`: blocks whose signs were flipped.
    """

    p_value: float
    held_out_correlation: float
    n_blocks: int


@dataclass(frozen=True)
class CoupledComponents:
    """Canonical directions x (rx, k) and y (ry, k) with their correlations (k,), estimated on held-out pairs."""

    x: Array
    y: Array
    correlations: Array


@dataclass(frozen=True)
class LabelEvidence:
    """Whether labels go with the coupled components of x (`p_x`), of y (`p_y`), and of both (`p_value`, the larger).

    `n_units`: rows, or groups of rows, that were rearranged; with fewer than 6 no p-value can reach 0.05.
    """

    p_x: float
    p_y: float
    p_value: float
    n_units: int


def coupling_evidence(
    counts: Array,
    first: Array,
    second: Array,
    n_x: int,
    *,
    grouped: bool,
    seed: int = 0,
    resamples: int = COUPLING_RESAMPLES,
) -> CouplingEvidence:
    """Test that the pairing of x and y is better than a shuffle of rows, from moments of blocks of rows.

    Without coupling the sign of a block's cross-covariance is arbitrary, so the signs of all B of them are flipped at
    random.  Statistics are sums of squared and of 16th powers of singular values of their sum (the whole and the
    strongest) after full whitening and after a ridge of the mean variance (weak directions and strong ones); the four
    are combined under the same flips.

    Arguments:
        counts (B,): rows of each block.  Blocks hold rows at random; groups of rows are never split.
        first (B, D), second (B, D, D): sums and sums of products of z = [x, y] in principal coordinates, about centred.
        n_x: how many of the D coordinates are x's; they come first, each modality's in order of falling variance.
        grouped: whether rows belong together in groups.  Blocks are then taken about their own means, which costs them
            a row each: the common mean ties blocks of groups together by an unknown amount.
        seed: of the flips.

    Returns: the evidence.  p is at least 1 / (1 + resamples); with fewer than 6 blocks it cannot reach 0.05.
    """
    counts, first, second = counts[counts > 0], first[counts > 0], second[counts > 0]
    means = first / counts[:, None] if grouped else np.broadcast_to(first.sum(axis=0) / counts.sum(), first.shape)
    scatters = (
        second - first[:, :, None] * means[:, None, :] - means[:, :, None] * (first - counts[:, None] * means)[:, None]
    )
    varying = np.flatnonzero(np.einsum("bdd->d", scatters) > CANCELLATION * np.einsum("bdd->d", second))
    x, y = varying[varying < n_x], varying[varying >= n_x]
    if not (len(x) and len(y)):
        return CouplingEvidence(1.0, 0.0, len(counts))

    patterns = sign_patterns(len(counts), resamples, np.random.default_rng(seed))
    patterns[1:] *= 1.0 if grouped else _flip_scale(counts)
    cross = scatters[:, x[:, None], y]
    sides = scatters[:, x[:, None], x], scatters[:, y[:, None], y]
    statistics, correlations = [], []
    for ridge in (_rounding_ridge, _mean_ridge):
        totals = [side.sum(axis=0) for side in sides]
        roots = [linalg.cholesky(total + ridge(total), lower=True, check_finite=False) for total in totals]
        whitened = _whitened(cross, *roots)
        statistics += [_whole(whitened, patterns), _strongest(whitened, patterns)]
        correlations.append(_held_out_correlation(whitened, sides, roots))
    return CouplingEvidence(combined_p(np.stack(statistics, axis=1)), max(correlations), len(counts))


def pairing_not_better_than_shuffled(evidence: CouplingEvidence, level: float = LEVEL) -> Iterator[ReportWarning]:
    """The pairs give no sign that x and y are coupled at all: the p-value exceeds `level`."""
    if evidence.p_value > level:
        yield ReportWarning(
            "pairing_not_better_than_shuffled",
            f"The pairing of x and y is no better than shuffled rows (p = {evidence.p_value:.2g}; the best direction "
            f"correlates at {evidence.held_out_correlation:.2f} on pairs left out): no shared signal can be claimed. "
            "Check that row i of x and row i of y are the same sample; if they are, send more pairs.",
        )


def label_evidence(
    labeled_x: Array,
    labeled_y: Array,
    targets: Array,
    coupled: CoupledComponents,
    groups: NDArray[Any] | None = None,
    *,
    seed: int = 0,
    resamples: int = LABEL_RESAMPLES,
) -> LabelEvidence:
    """Test that labels are associated with the coupled components of x, and with those of y.

    Whole rows of labels are permuted; with groups, what each group contributes to the products of scores and labels is
    flipped in sign instead.  With e_il the squared correlation of component i's score with label target l and w_i the
    weight of component i, r_i^2 / (r_i^2 + HALF_WEIGHT^2) of its held-out correlation r_i, the statistics are
    sum w_i e_il (many components, many labels), sum_i (w_i sum_l e_il)^2 (some components), max_l sum_i w_i e_il (one
    label) and max w_i e_il (one of both); the four are combined under the same rearrangements.

    Arguments:
        labeled_x (m, rx), labeled_y (m, ry): reduced scores of the labeled rows.
        targets (m, L): label targets, NaN where a row has no label; which labels are missing counts as part of them.
        coupled: canonical directions in the same coordinates.  With no correlation above 0 all count alike.
        groups (m,): ids of rows that belong together; None where every row is its own.
        seed: of the rearrangements.

    Returns: the evidence.  p is at least 1 / (1 + resamples).
    """
    weights = _coupling_weights(coupled.correlations)
    kept = weights >= LEAST_WEIGHT * weights.max()
    weights = weights[kept]
    scores = np.hstack([labeled_x @ coupled.x[:, kept], labeled_y @ coupled.y[:, kept]])
    of_sides = linalg.block_diag(weights[:, None], weights[:, None])
    energies = association_energies(scores, targets, groups, of_sides, resamples, np.random.default_rng(seed))
    p_x, p_y = (combined_p(_label_statistics(energies, side, of_sides[:, side])) for side in range(2))
    return LabelEvidence(p_x, p_y, max(p_x, p_y), energies.n_units)


def component_p_values(
    scores: Array,
    targets: Array,
    groups: NDArray[Any] | None = None,
    *,
    seed: int = 0,
    resamples: int = LABEL_RESAMPLES,
) -> Array:
    """p-value of every component's association with the labels, valid over all components at once (step-down max-T).

    A component's statistic is the rarer of two: its summed and its largest squared correlation with the label targets,
    either as rare as it is among all components and rearrangements together.

    Arguments: scores (m, c) of a spectrum's components at the labeled rows; the others as for `label_evidence`.
    Returns (c,).
    """
    unweighted = np.zeros((scores.shape[1], 0))
    energies = association_energies(scores, targets, groups, unweighted, resamples, np.random.default_rng(seed))
    return step_down(-np.log(np.minimum(tail(energies.total), tail(energies.largest))))


def _flip_scale(counts: Array) -> float:
    """Factor on flipped blocks that makes their sum vary as much as the observed one does.

    Of n rows about their common mean, the sum of products of independent x and y has n - 1 times the variance of one
    product, and the blocks' sums have n - 2 + sum n_b^2 / n^2 times it between them: the mean ties them together.
    """
    n = counts.sum()
    return float(np.sqrt((n - 1) / (n - 2 + (counts**2).sum() / n**2)))


def _rounding_ridge(scatter: Array) -> Array:
    return np.diag(ROUNDING * np.diag(scatter))


def _mean_ridge(scatter: Array) -> Array:
    return np.diag(np.full(len(scatter), np.diag(scatter).mean()))


def _whitened(cross: Array, root_x: Array, root_y: Array) -> Array:
    """root_x^{-1} cross root_y^{-T} for every one of `cross` (B, rx, ry).  Leading coordinates stay leading."""
    inverse_x, inverse_y = (
        linalg.solve_triangular(root, np.eye(len(root)), lower=True, check_finite=False) for root in (root_x, root_y)
    )
    whitened: Array = inverse_x @ cross @ inverse_y.T
    return whitened


def _whole(blocks: Array, patterns: Array) -> Array:
    """Sum of squared singular values of the sum of `blocks` under every pattern of signs."""
    flat = blocks.reshape(len(blocks), -1)
    products = flat @ flat.T
    sums: Array = ((patterns @ products) * patterns).sum(axis=1)
    return sums


def _strongest(blocks: Array, patterns: Array) -> Array:
    """Sum of 16th powers of singular values, which the largest dominates, under every pattern of signs."""
    leading = blocks[:, :LEADING_COMPONENTS, :LEADING_COMPONENTS]
    if leading.shape[1] > leading.shape[2]:
        leading = leading.transpose(0, 2, 1)
    flat = leading.reshape(len(blocks), -1)
    powers = []
    for start in range(0, len(patterns), PATTERNS_AT_ONCE):
        for matrix in (patterns[start : start + PATTERNS_AT_ONCE] @ flat).reshape(-1, *leading.shape[1:]):
            square = matrix @ matrix.T
            fourth = square @ square
            eighth = fourth @ fourth
            powers.append(np.vdot(eighth, eighth))
    return np.asarray(powers, dtype=np.float64)


def _held_out_correlation(whitened: Array, sides: tuple[Array, Array], roots: list[Array]) -> float:
    """Correlation, on blocks left out, of the pair of directions that covaries most on the others; 0 if none varies.

    Arguments: whitened cross-products (B, rx, ry) and products of x and of y, by block; Cholesky roots of the latter.
    """
    n_blocks = len(whitened)
    total = whitened.sum(axis=0)
    covariance, variances = 0.0, np.zeros(2)
    for fold in np.array_split(np.arange(n_blocks), min(HELD_OUT_FOLDS, n_blocks)):
        held_out = whitened[fold].sum(axis=0)
        pair = _leading_pair(total - held_out)
        covariance += float(pair[0] @ held_out @ pair[1])
        for side, (vector, products, root) in enumerate(zip(pair, sides, roots, strict=True)):
            direction = linalg.solve_triangular(root, vector, lower=True, trans="T", check_finite=False)
            variances[side] += direction @ products[fold].sum(axis=0) @ direction
    scale = float(np.sqrt(variances.prod()))
    return covariance / scale if scale > 0 else 0.0


def _leading_pair(matrix: Array) -> tuple[Array, Array]:
    """Leading singular vectors; the second is 0 if the matrix is."""
    last = len(matrix) - 1
    _, vectors = linalg.eigh(matrix @ matrix.T, subset_by_index=[last, last], check_finite=False)
    left: Array = vectors[:, 0]
    right = matrix.T @ left
    size = float(np.linalg.norm(right))
    return left, right / size if size > 0 else right


def _coupling_weights(correlations: Array) -> Array:
    """How surely a component is coupled, 0 to 1; all alike when none has a correlation above 0."""
    squares = np.maximum(correlations, 0.0) ** 2
    weights: Array = squares / (squares + HALF_WEIGHT**2) if squares.any() else np.ones(len(squares))
    return weights


def _label_statistics(energies: Energies, side: int, weights: Array) -> Array:
    """The four statistics of `label_evidence` under every rearrangement: (1 + resamples, 4)."""
    total = energies.total * weights
    return np.stack(
        [
            total.sum(axis=1),
            (total**2).sum(axis=1),
            energies.best_target[:, side],
            (energies.largest * weights).max(axis=1),
        ],
        axis=1,
    )
