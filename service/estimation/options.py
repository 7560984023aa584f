"""What a caller may choose."""

from __future__ import annotations

from dataclasses import dataclass

from service.estimation.record import Record
from service.estimation.terms import Rule


@dataclass(frozen=True)
class Options(Record):
    """What a caller may choose."""

    method: str = "reference"
    """Estimator: reference is the published procedure."""
    rule: Rule = Rule.ELBOW
    """Which published rule classifies components."""
    n_components: int = 50
    """Components kept of every spectrum, 2 to 500."""
    pca_components: int = 100
    """Principal components kept of each modality before anything else, 2 to 2000."""
