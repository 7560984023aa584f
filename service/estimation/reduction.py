"""The second pass over the features: moment sums per block of rows in the reduced space, and what else needs rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.estimation.basis import Basis
from service.estimation.chunks import CHUNK_BYTES, kept_chunks
from service.estimation.column_correlations import HalfProducts, LabelProducts, standard_targets
from service.estimation.covariate_moments import CovariateMoments, CovariateSums
from service.estimation.labels import LabelColumn
from service.estimation.moments import Array, BlockMoments, BlockSums, Indices
from service.estimation.survey import ModalitySurvey, Survey

CROSS_LIMIT = 4_000_000  # products of a column of x with a column of y that are kept: twice 32 MB


@dataclass(frozen=True)
class Tails:
    """How far the reduced scores of one modality reach."""

    rows: Indices  # (r,), the row of largest square of each component
    shares: Array  # (r,), that square's share of the component's sum of squares
    kurtosis: float  # Mardia's, E[(z' S^-1 z)^2] / (r (r + 2)): 1 for a normal distribution


@dataclass(frozen=True)
class Reduction:
    """What the second pass found."""

    moments: BlockMoments
    labeled_x: Array  # (m, r_x), scores of the labeled rows, in the order given
    labeled_y: Array  # (m, r_y)
    tails_x: Tails
    tails_y: Tails
    column_correlations: Array | None  # (2, dx, dy), within the even and the odd blocks; None when too many
    label_correlations_x: Array | None  # (dx, L), over the labeled rows; None without targets
    label_correlations_y: Array | None  # (dy, L)
    covariates: CovariateMoments | None  # None without covariates


def reduce(
    x: NDArray[Any],
    y: NDArray[Any],
    survey: Survey,
    basis_x: Basis,
    basis_y: Basis,
    blocks: Indices,
    labeled: Indices,
    targets: Array | None = None,
    *,
    covariates: Sequence[LabelColumn] = (),
    chunk_bytes: int = CHUNK_BYTES,
) -> Reduction:
    """Read x (n, dx) and y (n, dy) once more, in chunks of rows; memory does not grow with n.

    Arguments: survey, basis_x, basis_y, of the same features; blocks (n,), from `assign_blocks`, -1 for a row that
    does not count; labeled (m,), the rows whose scores are wanted, all of which count; targets (m, L), what raw
    columns are to be correlated with, NaN where a row has none; covariates (n,) each, whose products with the scores
    are wanted.

    Raises: ValueError when a labeled row does not count.
    """
    collected = [_Collected(side, basis, len(labeled)) for side, basis in ((survey.x, basis_x), (survey.y, basis_y))]
    sums = BlockSums(int(blocks.max()) + 1, basis_x.n_components, basis_y.n_components)
    n_columns = (x.shape[1], y.shape[1])
    halves = HalfProducts(*n_columns) if n_columns[0] * n_columns[1] <= CROSS_LIMIT else None
    standard = None if targets is None else standard_targets(targets)
    of_labels = [] if standard is None else [LabelProducts(d, standard) for d in n_columns]
    beside = CovariateSums(covariates, basis_x.n_components + basis_y.n_components) if covariates else None
    order = np.argsort(labeled, kind="stable")
    in_order = labeled[order]
    n_found = 0
    for numbers, chunks in kept_chunks((x, y), survey.kept, chunk_bytes):
        for part, chunk in zip(collected, chunks, strict=True):
            part.standardize(chunk)
        scores = [part.scores(numbers, chunk) for part, chunk in zip(collected, chunks, strict=True)]
        sums.add(blocks[numbers], *scores)
        if beside is not None:
            beside.add(numbers, *scores)
        if halves is not None:
            halves.add(blocks[numbers] % 2, *chunks)
        here = slice(*np.searchsorted(in_order, [numbers[0], numbers[-1] + 1]))
        places = np.searchsorted(numbers, in_order[here])
        if not np.array_equal(numbers[places], in_order[here]):
            raise ValueError("a labeled row does not count")
        n_found += len(places)
        for part, score in zip(collected, scores, strict=True):
            part.labeled[order[here]] = score[places]
        for products, chunk in zip(of_labels, chunks, strict=False):
            products.add(chunk[places], order[here])
    if n_found != len(labeled):
        raise ValueError("a labeled row does not count")
    correlations: list[Array | None] = [None, None]
    if of_labels:
        correlations = [products.correlations() for products in of_labels]
    return Reduction(
        moments=sums.finish(),
        labeled_x=collected[0].labeled,
        labeled_y=collected[1].labeled,
        tails_x=collected[0].tails(),
        tails_y=collected[1].tails(),
        column_correlations=None if halves is None else halves.correlations(),
        label_correlations_x=correlations[0],
        label_correlations_y=correlations[1],
        covariates=None if beside is None else beside.finish(),
    )


class _Collected:
    """Scores of the labeled rows of one modality, and the extremes of the scores of all."""

    def __init__(self, side: ModalitySurvey, basis: Basis, n_labeled: int) -> None:
        self.side = side
        self.basis = basis
        self.constant = np.flatnonzero(side.deviations == 0)
        self.deviations = np.where(side.deviations > 0, side.deviations, 1.0)
        # From standardised columns to scores: columns that do not vary have a direction of 0.
        self.directions = basis.directions * (self.deviations / basis.scale)[:, None]
        self.labeled = np.empty((n_labeled, basis.n_components))
        self.rows = np.zeros(basis.n_components, dtype=np.int64)
        self.squares = np.zeros(basis.n_components)
        self.sum_of_squares = np.zeros(basis.n_components)
        self.n = 0
        self.fourth = 0.0

    def standardize(self, chunk: Array) -> None:
        """Centre a chunk and divide it by its columns' standard deviations, in place; 0 where a column is constant."""
        self.side.centred(chunk)
        chunk /= self.deviations
        chunk[:, self.constant] = 0.0

    def scores(self, numbers: Indices, chunk: Array) -> Array:
        """Reduced scores of standardised rows, whose extremes are remembered."""
        scores = chunk @ self.directions
        squares = scores**2
        self.fourth += float(((squares / self.basis.variances).sum(axis=1) ** 2).sum())
        self.sum_of_squares += squares.sum(axis=0)
        self.n += len(chunk)
        highest = squares.argmax(axis=0)
        values = squares[highest, np.arange(squares.shape[1])]
        higher = values > self.squares
        self.rows[higher] = numbers[highest[higher]]
        self.squares[higher] = values[higher]
        return np.asarray(scores)

    def tails(self) -> Tails:
        r = len(self.squares)
        return Tails(self.rows, self.squares / self.sum_of_squares, self.fourth / self.n / (r * (r + 2)))
