"""Following an analysis by its events."""

from __future__ import annotations

from contextlib import aclosing

import httpx2

from service.client.addresses import step
from service.client.asynchronous.connection import AsyncConnection
from service.client.asynchronous.runtime import Flow, pause
from service.client.errors import ClientError
from service.client.event_stream import EVENT_STREAM, LAST_EVENT_ID, AnalysisEvent, EventReader, NoEvent, NothingNew
from service.client.refusals import unexpected
from service.client.repeating import ATTEMPTS, jittered, usual_pause_s


async def events_of(connection: AsyncConnection, analysis_id: str, last_event_id: str | None) -> Flow[AnalysisEvent]:
    """The events of an analysis to its end, over as many streams as it takes.  Raises ClientError."""
    failed = 0  # one attempt after the other
    while True:
        try:
            stream = one_stream(connection, analysis_id, last_event_id, connection.timeout_s)
            async with aclosing(stream) as events:
                async for event in events:
                    failed = 0
                    if event is not None:
                        last_event_id = event.id
                        yield event
                        if event.state.final:
                            return
        except NothingNew:
            return
        except ClientError as error:
            failed += 1
            if not error.passes or failed >= ATTEMPTS:
                raise
        await pause(jittered(usual_pause_s(max(1, failed))))


async def one_stream(
    connection: AsyncConnection, analysis_id: str, last_event_id: str | None, silence_s: float
) -> Flow[AnalysisEvent | None]:
    """The events of one stream, as far as it goes; None whenever the service shows that it is there.

    Raises: NothingNew after the last event; ClientError: NotReachable for a stream that is lost, or silent for longer
    than `silence_s`.
    """
    path = f"/v1/analyses/{step(analysis_id)}/events"
    headers = {"Accept": EVENT_STREAM, **({LAST_EVENT_ID: last_event_id} if last_event_id else {})}
    reader = EventReader()
    async with connection.streamed(path, headers, silence_s) as answer:
        if answer.status_code == httpx2.codes.NO_CONTENT:
            raise NothingNew
        if not answer.headers.get("content-type", "").startswith(EVENT_STREAM):
            raise unexpected(connection.address, f"GET {path} is not answered with events")
        try:
            async for piece in answer.aiter_text():
                for event in reader.read(piece):
                    yield event
                yield None
        except NoEvent as error:
            raise unexpected(connection.address, f"GET {path} is answered with {error}") from error
