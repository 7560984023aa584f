"""Principal components of a surveyed modality: the basis in which everything after the first pass is computed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from service.estimation.chunks import CHUNK_BYTES, kept_chunks
from service.estimation.coupling import fix_signs
from service.estimation.errors import ConstantModality, NumericalFailure
from service.estimation.moments import Array, Indices
from service.estimation.survey import ModalitySurvey
from service.estimation.terms import Scaling

VARIANCE_TOLERANCE = 1e-12  # of the largest: below it, a principal variance is rounding of the sums it is made from
MATRIX_BYTES = 512 * 1024**2  # of a modality that may be held in memory whole
EXACT_LIMIT = 4096  # order of the largest matrix whose eigenvectors are computed exactly
POWER_PASSES = 2  # readings that sharpen the randomized range
OVERSAMPLING = 20  # directions of the randomized range beyond those asked for
SMALLEST_VARIANCE = 1e-280  # of a modality: that of its least component then stays above the least double, 2e-308


@dataclass(frozen=True)
class Basis:
    """Leading principal components: z = ((x - centre) / scale) @ directions."""

    centre: Array  # (d,)
    scale: Array  # (d,), 1 without scaling
    directions: Array  # (d, r), orthonormal columns; 0 for a column that does not vary
    variances: Array  # (r,), over n, descending
    total_variance: float  # of all columns, after scaling
    rank: int  # components whose variance exceeds VARIANCE_TOLERANCE times the largest, kept or not
    exact: bool  # False for a randomized basis, whose rank counts only what was looked for

    @property
    def n_components(self) -> int:
        """Components kept."""
        return len(self.variances)

    def scores(self, rows: Array) -> Array:
        """Coordinates (m, r) of rows (m, d) of the modality, a missing value read as its column's mean."""
        scaled = (rows - self.centre) / self.scale
        np.copyto(scaled, 0.0, where=np.isnan(scaled))
        return np.asarray(scaled @ self.directions)


@dataclass(frozen=True)
class _Spectrum:
    variances: Array
    directions: Array  # over the columns that vary
    rank: int
    exact: bool


def principal_basis(
    side: ModalitySurvey,
    values: NDArray[Any],
    n_components: int,
    variance: float | None = None,
    *,
    scaling: Scaling | str = Scaling.NONE,
    seed: int = 0,
    chunk_bytes: int = CHUNK_BYTES,
) -> Basis:
    """The leading principal components of a modality, by the least costly way that its size allows.

    1. With sums of products from the survey: eigenvectors of the covariance.  Nothing is read.
    2. Fewer pairs than columns, at most EXACT_LIMIT of either, and the matrix within MATRIX_BYTES: eigenvectors of
       the pairs' inner products.  The features are read once, into memory.
    3. Else a randomized range of n_components + OVERSAMPLING directions, seeded, sharpened by POWER_PASSES readings,
       and principal components within it (Halko, Martinsson, Tropp 2011, algorithms 4.4 and 5.3).  It costs
       POWER_PASSES + 2 readings, memory of (d, n_components + OVERSAMPLING), and is accurate for components that
       stand out from those left out.

    Arguments: values (n, d), as surveyed; n_components, the most that are kept; variance, a share of the total
    variance in (0, 1] after which no more are kept; scaling, `standardize` to divide each column by its standard
    deviation.  Columns that do not vary take no part.  The sign of a component is fixed by `fix_signs`.

    Returns: the basis.  Up to rounding, directions do not depend on offset or unit of the modality.

    Raises: ConstantModality when the variance is no double precision number; NumericalFailure; ValueError for another
    `scaling`.
    """
    columns = side.varying
    scale = np.ones(len(side.means))
    if Scaling(scaling) is Scaling.STANDARDIZE:
        scale[columns] = side.deviations[columns]
    spread = side.deviations[columns] / scale[columns]
    common = float(spread.max())
    if common**2 < SMALLEST_VARIANCE:
        raise ConstantModality(
            f"{side.part} varies by {common:.2g}, whose square leaves double precision. "
            f"Multiply {side.part} by a constant, or set the option `scaling` to standardize.",
            part=side.part,
        )
    reading = _Reading(side, values, columns, scale[columns] * common, chunk_bytes)
    try:
        if side.products is not None:
            found = _from_products(side, columns, scale[columns] * common, n_components, variance)
        elif reading.fits:
            found = _from_matrix(reading, n_components, variance)
        else:
            found = _from_random_range(reading, n_components, variance, float(((spread / common) ** 2).sum()), seed)
    except np.linalg.LinAlgError as error:
        raise NumericalFailure(
            f"The principal components of {side.part} did not converge. Set the option `scaling` to standardize, "
            "or leave out columns of very different scale."
        ) from error
    directions = np.zeros((len(side.means), len(found.variances)))
    directions[columns] = fix_signs(found.directions)
    return Basis(
        centre=side.means,
        scale=scale,
        directions=directions,
        variances=found.variances * common**2,
        total_variance=float((spread**2).sum()),
        rank=found.rank,
        exact=found.exact,
    )


