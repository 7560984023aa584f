"""What a caller may choose."""

from __future__ import annotations

from dataclasses import dataclass

from service.estimation.record import Record
from service.estimation.terms import Method, Missing, Rule, Scaling


@dataclass(frozen=True)
class Scalings(Record):
    """The scaling of each modality."""

    x: Scaling = Scaling.NONE
    """Scaling of x: none or standardize."""
    y: Scaling = Scaling.NONE
    """Scaling of y: none or standardize."""


UNSCALED = Scalings()


@dataclass(frozen=True)
class Options(Record):
    """What a caller may choose."""

    method: Method = Method.CALIBRATED
    """Estimator: calibrated, or reference, which is the published procedure."""
    rule: Rule = Rule.ELBOW
    """Which published rule classifies components; only the published procedure uses it."""
    n_components: int = 50
    """Components kept of every spectrum, 2 to 500."""
    pca_components: int | None = None
    """Principal components kept of each modality before anything else, 2 to 2000; null leaves the number to the method.
    The published procedure keeps 100."""
    pca_variance: float | None = None
    """Keep only as many principal components as explain this share of a modality's variance, above 0 and at most 1, and
    never more than `pca_components`; null for no such limit. The published procedure has none."""
    alpha: float = 0.05
    """Level of the tests, 0.0001 to 0.5; the published procedure tests at a level of its own."""
    embedding_dim: int | None = None
    """Size of the embedding that the encoders will have, 1 to 2000; null when it is not settled. Without effect on the
    published procedure."""
    scaling: Scalings = UNSCALED
    """What is done to the columns of each modality first: none, or standardize (mean 0, variance 1). The published
    procedure takes them as they are."""
    missing: Missing = Missing.REFUSE
    """What is done about missing feature values: refuse them, drop_rows (leave their pairs out), or mean (put the
    column's mean there). The published procedure needs complete features."""
    seed: int = 0
    """Seed of all random choices, 0 to 4294967295. Without effect on the published procedure, which fixes its own."""
    interval_level: float = 0.9
    """Coverage of the intervals, 0.5 to 0.99. Without effect on the published procedure, which gives none."""
