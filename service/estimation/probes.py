"""Linear probes of frozen embeddings by nested cross-validation, in closed form.

A numeric label is predicted by ridge regression and scored by R^2; a categorical one by linear discriminant analysis
with a ridge on the within-class covariance and equal priors (Friedman 1989, "Regularized discriminant analysis"), the
Bayes rule for balanced accuracy under Gaussian classes of one covariance, and scored by that.  One-hot regression
would mask classes that lie between others.

The outer folds score; the ridge is chosen within the training folds, each of them held out in turn, so that no group
that the folds keep together is ever split.  Every fit is made from sums over folds: one eigendecomposition of a
training covariance serves every ridge and every label that uses it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from service.estimation.moments import Array, Indices

# Ridges of a probe as multiples of the embedding's mean variance, the strongest first: it wins a tie.
RIDGES: Array = np.logspace(3, -5, 9)
CHUNK_VALUES = 2**21  # predictions that are held at once
LEAST_FOLDS = 3  # one to score, one to choose the ridge, one to fit


@dataclass(frozen=True)
class Classes:
    """A categorical column: the class 0..count-1 of every row, `codes` (n,)."""

    codes: Indices
    count: int

    @property
    def one_hot(self) -> Array:
        """(n, count), 1 at each row's class."""
        return np.eye(self.count)[self.codes]


@dataclass(frozen=True)
class ProbeLabels:
    """Labels of the same n rows: their folds (n,), numeric columns (n, L), and categorical columns."""

    folds: Indices
    numeric: Array
    categorical: tuple[Classes, ...]

    @property
    def fold_ids(self) -> Indices:
        """The folds that have rows."""
        return np.unique(self.folds)

    @property
    def classes(self) -> tuple[Classes, ...]:
        """Classes of every column, numeric columns first: all rows of a numeric column are of one."""
        one = Classes(np.zeros(len(self.folds), dtype=np.int64), 1)
        return (*(one for _ in self.numeric.T), *self.categorical)


@dataclass(frozen=True)
class Tally:
    """What the prediction of each row earned, `earned` (n,), of what it could, `possible` (n,), and the row's class.

    Numeric: the squared distance from the training mean, earned as far as the prediction removed it; one class.
    Categorical: 1, earned by a right prediction.
    """

    earned: Array
    possible: Array
    classes: Classes


def score(tally: Tally) -> float:
    """R^2 or balanced accuracy: earned / possible, both summed over a class's rows, averaged over classes."""
    return float(_scores_of(*(part.sum(axis=0) for part in _sums_by(tally, np.zeros_like(tally.classes.codes)))))


def scores_without_each(tally: Tally, groups: Indices) -> Array:
    """`score` with the rows of each group left out in turn, (G,); `groups` (n,) numbers them 0..G-1."""
    earned, possible = _sums_by(tally, groups)
    return _scores_of(earned.sum(axis=0) - earned, possible.sum(axis=0) - possible)


def jackknife_error(values: Array) -> float:
    """Standard error sqrt((G - 1) / G sum_g (v_g - mean v)^2) from the G values v that leave out one group each.

    Source: Efron and Tibshirani 1993, "An introduction to the bootstrap", equation 11.5, with groups as observations.
    """
    return float(np.sqrt((len(values) - 1) / len(values) * ((values - values.mean()) ** 2).sum()))


