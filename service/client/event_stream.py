"""The stream of an analysis' events: its text, read as it arrives."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import ValidationError

from service.analyses.analysis import State
from service.schemas.analyses import AnalysisProgress, AnalysisView

EVENT_STREAM = "text/event-stream"
LAST_EVENT_ID = "Last-Event-ID"
LONGEST_EVENT = 1 << 22
"""Characters without an end, after which it is no event of the service."""

BLANK_LINE, LINE = re.compile(r"\r?\n\r?\n"), re.compile(r"\r?\n")


@dataclass(frozen=True)
class AnalysisEvent:
    """How an analysis stands, as the service tells it when something has changed."""

    id: str
    """Where to go on: `last_event_id` of a later call."""
    state: State
    """queued, running, succeeded, failed or cancelled."""
    stage: str
    """What is being done."""
    fraction: float
    """Share of the work done, 0 to 1; a further attempt begins at 0 again."""
    queue_position: int | None
    """Analyses before it in the queue; None unless it waits there."""
    analysis: AnalysisView | None
    """The analysis, with the last event; None before."""


class NoEvent(ValueError):
    """What came is no event of the service."""


class NothingNew(Exception):
    """The last event has been told before."""


class EventReader:
    """Puts events together from the pieces of a stream."""

    def __init__(self) -> None:
        self._rest = ""

    def read(self, text: str) -> Iterator[AnalysisEvent]:
        """The events that a further piece completes.  Raises NoEvent."""
        *blocks, self._rest = BLANK_LINE.split(self._rest + text)
        if len(self._rest) > LONGEST_EVENT:
            raise NoEvent("an event without an end")
        for block in blocks:
            event = _event(block)
            if event is not None:
                yield event


def _event(block: str) -> AnalysisEvent | None:
    """The event of some lines; None for comments alone, which keep the line open, and for kinds of a newer service."""
    fields: dict[str, list[str]] = {}
    for line in LINE.split(block):
        name, _, value = line.partition(":")
        fields.setdefault(name, []).append(value.removeprefix(" "))
    kind, data, event_id = ("\n".join(fields.get(name, ())) for name in ("event", "data", "id"))
    try:
        if kind == "progress":
            now = AnalysisProgress.model_validate_json(data, extra="ignore")
            return AnalysisEvent(event_id, now.state, now.stage, now.fraction, now.queue_position, None)
        if kind in list(State):
            end = AnalysisView.model_validate_json(data, extra="ignore")
            progress = end.progress
            return AnalysisEvent(event_id, end.state, progress.stage, progress.fraction, end.queue_position, end)
    except ValidationError as error:
        raise NoEvent(f"an event {kind!r} of another form") from error
    return None
