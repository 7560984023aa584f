"""A warning, as reports and preflights carry it."""

from __future__ import annotations

from dataclasses import dataclass

from service.estimation.record import Record


@dataclass(frozen=True)
class ReportWarning(Record):
    """Something about the input or the estimate that a reader should know."""

    code: str
    """Stable code."""
    message: str
    """What was found and what to do."""