def probe(features: Array, encoders: Sequence[Array], labels: ProbeLabels) -> tuple[Tally, ...]:
    """The tally of every label, numeric columns first, predicted from the embeddings of `features`.

    Arguments:
        features (n, r): one row for every row of the labels.
        encoders: for each fold id the matrix (r, d) of an encoder that has not seen that fold; folds may share one,
            which saves work.
    """
    earned = np.empty((len(labels.classes), len(labels.folds)))
    possible = np.empty_like(earned)
    folds = [int(fold) for fold in labels.fold_ids]
    for matrix in {id(encoders[fold]): encoders[fold] for fold in folds}.values():
        sums = _fold_sums(features @ matrix, labels)
        held = [fold for fold in folds if encoders[fold] is matrix]
        # What a fit without two folds says of either serves both, each being the held-out one in turn.
        left_out = {frozenset((fold, other)) for fold in held for other in folds if other != fold}
        tested = {pair: _tested(sums, labels, pair) for pair in left_out}
        for fold in held:
            ridges = _best_ridges([tested[frozenset((fold, other))][other] for other in folds if other != fold])
            fit = _at_ridges(_fit(sums, labels, labels.fold_ids != fold), labels, ridges)
            for rows, outcomes in _outcomes(fit, sums, labels, fold):
                for place, outcome in enumerate(outcomes):
                    earned[place, rows], possible[place, rows] = outcome.earned[0], outcome.possible
    return tuple(Tally(*parts) for parts in zip(earned, possible, labels.classes, strict=True))


class _Sums(NamedTuple):
    """Per fold of one embedding (n, d): rows (F,), sums (F, d), products (F, d, d); with the targets (n, t), numeric
    columns and one-hot classes side by side, sums (F, t) and products (F, d, t)."""

    embedding: Array
    sizes: Array
    first: Array
    second: Array
    target_first: Array
    cross: Array


class _Fit(NamedTuple):
    """Predictions of every target at every ridge: (z - mean) @ slopes (ridges, d, t) + offsets (ridges, t)."""

    mean: Array
    slopes: Array
    offsets: Array
    target_mean: Array


class _Outcome(NamedTuple):
    """What one label's predictions earn at every ridge, and could: by row, (ridges, rows) and (rows,), or summed by
    class, (ridges, count) and (count,)."""

    earned: Array
    possible: Array


def _fold_sums(embedding: Array, labels: ProbeLabels) -> _Sums:
    embedding = embedding - embedding.mean(axis=0)
    targets = np.hstack([labels.numeric, *(classes.one_hot for classes in labels.categorical)])
    parts = [(embedding[rows], targets[rows]) for rows in (labels.folds == fold for fold in labels.fold_ids)]
    return _Sums(
        embedding=embedding,
        sizes=np.array([float(len(z)) for z, _ in parts]),
        first=np.array([z.sum(axis=0) for z, _ in parts]),
        second=np.array([z.T @ z for z, _ in parts]),
        target_first=np.array([t.sum(axis=0) for _, t in parts]),
        cross=np.array([z.T @ t for z, t in parts]),
    )


def _tested(sums: _Sums, labels: ProbeLabels, left_out: frozenset[int]) -> dict[int, list[_Outcome]]:
    """Outcomes by class, on each fold of `left_out`, of the fit without them all."""
    fit = _fit(sums, labels, ~np.isin(labels.fold_ids, list(left_out)))
    return {fold: _outcomes_by_class(fit, sums, labels, fold) for fold in left_out}


def _best_ridges(inner: Sequence[list[_Outcome]]) -> list[int]:
    """For every label the ridge of the best score over the folds of `inner`."""
    return [
        int(np.argmax(_scores_of(sum(part.earned for part in parts), sum(part.possible for part in parts))))
        for parts in zip(*inner, strict=True)
    ]


def _at_ridges(fit: _Fit, labels: ProbeLabels, ridges: Sequence[int]) -> _Fit:
    """The fit at one ridge for each label, given by its place."""
    place = np.repeat(ridges, [classes.count for classes in labels.classes])
    target = np.arange(len(place))
    return _Fit(fit.mean, fit.slopes[place, :, target].T[None], fit.offsets[place, target][None], fit.target_mean)


