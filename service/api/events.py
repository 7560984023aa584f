"""An analysis as a stream of events: how far it is, and at last how it ended."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from fastapi.sse import format_sse_event

from service.analyses import lifecycle
from service.analyses.analysis import Analysis, State
from service.api.access import CallerDep, ServicesDep, StoreDep
from service.api.analyses import UNKNOWN, AnalysisId
from service.api.capacity import CapacityDep
from service.api.describing import RETRY_AFTER, problem
from service.api.views import view_analysis
from service.api.waiting import Watch, WatchesDep
from service.schemas.analyses import AnalysisProgress, AnalysisView

router = APIRouter(prefix="/v1/analyses", tags=["analyses"])

HEARTBEAT_S = 15.0
"""Silence after which a comment is sent, so that nobody between client and service takes the line for dead."""
LONGEST_S = 900.0
"""A stream ends after this long, and its client goes on in another: a key that was revoked is not let in again."""
RECONNECTION_MS = 2000
HEARTBEAT = b":\n\n"

EVENT: dict[str, Any] = {
    "type": "object",
    "required": ["event", "data", "id"],
    "properties": {
        "event": {"enum": ["progress", *(state for state in State if state.final)]},
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": {
                "anyOf": [
                    {"$ref": f"#/components/schemas/{model.__name__}"} for model in (AnalysisProgress, AnalysisView)
                ]
            },
        },
        "id": {"type": "string"},
        "retry": {"type": "integer", "description": "Milliseconds after which to reconnect; with the first event."},
    },
}


class EventStream(StreamingResponse):
    """Server-sent events, kept by nobody on their way.

    The framework's own response opens its stream before a route can refuse it.
    """

    media_type = "text/event-stream"

    def __init__(self, content: AsyncIterator[bytes], status_code: int = 200) -> None:
        super().__init__(content, status_code, {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})


async def _held() -> AsyncIterator[AsyncExitStack]:
    """What a stream holds, given back as soon as it ends or its client is gone."""
    async with AsyncExitStack() as stack:
        yield stack


HeldDep = Annotated[AsyncExitStack, Depends(_held)]


@router.get(
    "/{analysis_id}/events",
    summary="Follow an analysis",
    response_class=EventStream,
    responses={
        200: {
            "description": "A stream of server-sent events: `progress` with an `AnalysisProgress`, whenever something "
            "has changed, and at last `succeeded`, `failed` or `cancelled` with the `AnalysisView`, after which the "
            "stream ends.",
            "content": {"text/event-stream": {"schema": EVENT}},
        },
        204: {"description": "The analysis has ended, and `Last-Event-ID` is that of its last event."},
        404: UNKNOWN,
        429: problem("As many streams are open as the service holds (`too_many_streams`).", RETRY_AFTER),
    },
)
async def events(
    request: Request,
    services: ServicesDep,
    store: StoreDep,
    caller: CallerDep,
    capacity: CapacityDep,
    watches: WatchesDep,
    held: HeldDep,
    analysis_id: AnalysisId,
    last_event_id: Annotated[
        str | None, Header(description="Id of the last event that was received; sent by clients that reconnect.")
    ] = None,
) -> Response:
    """Progress as it happens, and the end.

    A stream that ends without one of the last three events was cut: ask again with the `id` of the last event that
    came as `Last-Event-ID`, and only what is new since then is sent. Ids say nothing else; one that is not known, or of
    an earlier attempt at the analysis, is answered with how things stand. Comments come every 15 seconds.
    """
    analysis = await run_in_threadpool(lifecycle.describe, store, services.queue, analysis_id)
    retention = services.settings.retention
    if not analysis.state.final:
        held.enter_context(capacity.streaming())
        watch = await held.enter_async_context(watches.watch(caller.tenant, store, analysis))
        return EventStream(_followed(watch, retention, last_event_id))
    if last_event_id == event_id(analysis):
        return Response(status_code=204)  # upon which a browser stops to reconnect
    return EventStream(_ended(analysis, retention))


def event_id(analysis: Analysis) -> str:
    """The id of the event that tells how an analysis stands: the same in every process, and of no other state."""
    started_at, finished_at = analysis.started_at, analysis.finished_at
    told = (
        analysis.submission.id,
        analysis.state,
        started_at.isoformat() if started_at else None,
        finished_at.isoformat() if finished_at else None,
        analysis.progress.stage,
        analysis.progress.fraction,
        analysis.queue_position,
    )
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]


async def _followed(watch: Watch, retention: timedelta, last_id: str | None) -> AsyncIterator[bytes]:
    """The events of an analysis from what comes after `last_id` to its end."""
    until = time.monotonic() + LONGEST_S
    yield HEARTBEAT  # the head goes out with the first bytes
    seen = watch.seen
    retry_ms: int | None = RECONNECTION_MS
    while not seen.is_gone:
        if (this_id := event_id(seen.analysis)) != last_id:
            yield _event(seen.analysis, retention, this_id, retry_ms)
            last_id, retry_ms = this_id, None
        if (watch.is_over and seen is watch.seen) or time.monotonic() >= until:
            return
        known, seen = seen, await watch.news(seen, HEARTBEAT_S)
        if seen is known and not watch.is_over:
            yield HEARTBEAT


async def _ended(analysis: Analysis, retention: timedelta) -> AsyncIterator[bytes]:
    yield _event(analysis, retention, event_id(analysis), None)


def _event(analysis: Analysis, retention: timedelta, this_id: str, retry_ms: int | None) -> bytes:
    if analysis.state.final:
        view = view_analysis(analysis, retention).model_dump_json(by_alias=True)
        return format_sse_event(event=analysis.state, data_str=view, id=this_id, retry=retry_ms)
    progress = AnalysisProgress(
        state=analysis.state,
        stage=analysis.progress.stage,
        fraction=analysis.progress.fraction,
        queue_position=analysis.queue_position,
    )
    return format_sse_event(event="progress", data_str=progress.model_dump_json(), id=this_id, retry=retry_ms)
