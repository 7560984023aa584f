"""The table of analyses, and the words for how far one is."""

import io
from datetime import UTC, datetime

import pytest
from rich.console import Console

from service.analyses.analysis import State
from service.cli.remote import StateName
from service.remote.listing import analysis_table
from service.remote.progress import stage_of
from service.schemas.analyses import AnalysisView, ProgressView

MOMENT = datetime(2026, 11, 26, 12, 30, tzinfo=UTC)


def analysis(state, position=None, stage="start", fraction=0.0, **metadata):
    return AnalysisView.model_construct(
        id="an-1",
        state=State(state),
        queue_position=position,
        progress=ProgressView(stage=stage, fraction=fraction),
        submitted_at=MOMENT,
        metadata=metadata,
    )


@pytest.mark.parametrize(
    ("known", "words"),
    [
        (analysis("queued", 3), "queued, 3 before it"),
        (analysis("queued", 0), "queued"),
        (analysis("queued"), "queued"),
        (analysis("running", stage="survey\x1b[2J"), "survey[2J"),
        (analysis("succeeded", stage="done"), "succeeded"),
    ],
)
def test_how_far_an_analysis_is(known, words):
    assert stage_of(known) == words


def test_a_line_for_every_analysis():
    known = [analysis("running", stage="survey", fraction=0.25, team="[red]a\x1b[2J", run="7"), analysis("queued", 0)]
    console = Console(file=io.StringIO(), width=200, color_system=None)
    console.print(analysis_table(known))
    heading, first, second = (line.split() for line in console.file.getvalue().splitlines())
    local = MOMENT.astimezone().strftime("%Y-%m-%d %H:%M").split()
    assert heading == ["id", "state", "progress", "submitted", "metadata"]
    assert first == ["an-1", "running", "25%", "survey", *local, "team=[red]a[2J", "run=7"]
    assert second == ["an-1", "queued", "0", "before", "it", *local]


def test_the_command_line_knows_all_states():
    assert [name.value for name in StateName] == [state.value for state in State]
