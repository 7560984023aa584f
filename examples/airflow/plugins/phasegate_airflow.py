"""Waits for an analysis without holding a worker slot.

The sensor looks once; an analysis that has not ended is handed to the triggerer, and the task's slot is free until it
has.  What the triggerer keeps is the id of the analysis: it can be killed and started again, here or on another host.

The service is an Airflow connection, `phasegate_default` unless told otherwise: host, port, schema (http or https), and
as password an API key, if the service asks for one.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Any

from airflow.sdk import BaseHook, BaseSensorOperator, Connection, Context
from airflow.sdk.exceptions import AirflowFailException
from airflow.triggers.base import BaseTrigger, TriggerEvent

from phasegate import AnalysisFailed, AsyncPhasegate, Phasegate


def service_of(connection: Connection) -> dict[str, str | None]:
    """A connection as the client's arguments."""
    port = f":{connection.port}" if connection.port else ""
    return {"url": f"{connection.schema or 'http'}://{connection.host}{port}", "api_key": connection.password}


class PhasegateSensor(BaseSensorOperator):
    """Succeeds when the analysis has a report; returns the id of the analysis.

    An analysis that failed or was cancelled fails the task without retries: the same upload would fail again.
    """

    template_fields: Sequence[str] = ("analysis_id",)

    def __init__(
        self, *, analysis_id: str, phasegate_conn_id: str = "phasegate_default", timeout: float = 3600, **said: Any
    ) -> None:
        """Arguments: analysis_id, may be a template; timeout, longest wait (seconds)."""
        super().__init__(timeout=timeout, **said)
        self.analysis_id = analysis_id
        self.phasegate_conn_id = phasegate_conn_id

    def execute(self, context: Context) -> str:
        with Phasegate(**service_of(BaseHook.get_connection(self.phasegate_conn_id))) as client:
            analysis = client.analysis(self.analysis_id)
        if not analysis.state.final:
            trigger = PhasegateTrigger(self.analysis_id, self.phasegate_conn_id)
            self.defer(trigger=trigger, method_name="resume", timeout=timedelta(seconds=self.timeout))
        return self.resume(context, {"state": str(analysis.state), "error": analysis.error and analysis.error.detail})

    def resume(self, context: Context, event: dict[str, Any]) -> str:
        """Called with what the trigger has seen."""
        if event["state"] != "succeeded":
            reason = event["error"] or "See `phasegate list` for what became of it."
            raise AirflowFailException(f"Analysis {self.analysis_id}: {event['state']}. {reason}")
        return self.analysis_id


class PhasegateTrigger(BaseTrigger):
    """Waits, in the triggerer, until the analysis has ended."""

    def __init__(self, analysis_id: str, phasegate_conn_id: str) -> None:
        super().__init__()
        self.analysis_id = analysis_id
        self.phasegate_conn_id = phasegate_conn_id

    def serialize(self) -> tuple[str, dict[str, Any]]:
        kept = {"analysis_id": self.analysis_id, "phasegate_conn_id": self.phasegate_conn_id}
        return f"{__name__}.PhasegateTrigger", kept

    async def run(self) -> AsyncIterator[TriggerEvent]:
        connection = await BaseHook.aget_connection(self.phasegate_conn_id)
        async with AsyncPhasegate(**service_of(connection)) as client:
            try:
                analysis = await client.wait(self.analysis_id, math.inf)  # Airflow minds the sensor's timeout
            except AnalysisFailed as error:
                analysis = error.analysis
        yield TriggerEvent({"state": str(analysis.state), "error": analysis.error and analysis.error.detail})
