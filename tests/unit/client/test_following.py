"""Waiting for an analysis and following its events, over real connections that are cut and refused."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from service.analyses.analysis import State
from service.client import AnalysisFailed, NotReachable, ProblemReceived, UnexpectedAnswer
from service.client.asynchronous import following as asynchronous_following
from service.client.asynchronous import runtime
from service.client.asynchronous import waiting as asynchronous_waiting
from service.client.blocking import following as blocking_following
from service.client.blocking import waiting as blocking_waiting
from service.client.event_stream import LONGEST_EVENT, EventReader, NoEvent
from service.client.repeating import ATTEMPTS
from tests.driving import KINDS, opened

JSON, EVENTS, PROBLEM = "application/json", "text/event-stream; charset=utf-8", "application/problem+json"
LOST, WHOLE, CUT = None, True, False
WAIT_S = 20


class Scripted(ThreadingHTTPServer):
    """Gives one answer after the other (status, type, body, whether it is whole), and notes what was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Call)
        self.answers: list[tuple[int, str, str, bool] | None] = []
        self.asked: list[tuple[str, str | None]] = []
        self.pauses: list[float] = []


class Call(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Scripted

    def do_GET(self) -> None:
        self.server.asked.append((self.path.rpartition("/")[2], self.headers["Last-Event-ID"]))
        self.close_connection = True
        answer = self.server.answers.pop(0)
        if answer is LOST:
            return
        status, kind, body, is_whole = answer
        self.send_response(status)
        self.send_header("Connection", "close")
        self.send_header("Content-Type", kind)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for piece in (body[: len(body) // 2], body[len(body) // 2 :]):
            if piece:
                self.wfile.write(f"{len(piece.encode()):x}\r\n{piece}\r\n".encode())
        if is_whole:
            self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *arguments: object) -> None:
        """Nothing."""


@pytest.fixture
def server() -> Iterator[Scripted]:
    with Scripted() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(params=KINDS)
def client(request: pytest.FixtureRequest, server: Scripted, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A client of either kind that does not really wait between two calls."""

    async def note(pause_s: float) -> None:
        server.pauses.append(pause_s)

    for module in (blocking_following, blocking_waiting):
        monkeypatch.setattr(module, "pause", server.pauses.append)
    for module in (asynchronous_following, asynchronous_waiting):
        monkeypatch.setattr(module, "pause", note)
    with opened(request.param, f"http://127.0.0.1:{server.server_port}") as client:
        yield client


def analysis(state: str, fraction: float = 0.0) -> dict[str, Any]:
    lacking = "started_at finished_at expires_at error dataset_id label_set_id simulation options inputs queue_position"
    return dict.fromkeys(lacking.split()) | {
        "id": "an-1", "kind": "estimation", "state": state, "progress": {"stage": "s", "fraction": fraction},
        "submitted_at": "2026-11-26T07:00:00Z", "reused": False, "metadata": {"note": "a\u2028b"}, "label_types": {},
        "covariate_types": {}, "understood": {}, "join": None, "label_join": None, "a_newer_field": 1,
        "links": {"self": "/", "report": "/", "dataset": None, "label_set": None},
    }  # fmt: skip


def looked(state: str) -> tuple[int, str, str, bool]:
    return 200, JSON, json.dumps(analysis(state), ensure_ascii=False), WHOLE


def progress(fraction: float, event_id: str) -> str:
    data = {"state": "running", "stage": "posterior", "fraction": fraction, "queue_position": None, "newer": 1}
    return f"event: progress\ndata: {json.dumps(data)}\nid: {event_id}\n\n"


def ended(state: str, event_id: str = "last") -> str:
    return f"event: {state}\ndata: {json.dumps(analysis(state, 1.0), ensure_ascii=False)}\nid: {event_id}\n\n"


def stream(*events: str, whole: bool = WHOLE) -> tuple[int, str, str, bool]:
    return 200, EVENTS, "retry: 2000\n\n:\n\n" + "".join(events), whole


def refused(status: int, code: str) -> tuple[int, str, str, bool]:
    problem = {"type": "t", "title": "t", "status": status, "detail": "No.", "code": code, "part": None}
    return status, PROBLEM, json.dumps(problem), WHOLE


def waited(client: Any) -> tuple[list[tuple[str, float]], list[str]]:
    """How the analysis stood whenever that was shown, and the absences."""
    shown, absences = [], []
    found = client.wait(
        "an-1",
        WAIT_S,
        lambda analysis: shown.append((analysis.progress.stage, analysis.progress.fraction)),
        lambda error: absences.append(type(error).__name__),
    )
    assert found.state is State.SUCCEEDED
    return shown, absences


def test_whoever_waits_is_told_of_progress_and_of_the_end(client, server):
    server.answers = [looked("running"), stream(progress(0.25, "a"), progress(0.5, "b"), ended("succeeded"))]
    assert waited(client) == ([("s", 0.0), ("posterior", 0.25), ("posterior", 0.5), ("s", 1.0)], [])
    assert server.pauses == []


@pytest.mark.parametrize(
    "without", [refused(404, "not_found"), refused(429, "too_many_streams"), (404, "text/html", "", WHOLE)]
)
def test_where_there_are_no_events_waiting_is_looking(client, server, without):
    server.answers = [looked("queued"), without, looked("running"), looked("succeeded")]
    assert waited(client) == ([("s", 0.0)] * 3, [])
    assert [path for path, _ in server.asked] == ["an-1", "events", "an-1", "an-1"]
    assert len(server.pauses) == 2


def test_a_stream_that_is_cut_and_a_service_that_is_away_are_waited_for(client, server):
    server.answers = [
        LOST,
        refused(503, "store_unavailable"),
        looked("running"),
        stream(progress(0.25, "a"), whole=CUT),
        looked("running"),
        stream(progress(0.5, "b"), ended("succeeded")),
    ]
    shown, absences = waited(client)
    assert [fraction for _, fraction in shown] == [0.0, 0.25, 0.0, 0.5, 1.0]
    assert absences == ["NotReachable", "ProblemReceived"]


def test_an_analysis_that_ends_otherwise_is_an_error(client, server):
    server.answers = [looked("running"), stream(ended("cancelled"))]
    with pytest.raises(AnalysisFailed, match="It was cancelled"):
        client.wait("an-1", WAIT_S)
    server.answers = [refused(404, "analysis_not_found")]
    with pytest.raises(ProblemReceived, match="analysis_not_found"):
        client.wait("an-1", WAIT_S)


def test_events_go_on_behind_the_last_one_when_their_stream_is_cut(client, server):
    server.answers = [
        stream(progress(0.25, "a"), whole=CUT),
        LOST,
        stream(progress(0.5, "b")),
        stream(ended("succeeded")),
    ]
    events = list(client.events("an-1"))
    assert [(event.id, event.state, event.fraction) for event in events] == [
        ("a", State.RUNNING, 0.25),
        ("b", State.RUNNING, 0.5),
        ("last", State.SUCCEEDED, 1.0),
    ]
    assert events[-1].analysis.metadata == {"note": "a\u2028b"}
    assert [last_id for _, last_id in server.asked] == [None, "a", "a", "b"]


def test_a_caller_may_stop_to_follow(client, server):
    server.answers = [stream(progress(0.25, "a"), progress(0.5, "b"))]
    events = client.events("an-1", "z")
    assert next(events).id == "a"
    events.close()
    assert server.asked == [("events", "z")]


def test_after_the_last_event_there_is_nothing_new(client, server):
    server.answers = [(204, EVENTS, "", WHOLE)]
    assert list(client.events("an-1", "last")) == []


def test_what_cannot_be_followed_is_an_error(client, server):
    server.answers = [LOST] * ATTEMPTS
    with pytest.raises(NotReachable):
        list(client.events("an-1"))
    assert server.answers == []
    for other in ((200, JSON, "{}", WHOLE), stream("event: progress\ndata: {}\n\n")):
        server.answers = [other]
        with pytest.raises(UnexpectedAnswer, match="GET /v1/analyses/an-1/events is"):
            list(client.events("an-1"))
    server.answers = [refused(404, "analysis_not_found")]
    with pytest.raises(ProblemReceived, match="analysis_not_found"):
        list(client.events("an-1"))


def test_events_are_put_together_from_any_pieces():
    text = "retry: 1\n\n" + progress(0.25, "a") + ": heartbeat\n\nevent: newer\ndata: 1\n\n" + ended("failed", "b")
    for ends in ("\n", "\r\n"):
        whole = text.replace("\n", ends)
        for size in (1, 7, len(whole)):
            reader = EventReader()
            pieces = [whole[place : place + size] for place in range(0, len(whole), size)]
            assert [event.id for piece in pieces for event in reader.read(piece)] == ["a", "b"]


def test_an_event_without_an_end_is_none():
    reader = EventReader()
    assert list(reader.read("x" * LONGEST_EVENT)) == []
    with pytest.raises(NoEvent, match="without an end"):
        list(reader.read("x"))


def test_who_is_cancelled_waits_for_the_thread_that_reads():
    begun, may_end, ended_first = threading.Event(), threading.Event(), []

    def read() -> None:
        begun.set()
        may_end.wait(20)
        ended_first.append("thread")

    async def cancelled() -> None:
        reading = asyncio.create_task(runtime.in_thread(read))
        await asyncio.to_thread(begun.wait, 20)
        reading.cancel()
        asyncio.get_running_loop().call_soon(may_end.set)
        with pytest.raises(asyncio.CancelledError):
            await reading
        ended_first.append("task")

    asyncio.run(cancelled())
    assert ended_first == ["thread", "task"]
