"""Waiting for an analysis to end: told by the service where it tells, looking where it does not."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import aclosing

from service.analyses.analysis import State
from service.client.addresses import step
from service.client.asynchronous.connection import AsyncConnection
from service.client.asynchronous.following import one_stream
from service.client.asynchronous.runtime import pause
from service.client.errors import AnalysisFailed, ClientError
from service.client.event_stream import AnalysisEvent
from service.schemas.analyses import AnalysisView, ProgressView

SOONEST_LOOK_S, LATEST_LOOK_S = 0.2, 2.0  # how long a waiting client sleeps between two looks
WAITED_SHARE = 0.05  # it looks again after this share of the time that it has waited, within those bounds
HEARTBEAT_S = 15.0
"""Silence after which a stream shows that it is alive, and within which it cannot be left: what is left of a wait after
that is spent looking."""

OnChange = Callable[[AnalysisView], None]


async def wait_for(
    connection: AsyncConnection,
    analysis_id: str,
    timeout_s: float,
    on_change: OnChange,
    on_absence: Callable[[ClientError], None],
) -> AnalysisView:
    """Wait until an analysis has succeeded.  Raises AnalysisFailed, TimeoutError, ClientError."""
    started = time.monotonic()
    deadline = started + timeout_s
    has_events = True
    while True:
        try:
            analysis = await _look(connection, analysis_id, deadline)
        except ClientError as error:
            if not error.passes:
                raise
            on_absence(error)
            last = f"could not be watched for {timeout_s:g} s. {error}"
        else:
            on_change(analysis)
            if has_events and not analysis.state.final and deadline - time.monotonic() > HEARTBEAT_S:
                analysis, has_events = await _follow(connection, analysis, deadline, on_change)
            if analysis.state is State.SUCCEEDED:
                return analysis
            if analysis.state.final:
                raise AnalysisFailed(analysis)
            last = f"is still {analysis.state} after {timeout_s:g} s. It goes on; look again later."
        now = time.monotonic()
        if now >= deadline:
            raise TimeoutError(f"Analysis {analysis_id} {last}")
        pause_s = min(max(SOONEST_LOOK_S, WAITED_SHARE * (now - started)), LATEST_LOOK_S)
        await pause(min(pause_s, deadline - now))


async def _look(connection: AsyncConnection, analysis_id: str, deadline: float) -> AnalysisView:
    """The analysis, unless the service is silent for longer than a wait has left; what is lost is not asked again."""
    silence_s = min(connection.timeout_s, max(deadline - time.monotonic(), SOONEST_LOOK_S))
    path = f"/v1/analyses/{step(analysis_id)}"
    return await connection.read(AnalysisView, "GET", path, timeout_s=silence_s, repeated=False)


async def _follow(
    connection: AsyncConnection, analysis: AnalysisView, deadline: float, on_change: OnChange
) -> tuple[AnalysisView, bool]:
    """Follow an analysis until it has ended, its stream is over, or the time is nearly up.

    Returns: the analysis as the last event has it; whether it is of use to ask for events again.

    Whatever is amiss with a stream, looking still tells how the analysis stands: an older service has none, one that is
    busy refuses it, one that restarts cuts it.
    """
    try:
        async with aclosing(one_stream(connection, analysis.id, None, 2 * HEARTBEAT_S)) as events:
            async for event in events:
                if event is not None:
                    analysis = _moved(analysis, event)
                    on_change(analysis)
                if analysis.state.final or deadline - time.monotonic() <= HEARTBEAT_S:
                    break
    except ClientError as error:
        return analysis, error.passes
    return analysis, True


def _moved(analysis: AnalysisView, event: AnalysisEvent) -> AnalysisView:
    if event.analysis is not None:
        return event.analysis
    progress = ProgressView(stage=event.stage, fraction=event.fraction)
    told = {"state": event.state, "progress": progress, "queue_position": event.queue_position}
    return analysis.model_copy(update=told)
