"""The client makes a call again under its key, over real connections that are lost and refused."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx2
import pytest

from service.client import NotReachable, ProblemReceived
from service.client.asynchronous import connection as asynchronous_connection
from service.client.blocking import connection as blocking_connection
from service.client.repeating import ATTEMPTS, ATTEMPTS_IN_USE, FIRST_PAUSE_S, LONGEST_PAUSE_S, SPREAD, pause_s
from service.estimation.record import as_dict
from service.estimation.spiked_model import model_separation
from service.schemas.idempotency_key import IDEMPOTENCY_KEY
from service.schemas.model import ModelParameters
from tests.driving import KINDS, opened

PARAMETERS = ModelParameters(
    kappa=[1.5], gamma_x=1.0, gamma_y=0.05, gamma_tilde_x=1.0, gamma_tilde_y=5.0, nu=0.6, dx=7, dy=5
)
PAGE = {"items": [], "next_cursor": None}
LOST = None


class Scripted(ThreadingHTTPServer):
    """Answers one call after the other as it was told, and notes what came; None loses the connection."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Call)
        self.answers: list[tuple[int, dict[str, str], dict[str, object]] | None] = []
        self.seen: list[tuple[str | None, bytes]] = []


class Call(BaseHTTPRequestHandler):
    server: Scripted

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.server.seen.append((self.headers[IDEMPOTENCY_KEY], body))
        answer = self.server.answers.pop(0)
        if answer is LOST:
            self.close_connection = True
            return
        status, headers, content = answer
        text = json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/problem+json", **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_PUT = do_DELETE = do_POST

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
    """A client of either kind that does not really wait; `server.pauses` has what it would have waited for."""
    server.pauses = []

    async def note(pause_s: float) -> None:
        server.pauses.append(pause_s)

    monkeypatch.setattr(blocking_connection, "pause", server.pauses.append)
    monkeypatch.setattr(asynchronous_connection, "pause", note)
    with opened(request.param, f"http://127.0.0.1:{server.server_port}") as client:
        yield client


def refused(status: int, code: str = "queue_unavailable", **headers: str):
    problem = {"type": "t", "title": "t", "status": status, "detail": "No.", "code": code, "part": None}
    return status, {name.replace("_", "-"): value for name, value in headers.items()}, problem


def answered():
    return 200, {"Content-Type": "application/json"}, as_dict(model_separation(PARAMETERS.spiked_model()))


def test_a_call_is_made_again_under_its_key_with_the_same_body(client, server):
    server.answers = [LOST, refused(503, Retry_After="2"), refused(429, "rate_limited", Retry_After="0"), answered()]
    client.model_separation(PARAMETERS)
    assert len(set(server.seen)) == 1
    assert len(server.seen[0][0]) == 32
    for pause, least in zip(server.pauses, [FIRST_PAUSE_S, 2, 9 * FIRST_PAUSE_S], strict=True):
        assert least <= pause <= least * (1 + SPREAD)


def test_each_call_has_a_key_of_its_own(client, server):
    server.answers = [answered(), answered()]
    for _ in range(2):
        client.model_separation(PARAMETERS)
    assert len({key for key, _ in server.seen}) == 2


def test_an_upload_is_sent_again_as_a_whole(client, server, tmp_path):
    (tmp_path / "x.npy").write_bytes(b"features of x" * 20_000)
    server.answers = [refused(502), LOST, refused(422, "unpaired_rows")]
    with pytest.raises(ProblemReceived, match="unpaired_rows"):
        client.create_dataset(tmp_path / "x.npy", tmp_path / "x.npy")
    assert len(server.seen) == 3
    assert len({key for key, _ in server.seen}) == 1
    assert all(body.count(b"features of x") == 40_000 for _, body in server.seen)


def test_after_the_last_attempt_the_caller_is_told(client, server):
    server.answers = [refused(503, "store_unavailable")] * ATTEMPTS
    with pytest.raises(ProblemReceived, match="store_unavailable"):
        client.model_separation(PARAMETERS)
    assert server.answers == []
    server.answers = [LOST] * ATTEMPTS
    with pytest.raises(NotReachable, match="disconnected"):
        client.model_separation(PARAMETERS)
    assert server.answers == []