@dataclass(frozen=True)
class _Reading:
    """The varying columns of a modality, centred and divided by `scale`, chunk by chunk."""

    side: ModalitySurvey
    values: NDArray[Any]
    columns: Indices
    scale: Array
    chunk_bytes: int

    @property
    def fits(self) -> bool:
        """Whether the matrix may be held in memory and has a side short enough for exact eigenvectors."""
        n, d = self.side.n_pairs, len(self.columns)
        return 8 * n * d <= MATRIX_BYTES and min(n, d) <= EXACT_LIMIT

    def chunks(self) -> Iterator[Array]:
        """The rows that count, in order."""
        for _, (chunk,) in kept_chunks((self.values,), self.side.kept, self.chunk_bytes):
            yield self.side.centred(chunk)[:, self.columns] / self.scale

    def matrix(self) -> Array:
        """All of them, their columns' means exactly removed."""
        whole = np.empty((self.side.n_pairs, len(self.columns)))
        filled = 0
        for chunk in self.chunks():
            whole[filled : filled + len(chunk)] = chunk
            filled += len(chunk)
        whole -= whole.mean(axis=0)
        return whole

    def covariance_times(self, directions: Array) -> Array:
        """Covariance (d, d) times `directions` (d, k), by one reading."""
        product = np.zeros_like(directions)
        for chunk in self.chunks():
            product += chunk.T @ (chunk @ directions)
        return product / self.side.n_pairs


def _from_products(
    side: ModalitySurvey, columns: Indices, scale: Array, n_components: int, variance: float | None
) -> _Spectrum:
    assert side.products is not None  # noqa: S101  # nosec B101
    factors = side.units[columns] / scale
    covariance = side.products[np.ix_(columns, columns)]
    covariance *= factors
    covariance *= factors[:, None] / side.n_pairs
    return _Spectrum(*_leading(covariance, n_components, variance), exact=True)


def _leading(symmetric: Array, n_components: int, variance: float | None) -> tuple[Array, Array, int]:
    """Largest eigenvalues (r,) of a positive semi-definite matrix, their vectors, and its rank."""
    every = linalg.eigvalsh(symmetric, check_finite=False)[::-1]
    rank, kept = _kept(every, float(np.trace(symmetric)), n_components, variance)
    order = len(symmetric)
    values, vectors = linalg.eigh(symmetric, subset_by_index=[order - kept, order - 1], check_finite=False)
    return values[::-1], vectors[:, ::-1], rank


def _kept(variances: Array, total: float, n_components: int, variance: float | None) -> tuple[int, int]:
    """Rank, and how many components are kept, of descending variances."""
    rank = int((variances > VARIANCE_TOLERANCE * variances[0]).sum())
    kept = min(n_components, rank)
    if variance is not None:
        # The comparison forgives rounding, so that a share of 1 asks for the rank and no more.
        enough = np.cumsum(variances) >= variance * total * (1 - VARIANCE_TOLERANCE)
        kept = min(kept, int(np.argmax(enough)) + 1 if enough.any() else rank)
    return rank, kept


def _from_matrix(reading: _Reading, n_components: int, variance: float | None) -> _Spectrum:
    matrix = reading.matrix()
    n, d = matrix.shape
    if n > d:
        return _Spectrum(*_leading(matrix.T @ matrix / n, n_components, variance), exact=True)
    values, vectors, rank = _leading(matrix @ matrix.T / n, n_components, variance)
    # Directions of small variance inherit rounding from large ones; QR, largest first, takes it out.
    directions, _ = linalg.qr(matrix.T @ vectors, mode="economic", check_finite=False)
    return _Spectrum(values, directions, rank, exact=True)


def _from_random_range(
    reading: _Reading, n_components: int, variance: float | None, total: float, seed: int
) -> _Spectrum:
    d = len(reading.columns)
    width = min(n_components + OVERSAMPLING, d, reading.side.n_pairs)
    directions = np.random.default_rng(seed).standard_normal((d, width))
    for _ in range(1 + POWER_PASSES):
        directions, _ = linalg.qr(reading.covariance_times(directions), mode="economic", check_finite=False)
    within = directions.T @ reading.covariance_times(directions)
    values, vectors = linalg.eigh((within + within.T) / 2, check_finite=False)
    values, vectors = values[::-1], vectors[:, ::-1]
    rank, kept = _kept(values, total, n_components, variance)
    return _Spectrum(values[:kept], directions @ vectors[:, :kept], rank, exact=False)