def _fit(sums: _Sums, labels: ProbeLabels, training: NDArray[np.bool_]) -> _Fit:
    n = sums.sizes[training].sum()
    mean = sums.first[training].sum(axis=0) / n
    target_mean = sums.target_first[training].sum(axis=0) / n
    total = sums.second[training].sum(axis=0) / n - np.outer(mean, mean)
    cross = sums.cross[training].sum(axis=0) / n - np.outer(mean, target_mean)
    scale = float(np.trace(total)) / len(total)
    ridges: Array = RIDGES * (scale if scale > 0 else 1.0)

    start = labels.numeric.shape[1]
    slopes = [_ridge_path(total, cross[:, :start], ridges)] if start else []
    offsets = [np.broadcast_to(target_mean[:start], (len(ridges), start))]
    for classes in labels.categorical:
        share = target_mean[start : start + classes.count]
        known = share > 0
        # Class means about the mean, and the covariance that is left within the classes.
        means = np.where(known, cross[:, start : start + classes.count] / np.where(known, share, 1.0), 0.0)
        path = _ridge_path(total - (means * share) @ means.T, means, ridges)
        slopes.append(path)
        # A class without a training row is never predicted.
        offsets.append(np.where(known, -0.5 * (means * path).sum(axis=1), -np.inf))
        start += classes.count
    return _Fit(mean, np.concatenate(slopes, axis=2), np.concatenate(offsets, axis=1), target_mean)


def _ridge_path(covariance: Array, cross: Array, ridges: Array) -> Array:
    """(S + ridge I)^{-1} cross for every ridge: (ridges, d, t)."""
    eigenvalues, vectors = linalg.eigh(covariance, check_finite=False, driver="evd")
    # Cancellation leaves tiny negative eigenvalues, which a ridge might meet exactly.
    eigenvalues = np.maximum(eigenvalues, 0.0)
    path: Array = vectors @ ((vectors.T @ cross) / (eigenvalues[:, None] + ridges[:, None, None]))
    return path


def _outcomes_by_class(fit: _Fit, sums: _Sums, labels: ProbeLabels, fold: int) -> list[_Outcome]:
    summed = [_Outcome(np.zeros((len(fit.slopes), c.count)), np.zeros(c.count)) for c in labels.classes]
    for rows, outcomes in _outcomes(fit, sums, labels, fold):
        for total, outcome, classes in zip(summed, outcomes, labels.classes, strict=True):
            one_hot = np.eye(classes.count)[classes.codes[rows]]
            total.earned[:] += outcome.earned @ one_hot
            total.possible[:] += outcome.possible @ one_hot
    return summed


def _outcomes(fit: _Fit, sums: _Sums, labels: ProbeLabels, fold: int) -> Iterator[tuple[Indices, list[_Outcome]]]:
    """What the predictions of a fold's rows earn, for every label; so many rows at a time as fit in memory."""
    every = np.flatnonzero(labels.folds == fold)
    step = max(CHUNK_VALUES // fit.offsets.size, 1)
    for start in range(0, len(every), step):
        rows = every[start : start + step]
        predicted = (sums.embedding[rows] - fit.mean) @ fit.slopes + fit.offsets[:, None, :]  # (ridges, rows, t)
        column = labels.numeric.shape[1]
        targets = labels.numeric[rows]
        possible = (targets - fit.target_mean[:column]) ** 2
        earned = possible - (targets - predicted[..., :column]) ** 2
        outcomes = [_Outcome(earned[..., place], possible[:, place]) for place in range(column)]
        for classes in labels.categorical:
            right = predicted[..., column : column + classes.count].argmax(axis=2) == classes.codes[rows]
            outcomes.append(_Outcome(right.astype(np.float64), np.ones(len(rows))))
            column += classes.count
        yield rows, outcomes


def _sums_by(tally: Tally, groups: Indices) -> tuple[Array, Array]:
    """Earned and possible summed by group and class, both (G, count)."""
    shape = (int(groups.max()) + 1, tally.classes.count)
    cell = groups * tally.classes.count + tally.classes.codes

    def summed(weights: Array) -> Array:
        return np.bincount(cell, weights, minlength=shape[0] * shape[1]).astype(np.float64).reshape(shape)

    return summed(tally.earned), summed(tally.possible)


def _scores_of(earned: Array, possible: Array) -> Array:
    """Mean over the last axis of earned / possible where anything is possible; 0 where nothing is."""
    known = possible > 0
    shares = np.where(known, earned / np.where(known, possible, 1.0), 0.0)
    mean: Array = shares.sum(axis=-1) / np.maximum(known.sum(axis=-1), 1)
    return mean
