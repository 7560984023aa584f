"""Shows how far an upload or an analysis is: a bar in a terminal, a line for every stage elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TransferSpeedColumn,
)

from service.analyses.analysis import State
from service.client import Phasegate
from service.client.uploads import OnProgress
from service.figures.printable import printable
from service.schemas.analyses import AnalysisView

AWAY = "the service is away"


@contextmanager
def upload_bar(notes: Console) -> Iterator[OnProgress]:
    """A bar of what has been sent, gone at the end; nothing where there is no terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=notes, transient=True, disable=not notes.is_terminal) as bar:
        sending = bar.add_task("sending", total=None)

        def show(sent_bytes: int, total_bytes: int) -> None:
            everything = sent_bytes == total_bytes
            bar.update(
                sending, completed=sent_bytes, total=total_bytes, description="checking" if everything else "sending"
            )

        yield show


def wait_showing(client: Phasegate, analysis_id: str, timeout_s: float, notes: Console) -> AnalysisView:
    """Wait until an analysis has succeeded, showing its stages.  Raises what `Phasegate.wait` raises."""
    if notes.is_terminal:
        return _wait_with_bar(client, analysis_id, timeout_s, notes)
    shown = ""

    def line(stage: str) -> None:
        nonlocal shown
        if stage != shown:
            notes.print(stage, markup=False)
            shown = stage

    return client.wait(analysis_id, timeout_s, lambda analysis: line(stage_of(analysis)), lambda _: line(AWAY))


@contextmanager
def stages_shown(notes: Console) -> Iterator[Callable[[str, float], None]]:
    """Shows the stages of an estimation in this process, with the fraction that is done."""
    if not notes.is_terminal:
        shown = ""

        def line(stage: str, fraction: float) -> None:
            nonlocal shown
            if stage != shown:
                notes.print(stage, markup=False)
                shown = stage

        yield line
        return
    with Progress(*_waiting_columns(), console=notes) as bar:
        waiting = bar.add_task("starting", total=1.0)
        yield lambda stage, fraction: bar.update(waiting, completed=fraction, description=escape(stage))


def stage_of(analysis: AnalysisView) -> str:
    """What is happening to an analysis, in a word or two."""
    if analysis.state is State.RUNNING:
        return printable(analysis.progress.stage)
    if analysis.state is State.QUEUED and analysis.queue_position:
        return f"queued, {analysis.queue_position} before it"
    return analysis.state.value


def _wait_with_bar(client: Phasegate, analysis_id: str, timeout_s: float, notes: Console) -> AnalysisView:
    with Progress(*_waiting_columns(), console=notes) as bar:
        waiting = bar.add_task("waiting", total=1.0)

        def show(analysis: AnalysisView) -> None:
            bar.update(waiting, completed=analysis.progress.fraction, description=escape(stage_of(analysis)))

        return client.wait(analysis_id, timeout_s, show, lambda _: bar.update(waiting, description=AWAY))


def _waiting_columns() -> tuple[ProgressColumn, ...]:
    return (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:3.0f} %"),
        TimeElapsedColumn(),
    )
