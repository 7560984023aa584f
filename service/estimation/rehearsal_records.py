"""What a rehearsal found: scores of every encoder on every label column."""

from __future__ import annotations

from dataclasses import dataclass

from service.estimation.record import Record
from service.estimation.terms import Encoder, Metric


@dataclass(frozen=True)
class RehearsalRow(Record):
    """How well one encoder's embedding predicts one label column, out of fold."""

    encoder: Encoder
    """x, y, both: raw features; ca_x, ca_y, ca_both: alignment; cp_x_to_y, cp_y_to_x: prediction, the embedding of its
    source; pca_x, pca_y: principal components."""
    embedding_dim: int | None
    """Dimension of the embedding, of each modality's for ca_both; null for raw features. It is the dimension that was
    asked for, or the largest possible where that is less."""
    label: str
    """The label column."""
    metric: Metric
    """r2 for a numeric column, balanced_accuracy for a categorical one."""
    score: float
    """The metric over all held-out rows. R^2 may be negative: worse than the mean of the training rows."""
    standard_error: float
    """Standard error of `score` for these encoders and probes: a jackknife that leaves out one group of the labeled
    rows at a time, one row where rows are not grouped."""
    chance: float
    """The score of a prediction that knows nothing of the row: 0 for r2, 1 / n_classes for balanced_accuracy."""
    difference: float
    """`score` minus that of the better single modality (x or y, the better on this label); 0 for that one itself."""
    difference_se: float
    """Standard error of `difference`, by the same jackknife of both scores together."""


@dataclass(frozen=True)
class RehearsedLabel(Record):
    """One label column of a rehearsal."""

    label: str
    """The label column."""
    n_rows: int
    """Labeled rows that were scored: those with a value, of a class that at least two folds know."""
    n_classes: int | None
    """Classes that the balanced accuracy averages; null for a numeric column."""
    left_out: str | None
    """Why the column could not be scored, and what to do; null if it was."""


@dataclass(frozen=True)
class Rehearsal(Record):
    """Linear encoders of every objective, fitted without labels and scored on labels that they have not seen."""

    encoder_pairs: int
    """Pairs that the encoders were fitted on; the fewest over folds."""
    cross_fitted: bool
    """False: the encoders were fitted without any labeled pair. True: too few pairs are unlabeled, and the encoder for
    each fold was fitted on all pairs outside it."""
    folds: int
    """Folds of the labeled rows."""
    labels: tuple[RehearsedLabel, ...]
    """The label columns."""
    rows: tuple[RehearsalRow, ...]
    """Every encoder at every dimension on every label column that could be scored, label by label."""
