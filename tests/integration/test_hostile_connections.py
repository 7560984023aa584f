"""What a stranger can send over a line of his own: no HTTP, heads and bodies that crawl, end early or never end."""

from __future__ import annotations

import json
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
import uvicorn

from service.api.http_protocol import MAX_BESIDE_BODY, MAX_HEAD_BYTES, MAX_PIPELINED
from service.api.server import new_server
from service.settings import Settings
from tests.e2e.samples import Sample, npy

from .waiting import wait_until

SILENCE_S = 1.0
BODY = json.dumps(
    {"kappa": [2.0], "gamma_x": 1, "gamma_y": 1, "gamma_tilde_x": 1, "gamma_tilde_y": 1, "nu": 0.5, "dx": 3, "dy": 2}
).encode()
QUESTION = b"POST /v1/model/separation HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@dataclass(frozen=True)
class Served:
    port: int
    data_dir: Path
    server: uvicorn.Server

    @property
    def lines(self) -> int:
        """Connections that are held."""
        return len(self.server.server_state.connections)

    def send(self, *pieces: bytes, ends: bool = False) -> bytes:
        """All that is answered to these bytes, until the line is cut."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as line:
            for piece in pieces:
                line.sendall(piece)
            if ends:
                line.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: line.recv(65536), b""))

    def files(self) -> list[str]:
        """What is left of uploads."""
        return [path.name for folder in ("tmp", "datasets") for path in (self.data_dir / folder).iterdir()]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The API on a port, impatient; the queue is away."""
    folder, spooled_in = tmp_path_factory.mktemp("api"), tempfile.tempdir
    with socket.create_server(("127.0.0.1", 0)) as listening:
        settings = Settings(
            data_dir=folder / "data",
            redis_url=f"unix://{folder}/nothing.sock",
            max_upload_bytes=300_000,
            body_silence_s=SILENCE_S,
        )
        server = new_server(settings)
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        wait_until(lambda: server.started, 10)
        yield Served(listening.getsockname()[1], folder / "data", server)
        server.should_exit = True
        thread.join(15)
        tempfile.tempdir = spooled_in


