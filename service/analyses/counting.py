"""What is worth counting about an analysis that has just ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from service.analyses.analysis import Outcome, State
from service.analyses.identity import made_at_s
from service.estimation.report import Report
from service.estimation.simulation_records import Simulation
from service.estimation.terms import Regime


@dataclass(frozen=True)
class EndedAnalysis:
    """How an analysis ended, how long it took, and what it found; nothing of whose it was."""

    analysis_id: str
    state: State
    code: str | None  # of the failure; None without one
    waited_s: float | None  # from the submission to the start of the attempt that ended it; None if none was started
    ran_s: float | None  # that attempt
    regime: Regime | None = None  # of x_to_y; None without a report: simulations have none
    conclusive: bool | None = None  # None without a report, and where the method knows no probabilities
    stages_s: Mapping[str, float] = field(default_factory=dict)
    reused: bool = False  # it has a copy of an earlier report, which was counted when it was made


def ended_analysis(analysis_id: str, outcome: Outcome, result: Report | Simulation | None) -> EndedAnalysis:
    """The facts that are counted, from an outcome and what it came with.

    Times are differences between clocks of different hosts: one that comes out negative counts as 0.
    """
    started_at, failure = outcome.started_at, outcome.failure
    report = result if isinstance(result, Report) else None
    return EndedAnalysis(
        analysis_id=analysis_id,
        state=outcome.state,
        code=failure.code if failure else None,
        waited_s=max(0.0, started_at.timestamp() - made_at_s(analysis_id)) if started_at else None,
        ran_s=max(0.0, (outcome.finished_at - started_at).total_seconds()) if started_at else None,
        regime=report.regime if report else None,
        conclusive=report.conclusive if report else None,
        stages_s=report.timings.stages_s if report else {},
        reused=outcome.reused,
    )
