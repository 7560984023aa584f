"""Null distributions by rearranging rows: permutations of exchangeable rows, sign flips of groups, and p-values.

Every set of statistics here has the observed one in row 0 and one row more for each rearrangement; a p-value is the
share of rows that reach the observed one, which is valid at any number of rearrangements (Phipson, Smyth 2010).
Statistics are not negative, and the larger the stronger.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from service.estimation.moments import Array, Indices

TIE = 1e-9  # relative difference below which two statistics are the same but for rounding
CONSTANT = 1e-12  # a column whose deviations are below this share of its largest value does not vary
CYCLE = 400  # shortest cycle of shifts, in rows, once there are that many rows
MAX_UNITS = 512  # groups are flipped in at most so many units; more would cost memory and change nothing
CHUNK_VALUES = 2**17  # products of components and label targets held at a time: they stay in a processor's cache


@dataclass(frozen=True)
class Energies:
    """Squared association of components with label targets, rearrangement by rearrangement.

    `total` and `largest` (1 + resamples, c): sum and maximum over the label targets, the observed ones in row 0.
    `best_target` (1 + resamples, k): maximum over the label targets of each weighted sum over components.
    `n_units`: rows or groups that were rearranged.
    """

    total: Array
    largest: Array
    best_target: Array
    n_units: int


def association_energies(
    scores: Array,
    targets: Array,
    groups: NDArray[Any] | None,
    weights: Array,
    resamples: int,
    rng: np.random.Generator,
) -> Energies:
    """Energies of every component under at least `resamples` rearrangements of the labels (fewer if no more differ).

    Arguments: scores (m, c); targets (m, L), NaN where a label is missing; groups (m,), rows that belong together;
    weights (c, k) of k sums over components.
    Neither offset nor unit nor sign of a column, nor the order of rows, has an effect beyond rounding.
    """
    if groups is None or len(np.unique(groups)) == len(groups):
        alike = np.ones(len(scores))
        u, z = standardised(scores, alike), standardised(targets, alike)
        return _permuted_energies(u, z, weights, resamples, rng)
    _, members, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    # A group counts as the square root of its size: nearly the best weight both for rows that repeat each other and
    # for rows that do not.
    shares = 1 / np.sqrt(sizes[members])
    u, z = standardised(scores, shares), standardised(targets, shares) * shares[:, None]
    return _flipped_energies(u, z, members, np.sqrt(sizes), weights, resamples, rng)


def standardised(values: Array, weights: Array) -> Array:
    """Columns of `values` (m, k) with weighted mean 0 and weighted sum of squares 1; NaN becomes 0.

    A column that does not vary becomes 0 throughout.  `weights` (m,) are positive.
    """
    present = np.isfinite(values)
    weight = np.where(present, weights[:, None], 0.0)
    filled = np.where(present, values, 0.0)
    sizes = np.abs(filled).max(axis=0)
    filled /= np.where(sizes > 0, sizes, 1.0)
    total = weight.sum(axis=0)
    means = (weight * filled).sum(axis=0) / np.where(total > 0, total, 1.0)
    deviations = np.where(present, filled - means, 0.0)
    norms = np.sqrt((weight * deviations**2).sum(axis=0))
    return deviations / np.where(norms > CONSTANT * np.sqrt(total), norms, np.inf)


def sign_patterns(n_units: int, resamples: int, rng: np.random.Generator) -> Array:
    """Signs (1 + resamples, n_units), all positive in row 0; fewer rows where no more patterns differ.

    A pattern and its opposite count as the same: statistics here do not tell them apart.
    """
    if n_units <= 1 or 2 ** (n_units - 1) <= resamples + 1:
        patterns = (np.arange(2 ** max(n_units - 1, 0))[:, None] >> np.arange(n_units)) & 1
    else:
        patterns = rng.integers(0, 2, (resamples + 1, n_units))
        patterns[0] = 0
    signs: Array = np.where(patterns == 1, -1.0, 1.0)
    return signs


def tail(statistics: Array) -> Array:
    """Share of all values of `statistics`, of any shape, that reach each of them."""
    ordered = np.sort(statistics, axis=None)
    below = np.searchsorted(ordered, statistics * (1 - TIE), side="left")
    return np.asarray((ordered.size - below) / ordered.size, dtype=np.float64)


def combined_p(statistics: Array) -> float:
    """p-value of several statistics (1 + resamples, k) together, valid however they depend on each other.

    Each is turned into its own p-value in every row, and their harmonic mean is the statistic: the smallest decides,
    the others break the ties that few rearrangements leave (combination by rearrangement: Westfall, Young 1993;
    harmonic mean: Good 1958).
    """
    inverses = 1 / np.stack([tail(column) for column in statistics.T])
    return float(tail(inverses.sum(axis=0))[0])


def step_down(statistics: Array) -> Array:
    """p-values (c,) of many hypotheses from their statistics (1 + resamples, c), valid over all of them at once.

    Step-down max-T: the hypothesis of k-th largest statistic is held against the maximum over itself and all of
    smaller ones, and its p-value is at least that of its predecessors (Westfall, Young 1993, algorithm 4.1).
    """
    order = np.argsort(-statistics[0], kind="stable")
    maxima = np.maximum.accumulate(statistics[:, order[::-1]], axis=1)[:, ::-1]
    p_values = np.empty(len(order))
    p_values[order] = np.maximum.accumulate((maxima >= statistics[0, order] * (1 - TIE)).mean(axis=0))
    return p_values


def _permuted_energies(u: Array, z: Array, weights: Array, resamples: int, rng: np.random.Generator) -> Energies:
    """Energies under shifts of the label rows along cycles of randomly ordered rows.

    The shifts of one cycle are a group of permutations, so that all of them and the shifts of further random orders of
    the labels are as good a null as unrelated permutations, and a Fourier transform gives the products of a whole
    cycle at once.  Long data lie on several cycles that turn together; the few rows left over stay where they are.
    Source: Hemerik, Goeman 2018 (groups of transformations).
    """
    n_rows = len(u)
    order = np.argsort(rng.permutation(n_rows)[_row_ranks(u, z)])
    u, z = u[order] * np.sqrt(n_rows), z[order]
    n_cycles = max(1, n_rows // CYCLE)
    length = n_rows // n_cycles
    spectrum = np.conj(_cycle_spectra(u, n_cycles, length))
    parts = []
    for turn in range(-(-(resamples + 1) // length)):
        labels = z if turn == 0 else z[rng.permutation(n_rows)]
        waves = np.ascontiguousarray(_cycle_spectra(labels, n_cycles, length).transpose(0, 2, 1))
        rest = slice(n_cycles * length, None)
        step = max(1, CHUNK_VALUES // (length * u.shape[1]))
        parts.append(
            _summed(
                (
                    fft.irfft(waves[:, chunk] @ spectrum, length, axis=0) + labels[rest, chunk].T @ u[rest]
                    for chunk in _chunks(z.shape[1], step)
                ),
                weights,
            )
        )
    total, largest, best_target = (np.concatenate(part) for part in zip(*parts, strict=True))
    return Energies(total, largest, best_target, n_rows)


def _cycle_spectra(values: Array, n_cycles: int, length: int) -> NDArray[np.complex128]:
    """Fourier transforms along the cycles: (frequencies, n_cycles, columns)."""
    spectra: NDArray[np.complex128] = fft.rfft(
        values[: n_cycles * length].reshape(length, n_cycles, values.shape[1]), axis=0
    )
    return spectra


def _flipped_energies(
    u: Array,
    z: Array,
    members: Indices,
    group_weights: Array,
    weights: Array,
    resamples: int,
    rng: np.random.Generator,
) -> Energies:
    """Energies under sign flips of what each group contributes to the products of scores and labels."""
    n_groups = len(group_weights)
    u = u * np.sqrt(group_weights.sum())
    unit_of_group = _flip_units(np.bincount(members, _row_ranks(u, z), n_groups), rng)
    n_units = int(unit_of_group.max()) + 1
    patterns = sign_patterns(n_units, resamples, rng)[1:]
    rows = np.argsort(unit_of_group[members], kind="stable")
    bounds = np.cumsum(np.bincount(unit_of_group[members], minlength=n_units))[:-1]
    scaled = z * _flip_scale(group_weights)[members][:, None]
    scores, labels = np.split(u[rows], bounds), np.split(scaled[rows], bounds)

    def products(chunk: slice) -> Array:
        contributions = np.stack([b[:, chunk].T @ a for a, b in zip(scores, labels, strict=True)])
        flipped = patterns @ contributions.reshape(n_units, -1)
        observed = z[:, chunk].T @ u
        return np.concatenate([observed[None], flipped.reshape(-1, *observed.shape)])

    step = max(1, CHUNK_VALUES // ((1 + len(patterns)) * u.shape[1]))
    return Energies(*_summed((products(chunk) for chunk in _chunks(z.shape[1], step)), weights), n_groups)


def _flip_units(keys: NDArray[np.number], rng: np.random.Generator) -> Indices:
    """The unit (n_groups,) that each group is flipped with: its own, or a random one of MAX_UNITS."""
    n_groups = len(keys)
    units = rng.permutation(n_groups) % min(n_groups, MAX_UNITS)
    unit_of_group = np.empty(n_groups, dtype=np.int64)
    unit_of_group[np.argsort(keys, kind="stable")] = units
    return unit_of_group


def _flip_scale(group_weights: Array) -> Array:
    """Factor (n_groups,) on a group's contribution that makes flips vary as much as the observed sum does.

    The common mean, taken off every row, ties groups together: flips alone would vary too little, the less the fewer
    and the more unequal the groups.  For groups of weight q (summing to Q) of identical rows, the sum of centred
    products has variance S2 - 2 S3 / Q + (S2 / Q)^2, S_k = sum q^k; each contribution is taken about the mean of the
    other groups, 1 / (1 - q / Q), and all are scaled to that variance together.
    """
    if len(group_weights) < 2:
        return np.ones(len(group_weights))
    share = group_weights / group_weights.sum()
    square = float((share**2).sum())
    observed = square - 2 * float((share**3).sum()) + square**2
    scale: Array = 1 / (1 - share)
    flipped = float((share**2 * (1 - 2 * share + square) ** 2 * scale**2).sum())
    return scale * float(np.sqrt(observed / flipped))


def _row_ranks(u: Array, z: Array) -> Indices:
    """An order of the rows that hangs on what is in them, and on no offset, unit or sign of a column.

    By the scores first; rows of equal scores are interchangeable up to their labels, which break ties.
    """
    return np.argsort(np.lexsort((np.einsum("ml,ml->m", z, z), np.einsum("mc,mc->m", u, u))))


def _chunks(count: int, step: int) -> Iterator[slice]:
    for start in range(0, count, step):
        yield slice(start, start + step)


def _summed(products: Iterator[Array], weights: Array) -> tuple[Array, Array, Array]:
    """What `Energies` holds, from `products` of label targets and components: chunks (resamples, targets, c)."""
    total, largest, best_target = 0.0, 0.0, 0.0
    for product in products:
        squares = np.square(product, out=product)
        total = total + squares.sum(axis=1)
        largest = np.maximum(largest, squares.max(axis=1))
        best_target = np.maximum(best_target, (squares @ weights).max(axis=1))
    return np.asarray(total), np.asarray(largest), np.asarray(best_target)
