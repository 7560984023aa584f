"""The table of analyses."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from rich.markup import escape
from rich.table import Table

from service.analyses.analysis import State
from service.figures.printable import printable
from service.remote.progress import stage_of
from service.schemas.analyses import AnalysisView

STYLES = {State.SUCCEEDED: "green", State.FAILED: "red", State.CANCELLED: "yellow", State.RUNNING: "bold"}


def analysis_table(analyses: Sequence[AnalysisView]) -> Table:
    """Id, state, progress, time of submission (of this machine's clock) and metadata of every analysis."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("id", "state", "progress", "submitted"):
        table.add_column(name, no_wrap=True)
    table.add_column("metadata", overflow="fold")
    for analysis in analyses:
        table.add_row(
            escape(printable(analysis.id)),
            f"[{STYLES.get(analysis.state, 'default')}]{analysis.state}[/]",
            escape(_progress(analysis)),
            _local(analysis.submitted_at),
            escape(" ".join(f"{printable(name)}={printable(value)}" for name, value in analysis.metadata.items())),
        )
    return table


def _progress(analysis: AnalysisView) -> str:
    if analysis.state is State.RUNNING:
        return f"{analysis.progress.fraction:.0%} {stage_of(analysis)}"
    if analysis.state is State.QUEUED and analysis.queue_position is not None:
        return f"{analysis.queue_position} before it"
    return ""


def _local(moment: datetime) -> str:
    return moment.astimezone().strftime("%Y-%m-%d %H:%M")