def problem(answer: bytes) -> tuple[int, str]:
    """Status and code of the one answer that a line had before it was cut."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json" in head.lower(), answer
    assert b"connection: close" in head.lower()
    found = json.loads(body)
    assert found["status"] == int(head.split()[1])
    assert found["type"].endswith(found["code"])
    return found["status"], found["code"]


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /v1/limits HTTP/1.1\r\nHost: localhost\r\nA b: c\r\n\r\n",
        QUESTION + b"Content-Length: -5\r\n\r\n",
        QUESTION + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n{}",
        QUESTION + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        QUESTION + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\nzz\r\n",
    ],
    ids=["words", "tls", "name", "negative", "two-lengths", "smuggling", "chunks"],
)
def test_what_is_no_http_is_told_so_in_a_problem(served, sent):
    assert problem(served.send(sent)) == (400, "not_http")
    assert served.files() == []


@pytest.mark.parametrize(
    "begun", [b"", b"G", b"GET /v1/limits HTTP/1.1\r\nHost: localhost\r\n"], ids=["nothing", "letter", "half"]
)
def test_a_head_that_does_not_come_is_not_waited_for(served, begun):
    assert problem(served.send(begun)) == (408, "head_too_slow")


def test_a_second_head_is_not_waited_for_either(served):
    whole = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    first, _, second = served.send(whole, b"GET /healthz").partition(b"HTTP/1.1 408")
    assert b"200 OK" in first
    assert b"head_too_slow" in second


@pytest.mark.parametrize(
    "line",
    [
        b"/" * (16 * MAX_HEAD_BYTES),
        b"/ HTTP/1.1\r\nA: " + b"b" * (16 * MAX_HEAD_BYTES),
        b"/ HTTP/1.1\r\n" + b"A: b\r\n" * 150_000,
    ],
    ids=["address", "header", "headers"],
)
@pytest.mark.parametrize("end", [b"", b" HTTP/1.1\r\n\r\n", b"\r\n\r\n"], ids=["endless", "line", "whole"])
def test_a_head_without_measure_is_refused(served, line, end):
    sent = b"GET " + line + end
    pieces = [sent[at : at + 8192] for at in range(1000, len(sent), 8192)]
    assert problem(served.send(sent[:1000], *pieces)) == (431, "head_too_large")


def test_a_head_of_common_size_is_taken_however_it_is_cut(served):
    sent = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nCookie: " + b"c" * 20_000 + b"\r\n\r\n"
    assert b"200 OK" in served.send(*(sent[at : at + 500] for at in range(0, len(sent), 500)))


def test_a_body_that_falls_silent_is_not_waited_for(served):
    assert problem(served.send(QUESTION + b"Content-Length: 500\r\n\r\n" + BODY)) == (408, "body_too_slow")


def form(name: bytes = b"x", content: bytes = b"") -> bytes:
    return b'--b\r\nContent-Disposition: form-data; name="%s"; filename="../../x"\r\n\r\n%s' % (name, content)


FORM = b"POST /v1/datasets HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\n"
UPLOAD = form(content=npy(Sample().x) + b"x" * 100_000)


def test_an_upload_that_falls_silent_leaves_nothing(served):
    assert problem(served.send(FORM + b"Content-Length: 250000\r\n\r\n" + UPLOAD)) == (408, "body_too_slow")
    assert served.files() == []


def opened(served: Served) -> str:
    """The address of an open dataset."""
    answer = httpx2.post(f"http://127.0.0.1:{served.port}/v1/datasets", json={})
    return f"/v1/datasets/{answer.json()['id']}"


def test_a_part_that_falls_silent_or_breaks_off_is_not_kept(served):
    address = opened(served)
    put = f"PUT {address}/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000\r\n\r\n".encode() + npy(Sample().x)
    try:
        assert problem(served.send(put)) == (408, "body_too_slow")
        assert served.send(put, ends=True) == b"", "nobody is there any more"
        dataset = httpx2.get(f"http://127.0.0.1:{served.port}{address}").json()
        assert dataset["missing_parts"] == ["x", "y"]
        wait_until(lambda: [name for name in served.files() if not name.startswith("ds-")] == [], 10)
    finally:
        httpx2.delete(f"http://127.0.0.1:{served.port}{address}")


def test_a_body_that_is_longer_than_declared_is_the_declared_one_and_the_line_is_cut(served):
    answer = served.send(QUESTION + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY + b" and more of it\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 OK"), answer
    assert answer.count(b"HTTP/1.1") == 1
    cut = served.send(QUESTION + b"Content-Length: 10\r\n\r\n" + BODY)
    assert b"The body is no JSON" in cut


def test_chunks_without_end_are_refused_at_the_limit(served):
    chunk = b"%x\r\n" % 10_000 + b"x" * 10_000 + b"\r\n"
    head = FORM + b"Transfer-Encoding: chunked\r\n\r\n"
    begin = b"%x\r\n" % len(UPLOAD) + UPLOAD + b"\r\n"
    answer = served.send(head, begin, *[chunk] * 100, b"0\r\n\r\n", b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"body_too_large" in answer
    assert served.files() == []


def test_an_upload_whose_chunks_break_is_refused_and_leaves_nothing(served):
    sent = FORM + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(UPLOAD) + UPLOAD + b"\r\nzz\r\n"
    assert problem(served.send(sent)) == (400, "not_http")
    wait_until(lambda: served.files() == [], 5)


HEADERS = b"".join(b"X-%d: a\r\n" % number for number in range(5000))


@pytest.mark.parametrize(
    "body",
    [
        b"x" * 200_000,
        b"--b\r\n" + HEADERS,
        b"--b\r\nContent-Disposition: " + b"a" * 200_000,
        form(b"n" * 200_000),
        b"\r\n".join(form(b"%d" % number) for number in range(3000)),
        b"\r\n".join(b'--b\r\nContent-Disposition: form-data; name="options"\r\n\r\n{}' for _ in range(3000)),
        b'--b\r\nContent-Disposition: form-data; name="options"\r\n\r\n' + b"{" * 200_000,
    ],
    ids=["no-boundary", "headers", "header", "name", "files", "texts", "text"],
)
def test_forms_without_measure_are_refused_and_leave_nothing(served, body):
    address = f"http://127.0.0.1:{served.port}/v1/analyses"
    answer = httpx2.post(address, content=body, headers={"Content-Type": "multipart/form-data; boundary=b"})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    assert len(answer.content) < 2000
    assert served.files() == []


CHUNKED = QUESTION + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNKED += b"%x\r\n%s\r\n0\r\n" % (len(BODY), BODY)
LOOK = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
LAST_LOOK = LOOK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")


def test_trailers_count_for_nothing(served):
    """Neither one that names another host nor one that names the request."""
    trailers = b"Host: evil.example\r\nX-Request-ID: of-a-trailer\r\n\r\n"
    answer = served.send(CHUNKED + trailers)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"of-a-trailer" not in answer


@pytest.mark.parametrize("piece", [b"a: b\r\n", b"a" * 1000], ids=["many", "one"])
def test_trailers_without_end_are_refused(served, piece):
    beside = piece * (16 * MAX_BESIDE_BODY // len(piece))
    start = QUESTION + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n"
    assert problem(served.send(start, beside[:MAX_BESIDE_BODY], beside[MAX_BESIDE_BODY:])) == (400, "body_overhead")


def test_chunk_extensions_without_end_are_refused(served):
    start = QUESTION + b"Transfer-Encoding: chunked\r\n\r\n2;"
    extension = b"a" * (16 * MAX_BESIDE_BODY)
    assert problem(served.send(start, extension[:1000], extension[1000:])) == (400, "body_overhead")


def test_a_coding_that_nobody_knows_is_not_taken_for_the_body(served):
    coded = QUESTION + b"Transfer-Encoding: gzip, chunked\r\n\r\n"
    assert problem(served.send(coded)) == (501, "unknown_transfer_coding")


def test_of_requests_without_end_on_one_line_few_are_taken(served):
    with socket.create_connection(("127.0.0.1", served.port), timeout=20) as line:
        with suppress(ConnectionError):  # it is cut while they are sent
            line.sendall(LOOK * 5000)
        answers = b""
        with suppress(ConnectionError):
            while piece := line.recv(65536):
                answers += piece
    assert 1 <= answers.count(b"HTTP/1.1 200 ") <= MAX_PIPELINED + 1
    assert b"connection: close" in answers.lower()


def test_a_few_requests_on_one_line_are_all_answered(served):
    assert served.send(LOOK * 9 + LAST_LOOK).count(b"HTTP/1.1 200 ") == 10


def test_who_does_not_read_his_answers_is_let_go(served):
    wait_until(lambda: served.lines == 0, 20)
    line = socket.socket()
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    line.connect(("127.0.0.1", served.port))
    with line:
        line.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * MAX_PIPELINED)
        wait_until(lambda: served.lines == 1, 5)
        wait_until(lambda: served.lines == 0, 10 * SILENCE_S)


def test_there_are_so_many_connections_and_no_more(served, monkeypatch):
    monkeypatch.setattr(served.server.config.http_protocol_class, "max_connections", 3)
    wait_until(lambda: served.lines == 0, 20)
    held = [socket.create_connection(("127.0.0.1", served.port)) for _ in range(3)]
    try:
        wait_until(lambda: served.lines == 3, 5)
        assert problem(served.send()) == (503, "too_many_connections")
    finally:
        for line in held:
            line.close()
    wait_until(lambda: served.lines == 0, 5)
    assert served.send(LAST_LOOK).startswith(b"HTTP/1.1 200 ")
