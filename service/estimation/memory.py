"""What an estimation needs of memory, said before it begins.

Sums of the arrays that are held at the same time at the worst moment of each stage, in double precision, with room for
what the libraries need beside them; `make bench-memory` holds it against what estimations take.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import linalg
from threadpoolctl import threadpool_limits

from service.estimation.basis import EXACT_LIMIT, MATRIX_BYTES, OVERSAMPLING
from service.estimation.chunks import CHUNK_BYTES
from service.estimation.options import Options
from service.estimation.preparation import BLOCKS, components_kept
from service.estimation.reduction import CROSS_LIMIT
from service.estimation.reference import PCA_COMPONENTS
from service.estimation.spiked_sample import CHUNK_ROWS
from service.estimation.survey import PRODUCTS_LIMIT
from service.estimation.terms import Method

NUMBER = 8  # bytes of a double precision number, and of an index
FIXED_BYTES = 24 * 1024**2  # what every estimation takes: small arrays, and the libraries' own
SOLUTION_MATRICES = 8  # of (dx + dy)^2 numbers, held at the same time where every objective is solved
WARM_UP_ORDER = 256  # of matrices that BLAS multiplies with all of its threads


@dataclass(frozen=True)
class Sizes:
    """What the need for memory hangs on."""

    n_pairs: int
    n_features_x: int
    n_features_y: int
    n_labeled: int
    n_targets: int
    """Numeric label columns, and classes of categorical ones."""
    n_covariates: int = 0
    n_covariate_targets: int = 0


def needed_bytes(sizes: Sizes, options: Options) -> int:
    """Bytes that an estimation of this size needs at the most, memory-mapped features not counted.

    Of the calibrated estimate, with r <= `components_kept` components of each modality, D of both together, m labeled
    rows and L targets: the largest of what the first pass and the bases, the second pass, and all that follows hold.
    Of the published procedure: the labeled rows, whole, with what their decomposition needs.
    """
    needed = _reference(sizes, options) if options.method == Method.REFERENCE else _calibrated(sizes, options)
    return FIXED_BYTES + NUMBER * int(needed)


def simulation_bytes(sizes: Sizes, options: Options | None) -> int:
    """Bytes that a simulation of this size needs at the most.

    The bases and the moments of both modalities with what their solution needs, and a chunk of pairs; with `options`,
    of the estimator that is asked, all pairs and what the estimation of them needs.  `sizes.n_targets` counts signals.
    """
    columns = sizes.n_features_x + sizes.n_features_y
    needed = SOLUTION_MATRICES * float(columns**2) + 6.0 * min(sizes.n_pairs, CHUNK_ROWS) * columns
    if options is None:
        return FIXED_BYTES + NUMBER * int(needed)
    return NUMBER * int(needed + sizes.n_pairs * (columns + sizes.n_targets)) + needed_bytes(sizes, options)


def take_what_stays() -> None:
    """Take now what BLAS and LAPACK take at their first call and keep: a limit that is set afterwards leaves it alone.

    When it is refused, OpenBLAS asks again without end.  In a process that was forked it gives back what its parent
    took as soon as somebody sets its number of threads, which the estimate does: hence twice.
    """
    matrix = np.eye(WARM_UP_ORDER) + 1.0
    with threadpool_limits(limits=1, user_api="blas"):
        linalg.eigh(matrix @ matrix)
    linalg.eigh(matrix @ matrix)


def _calibrated(sizes: Sizes, options: Options) -> float:
    n, m, targets = sizes.n_pairs, sizes.n_labeled, sizes.n_targets
    columns = (sizes.n_features_x, sizes.n_features_y)
    most = components_kept(options, n, columns)
    kept = [min(most, d, n) for d in columns]
    width = sum(kept)
    chunk = _chunk(n, sum(columns))
    products = sum(d**2 for d in columns if d <= min(n, PRODUCTS_LIMIT))
    rows = (14.0 + 6.0 * sizes.n_covariates) * n  # hashes, blocks, what finds repeats among them; covariates, encoded
    one_hot = 2.0 * _chunk(n, sizes.n_covariate_targets, chunk / max(sum(columns), 1))
    directions = sum(3.0 * d * r for d, r in zip(columns, kept, strict=True))
    labels = 8.0 * m * targets

    first_pass = products + max(4.0 * chunk, max(_basis(n, d, most) for d in columns))
    cross = columns[0] * columns[1]
    halves = 8.0 * cross if cross <= CROSS_LIMIT else 0.0
    of_labels = 6.0 * sum(columns) * targets
    blocks = BLOCKS * float(width**2)
    second_pass = (
        products + 5.0 * chunk + one_hot + 4.0 * _chunk(n, width, chunk / max(sum(columns), 1)) + halves + blocks
    )
    scores = float(m * width)
    afterwards = products + halves / 4 + 7.0 * blocks + 7.5 * scores + 40.0 * width**2
    return rows + directions + of_labels + labels + max(first_pass, second_pass + scores, afterwards)


def _basis(n: int, d: int, most: int) -> float:
    """Numbers that finding the principal components of a modality with d columns holds."""
    kept = min(most, d, n)
    if d <= min(n, PRODUCTS_LIMIT):
        return 4.0 * d**2 + 3.0 * d * kept
    if NUMBER * n * d <= MATRIX_BYTES and min(n, d) <= EXACT_LIMIT:
        return n * d + 2.0 * _chunk(n, d) + 4.0 * min(n, d) ** 2 + 4.0 * d * kept
    return 5.0 * d * min(most + OVERSAMPLING, d, n) + 3.0 * _chunk(n, d)


def _reference(sizes: Sizes, options: Options) -> float:
    n, m = sizes.n_pairs, sizes.n_labeled
    columns = (sizes.n_features_x, sizes.n_features_y)
    pca = PCA_COMPONENTS if options.pca_components is None else options.pca_components
    kept = [min(pca, d, max(m - 1, 1)) for d in columns]
    checked = max(2.0 * _chunk(n, d) for d in columns)
    labeled = float(m * sum(columns))
    decomposed = max(3.0 * m * d + 3.0 * min(m, d) * max(m, d) + 5.0 * min(m, d) ** 2 for d in columns)
    scores = 14.0 * m * sum(kept) + 8.0 * m * sizes.n_targets
    return 10.0 * n + max(checked, labeled + decomposed + scores)


def _chunk(n: int, n_columns: int, n_rows: float | None = None) -> float:
    """Numbers in a chunk of rows with so many columns."""
    at_once = max(CHUNK_BYTES / NUMBER / max(n_columns, 1), 1.0) if n_rows is None else n_rows
    return min(float(n), at_once) * n_columns
