"""What a stranger may send: every input with the status and the code that it must be answered with."""

from __future__ import annotations

import io
import json
import pickle
import socket
import struct
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.client import HTTPResponse
from typing import Any
from urllib.parse import urlsplit

import httpx2
import numpy as np

from benchmarks import hostile_formats

SILENCE_S = 2.0
SETTINGS = {
    "PHASEGATE_BODY_SILENCE_S": str(SILENCE_S),
    "PHASEGATE_MAX_UPLOAD_BYTES": str(48 * 1024**2),
    "PHASEGATE_WORKERS": "1",
    "PHASEGATE_MAX_CONCURRENT_UPLOADS": "1000",
    "PHASEGATE_RATE_PER_MINUTE": "100000",
}
"""Of the service that these inputs are meant for: impatient, so that nobody waits, of modest size, and open to many."""

SOME_MB = 24_000_000
BOUNDARY = "b"
FORM = f"multipart/form-data; boundary={BOUNDARY}"
MODEL = {"gamma_x": 1, "gamma_y": 1, "gamma_tilde_x": 1, "gamma_tilde_y": 1, "nu": 0.5, "dx": 3, "dy": 2}


@dataclass(frozen=True)
class Answer:
    """What came back: `code` is that of a problem, "" without one."""

    status: int
    code: str


Send = Callable[[httpx2.Client], Answer]


@dataclass(frozen=True)
class Hostile:
    """An input, and the answer that it must have."""

    name: str
    send: Send
    status: int
    code: str


def inputs() -> Iterator[Hostile]:
    """All of them, made when they are asked for: some are large."""
    yield from _arrays()
    yield from _tables()
    for name, content, status, code in hostile_formats.features():
        yield Hostile(name, _put(content), status, code)
    for name, content, status, code in hostile_formats.tables():
        yield Hostile(name, _labels(content), status, code)
    yield from _json()
    yield from _bodies()
    yield from _lines()


def npy(values: np.ndarray[Any, Any]) -> bytes:
    """A .npy file; objects are pickled."""
    file = io.BytesIO()
    np.save(file, values, allow_pickle=values.dtype.hasobject)
    return file.getvalue()