def test_while_the_service_cannot_reach_its_keys_the_last_attempt_is_made_without(client, server):
    server.answers = [*[refused(503)] * ATTEMPTS, answered()]
    client.model_separation(PARAMETERS)
    assert [key is None for key, _ in server.seen] == [False] * ATTEMPTS + [True]
    assert len({body for _, body in server.seen}) == 1
    server.answers = [refused(503)] * (ATTEMPTS + 1)
    with pytest.raises(ProblemReceived, match="queue_unavailable"):
        client.model_separation(PARAMETERS)
    assert server.answers == []


@pytest.mark.parametrize("other", [LOST, refused(502), refused(503, "store_unavailable"), refused(429, "queue_full")])
def test_a_call_that_may_have_been_taken_is_never_made_without_its_key(client, server, other):
    server.answers = [other, *[refused(503)] * (ATTEMPTS - 1)]
    with pytest.raises(ProblemReceived, match="queue_unavailable"):
        client.model_separation(PARAMETERS)
    assert len(server.seen) == ATTEMPTS
    assert len({key for key, _ in server.seen}) == 1


def test_what_changes_nothing_is_asked_again_and_has_no_key(client, server):
    server.answers = [LOST, refused(503, "store_unavailable"), (200, {"Content-Type": "application/json"}, PAGE)]
    assert list(client.datasets()) == []
    assert server.seen == [(None, b"")] * 3
    server.answers = [LOST] * ATTEMPTS
    with pytest.raises(NotReachable, match="disconnected"):
        client.limits()
    assert server.answers == []


def test_a_part_is_sent_again_from_its_start(client, server, tmp_path):
    (tmp_path / "x.npy").write_bytes(b"features of x" * 20_000)
    for source in (tmp_path / "x.npy", b"features of x" * 20_000):
        server.answers, server.seen = [LOST, refused(422, "unreadable_header")], []
        with pytest.raises(ProblemReceived, match="unreadable_header"):
            client.put_part("ds-1", "x", source)
        assert server.seen == [(None, b"features of x" * 20_000)] * 2


def test_a_removal_is_asked_for_once_since_what_is_gone_cannot_be_removed_again(client, server):
    server.answers = [LOST]
    with pytest.raises(NotReachable, match="disconnected"):
        client.delete_dataset("ds-1")
    assert len(server.seen) == 1


def answer(status, retry_after=None, code="c"):
    headers = {} if retry_after is None else {"retry-after": retry_after}
    return httpx2.Response(status, json={"code": code}, headers=headers)


UNTRUSTED = httpx2.ConnectError("tls")
UNTRUSTED.__cause__ = ssl.SSLError(1, "wrong version")


@pytest.mark.parametrize(
    ("found", "pause"),
    [
        (answer(503), FIRST_PAUSE_S),
        (answer(503, "1"), 1),
        (answer(429, str(int(LONGEST_PAUSE_S))), LONGEST_PAUSE_S),
        (answer(429, str(int(LONGEST_PAUSE_S) + 1)), None),
        (answer(503, "Thu, 26 Nov 2026 03:00:00 GMT"), FIRST_PAUSE_S),
        (answer(409, "1", "idempotency_key_in_use"), 1),
        (answer(409, "1", "dataset_incomplete"), None),
        (answer(500), None),
        (answer(422), None),
        (httpx2.ConnectError("refused"), FIRST_PAUSE_S),
        (httpx2.WriteError("reset"), FIRST_PAUSE_S),
        (httpx2.ReadTimeout("late"), None),
        (httpx2.ProxyError("no"), None),
        (UNTRUSTED, None),
    ],
)
def test_what_passes_is_waited_for_and_nothing_else(found, pause):
    assert pause_s(1, found) == pause
    assert pause_s(ATTEMPTS_IN_USE, found) is None
