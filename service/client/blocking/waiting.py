# Translated from service/client/asynchronous/waiting.py by `make client-sync`: edit that.
"""Waiting for an analysis to end."""

from __future__ import annotations

import time
from collections.abc import Callable

from service.analyses.analysis import State
from service.client.addresses import step
from service.client.blocking.connection import Connection
from service.client.blocking.runtime import pause
from service.client.errors import AnalysisFailed, ClientError
from service.schemas.analyses import AnalysisView

SOONEST_LOOK_S, LATEST_LOOK_S = 0.2, 2.0  # how long a waiting client sleeps between two looks
WAITED_SHARE = 0.05  # it looks again after this share of the time that it has waited, within those bounds


def wait_for(
    connection: Connection,
    analysis_id: str,
    timeout_s: float,
    on_change: Callable[[AnalysisView], None],
    on_absence: Callable[[ClientError], None],
) -> AnalysisView:
    """Wait until an analysis has succeeded.  Raises AnalysisFailed, TimeoutError, ClientError."""
    started = time.monotonic()
    while True:
        waited_s = time.monotonic() - started
        try:
            analysis = _look(connection, analysis_id, timeout_s - waited_s)
        except ClientError as error:
            if not error.passes:
                raise
            on_absence(error)
            last = f"could not be watched for {timeout_s:g} s. {error}"
        else:
            on_change(analysis)
            if analysis.state is State.SUCCEEDED:
                return analysis
            if analysis.state.final:
                raise AnalysisFailed(analysis)
            last = f"is still {analysis.state} after {timeout_s:g} s. It goes on; look again later."
        waited_s = time.monotonic() - started
        if waited_s >= timeout_s:
            raise TimeoutError(f"Analysis {analysis_id} {last}")
        pause_s = min(max(SOONEST_LOOK_S, WAITED_SHARE * waited_s), LATEST_LOOK_S)
        pause(min(pause_s, timeout_s - waited_s))


def _look(connection: Connection, analysis_id: str, left_s: float) -> AnalysisView:
    """The analysis, unless the service is silent for longer than a wait has left; what is lost is not asked again."""
    silence_s = min(connection.timeout_s, max(left_s, SOONEST_LOOK_S))
    path = f"/v1/analyses/{step(analysis_id)}"
    return connection.read(AnalysisView, "GET", path, timeout_s=silence_s, repeated=False)