def sample() -> dict[str, bytes]:
    """Parts of an upload that can be analysed."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((120, 6))
    return {"x": npy(x), "y": npy(x[:, :4] + rng.standard_normal((120, 4))), "labels": npy(x[:, 0])}


def _headed(header: str, data: bytes = b"", version: int = 1, length: int | None = None) -> bytes:
    text = header.encode()
    announced = len(text) if length is None else length
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H" if version == 1 else "<I", announced) + text + data


def _shaped(shape: str, descr: str = "<f8") -> str:
    return f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}}}"


def _arrays() -> Iterator[Hostile]:
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("x.npy", "w") as member:
        for _ in range(1000):
            member.write(bytes(1_000_000))
    records = np.array([("a", 1)], dtype=[("name", "U2"), ("n", "i4")])
    whole = npy(np.zeros((1000, 100)))
    refused = {
        "array of objects": (npy(np.array([{}], dtype=object)), "npy_pickled"),
        "pickle": (pickle.dumps([0] * 1000), "npy_pickled"),
        ".npz of no arrays": (bomb.getvalue(), "invalid_npy"),
        "header claims 2^60 numbers": (_headed(_shaped(f"({2**60},)")), "npy_impossible_size"),
        "header claims 10^6000 numbers": (_headed(_shaped(f"({10**3000}, {10**3000})")), "npy_impossible_size"),
        "header longer than the file": (_headed("{", length=60_000), "npy_header_beyond_file"),
        "header of 24 MB": (_headed(" " * SOME_MB, version=2), "npy_header_too_long"),
        "header of parentheses": (_headed("(" * 9000), "npy_header_unreadable"),
        "version 3.0": (_headed(_shaped("(1,)"), bytes(8), 3), "npy_version"),
        "records": (npy(records), "npy_records"),
        "four dimensions": (npy(np.zeros((2, 2, 2, 2))), "npy_too_many_dimensions"),
        "no dimension": (npy(np.array(1.0)), "npy_scalar"),
        "no values": (npy(np.zeros((0, 4_000_000))), "npy_empty"),
        "truncated array": (whole[:-1000], "npy_truncated"),
        "array and more": (whole + bytes(1000), "npy_trailing_bytes"),
        "text without lines": (b"hello" * 1000, "csv_empty"),
        "no format": (b"\x00hello" * 1000, "unknown_format"),
        "empty file": (b"", "npy_empty"),
    }
    for name, (content, code) in refused.items():
        yield Hostile(name, _put(content), 422, code)
    table = np.arange(480.0).reshape(120, 4)
    yield Hostile("Fortran order", _put(npy(np.asfortranarray(table))), 200, "")
    yield Hostile("big-endian", _put(npy(table.astype(">f8"))), 200, "")
    wide = npy(np.zeros((1, 20_000_000), dtype=bool))
    yield Hostile("labels of 20 million columns", _labels(wide), 422, "too_many_label_targets")


def _tables() -> Iterator[Hostile]:
    rows = b"".join(b"1\n" for _ in range(120))
    refused = {
        "not UTF-8": (b"a\n\xff\xfe" + rows, "csv_encoding"),
        "control characters": (b"a\x1b[2J\n" + rows, "csv_control_characters"),
        "a million columns": (b",".join(b"c%d" % place for place in range(1_000_000)) + b"\n", "csv_too_many_columns"),
        "line without end": (b"x" * SOME_MB, "csv_line_too_long"),
        "quote without end": (b'a\n"' + b"x\n" * (SOME_MB // 2), "csv_field_too_long"),
        "open quote": (b'a\n"1', "csv_quote"),
        "long field": (b"a\n" + b"x" * 2000 + b"\n", "csv_field_too_long"),
        "ragged": (b"a,b\n" + rows, "csv_ragged"),
        "repeated column": (b"a,a\n1,2\n", "csv_repeated_column"),
        "number of 5000 digits": (b"a\n" + b"9" * 900 + b"\n" + rows, "csv_number"),
    }
    for name, (content, code) in refused.items():
        yield Hostile(name, _labels(content), 422, code)
    yield Hostile("three million lines", _labels(b"a\n" + b"1\n" * 3_000_000), 413, "labels_too_large")


def _json() -> Iterator[Hostile]:
    refused = {
        "a million brackets": (b"[" * 1_000_000, "json_too_deep"),
        "300 thousand objects": (b"[" + b"{}," * 300_000 + b"{}]", "json_too_large"),
        "100 thousand names, one twice": (_names(100_000), "json_too_large"),
        "19 thousand names, one twice": (_names(19_000), "invalid_request"),
        "number of a million digits": (b'{"kappa": ' + b"9" * 1_000_000 + b"}", "json_number"),
        "NaN": (b'{"kappa": [NaN]}', "json_number"),
        "name said twice": (b'{"kappa": [1], "kappa": [2]}', "invalid_request"),
        "half a character": (b'{"\\ud800": 1}', "invalid_request"),
        "19 thousand wrong values": (json.dumps({**MODEL, "kappa": ["a"] * 19_000}).encode(), "invalid_request"),
        "long unknown name": (json.dumps({"k" * 900_000: 1}).encode(), "invalid_request"),
    }
    for name, (content, code) in refused.items():
        yield Hostile(name, _post("/v1/model/separation", content, "application/json"), 422, code)
    yield Hostile("2 MB of JSON", _post("/v1/analyses", b" " * 2_000_000, "application/json"), 413, "body_too_large")


def _names(count: int) -> bytes:
    names = [f'"{number:x}":0' for number in range(count)]
    return f"{{{','.join([*names, names[-1]])}}}".encode()


def _part(name: bytes, content: bytes = b"") -> bytes:
    return b'--b\r\nContent-Disposition: form-data; name="%s"; filename="../../%s"\r\n\r\n%s' % (name, name, content)


def _bodies() -> Iterator[Hostile]:
    refused = {
        "form without a boundary": b"x" * SOME_MB,
        "part with headers without end": b"--b\r\n" + b"A: b\r\n" * (SOME_MB // 6),
        "part header without end": b"--b\r\nContent-Disposition: " + b"a" * SOME_MB,
        "part name of 24 MB": _part(b"n" * SOME_MB),
        "200 thousand parts": b"\r\n".join([_part(b"x", b"1")] * 200_000),
        "form that ends in the middle": _part(b"x", bytes(SOME_MB)),
    }
    for name, content in refused.items():
        yield Hostile(name, _post("/v1/analyses", content, FORM), 400, "invalid_request")
    large = npy(np.zeros(SOME_MB // 8))
    wrong = {"Content-Digest": "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:"}
    yield Hostile("24 MB of another digest", _put(large, wrong), 400, "digest_mismatch")
    yield Hostile("digest that is none", _put(large, {"Content-Digest": "sha-256=abc"}), 400, "invalid_digest")
    yield Hostile("200 MB, announced", _put(bytes(200_000_000)), 413, "body_too_large")


def _lines() -> Iterator[Hostile]:
    """What needs a line of its own."""
    post = b"POST /v1/datasets HTTP/1.1\r\nHost: localhost\r\nContent-Type: " + FORM.encode() + b"\r\n"
    begun = _part(b"x", npy(np.zeros((1000, 8))))
    chunk = b"%x\r\n" % 1_000_000 + bytes(1_000_000) + b"\r\n"
    chunked = post + b"Transfer-Encoding: chunked\r\n\r\n" + b"%x\r\n" % len(begun) + begun + b"\r\n"
    yield Hostile("chunks without end", _line(chunked, *[chunk] * 100), 413, "body_too_large")
    yield Hostile("chunks that break", _line(chunked + b"zz\r\n"), 400, "not_http")
    shorter = post + b"Content-Length: 1000000\r\n\r\n" + begun
    yield Hostile("body shorter than declared", _line(shorter), 408, "body_too_slow")
    yield Hostile("body that breaks off", _line(shorter, breaks_off=True), 0, "")
    yield Hostile("a byte now and then", _line(shorter, *[b"0"] * 20, pause_s=0.4 * SILENCE_S), 408, "body_too_slow")
    longer = post + b"Content-Length: 100\r\n\r\n" + begun
    yield Hostile("body longer than declared", _line(longer), 400, "invalid_request")
    yield Hostile("head that does not end", _line(b"GET / HTTP/1.1\r\nA: "), 408, "head_too_slow")
    yield Hostile("head of 24 MB", _line(b"GET / HTTP/1.1\r\n", *[b"A: b\r\n" * 10_000] * 400), 431, "head_too_large")
    yield Hostile("address of 24 MB", _line(b"GET /", *[b"a" * 60_000] * 400), 431, "head_too_large")
    yield Hostile("no HTTP", _line(bytes(range(256)) * 100), 400, "not_http")
    smuggled = post + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    yield Hostile("two lengths", _line(smuggled), 400, "not_http")
    yield Hostile("200 silent lines at once", _silent_lines(shorter, 200), 408, "body_too_slow")


def _post(path: str, content: bytes, kind: str) -> Send:
    return lambda http: _told(http.post(path, content=content, headers={"Content-Type": kind}))


def _put(content: bytes, headers: dict[str, str] | None = None) -> Send:
    def send(http: httpx2.Client) -> Answer:
        address = http.post("/v1/datasets", json={}).headers["location"]
        answer = _told(http.put(f"{address}/x", content=content, headers=headers))
        http.delete(address)
        return answer

    return send


def _labels(content: bytes) -> Send:
    files = {part: (part, data) for part, data in {**sample(), "labels": content}.items()}
    return lambda http: _told(http.post("/v1/analyses", files=files))


def _told(answer: httpx2.Response) -> Answer:
    return Answer(answer.status_code, "" if answer.is_success else answer.json()["code"])


def _open(http: httpx2.Client) -> socket.socket:
    address = urlsplit(str(http.base_url))
    return socket.create_connection((address.hostname, address.port), timeout=30)


def _line(*pieces: bytes, pause_s: float = 0.0, breaks_off: bool = False) -> Send:
    def send(http: httpx2.Client) -> Answer:
        with _open(http) as line:
            try:
                for piece in pieces:
                    line.sendall(piece)
                    time.sleep(pause_s)
            except (BrokenPipeError, ConnectionResetError):
                pass  # it has been answered, and the line is cut
            if breaks_off:
                return Answer(0, "")
            return _first_answer(line)

    return send


def _silent_lines(sent: bytes, count: int) -> Send:
    def send(http: httpx2.Client) -> Answer:
        lines = [_open(http) for _ in range(count)]
        for line in lines:
            line.sendall(sent)
        answers = {_first_answer(line) for line in lines}
        for line in lines:
            line.close()
        return answers.pop() if len(answers) == 1 else Answer(0, f"{len(answers)} answers")

    return send


def _first_answer(line: socket.socket) -> Answer:
    answer = HTTPResponse(line)
    answer.begin()
    return Answer(answer.status, "" if answer.status < 400 else json.loads(answer.read())["code"])
