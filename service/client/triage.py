"""What a triage answers."""

from __future__ import annotations

from dataclasses import dataclass

from service.estimation.report import Report
from service.schemas.analyses import AnalysisView
from service.schemas.policies import DecisionView


@dataclass(frozen=True)
class Triage:
    """The answer to: may this run start?"""

    analysis: AnalysisView
    """The analysis that was made."""
    report: Report
    """Its report."""
    decision: DecisionView | None
    """What the policy says to it; None without a policy."""


def unheeded(told: object) -> None:
    """For whoever does not care how far it is."""
