"""Bodies that break off, are too long, or say what does not exist are refused, in the same words for all calls."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import numpy as np
import pytest
from fastapi.testclient import TestClient
from starlette.requests import Request

from service.analyses.errors import UnreadableBody
from service.api.app import create_app
from service.api.form_end import whole_form
from service.schemas.options import OPTIONS_BYTES
from service.settings import Settings
from tests.e2e.samples import Sample, npy

BOUNDARY = "b--b"  # dashes of its own are the hard case
FORM = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """The application with its store; the queue is away."""
    folder = tmp_path_factory.mktemp("api")
    app = create_app(Settings(data_dir=folder / "data", redis_url=f"unix://{folder}/nothing.sock"))
    with TestClient(app, "http://127.0.0.1") as client:
        yield client


def form(**parts: bytes) -> bytes:
    text = b""
    for name, content in parts.items():
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"; filename="{name}"\r\n\r\n'
        text += head.encode() + content + b"\r\n"
    return text + f"--{BOUNDARY}--\r\n".encode()


COMPLETE = form(x=npy(Sample().x), y=npy(Sample().y), groups=npy(np.arange(120) // 2))


def test_a_complete_form_is_taken(http):
    answer = http.post("/v1/datasets", content=COMPLETE, headers=FORM)
    assert answer.status_code == 201, answer.text
    assert answer.json()["groups"] is not None


@pytest.mark.parametrize("missing", [3, 4, 5, 9, 10, 20, 500, len(COMPLETE) // 2])
def test_a_form_that_ends_in_the_middle_is_refused(http, missing):
    """Its last part would else be dropped, and without groups the statistics would be others."""
    answer = http.post("/v1/datasets", content=COMPLETE[:-missing], headers=FORM)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    assert "ends in the middle" in answer.json()["detail"]
    assert answer.json()["part"] is None


def has_come(pieces: list[bytes]) -> bool:
    """Whether a form that comes in these pieces is found to be complete."""
    waiting = list(pieces)

    async def receive():
        return {"type": "http.request", "body": waiting.pop(0), "more_body": bool(waiting)}

    headers = [(name.lower().encode(), value.encode()) for name, value in FORM.items()]
    receive_whole = whole_form(Request({"type": "http", "headers": headers}, receive))

    async def take_all():
        while waiting:
            await receive_whole()

    try:
        asyncio.run(take_all())
    except UnreadableBody:
        return False
    return True


def test_the_end_of_a_form_is_found_wherever_it_is_cut():
    tail = f"bytes\r\n--{BOUNDARY}--\r\nepilogue".encode()
    for first in range(len(tail)):
        assert has_come([tail[:first], b"", tail[first:]])
    assert has_come([tail[place : place + 1] for place in range(len(tail))])
    assert has_come([f"--{BOUNDARY}--".encode()]), "a form without parts"


@pytest.mark.parametrize(
    "text", [f"--{BOUNDARY}-", f"\r\n--{BOUNDARY}\r\n--", f"x--{BOUNDARY}--", "\r\n--b--", f"\n--{BOUNDARY}--"]
)
def test_what_only_looks_like_the_end_is_none(text):
    assert not has_come([b"bytes", text.encode()])


def test_options_that_are_too_long_are_refused_alike_as_text_and_as_file(http):
    long = json.dumps({"label_types": {"c" * (OPTIONS_BYTES + 1): "numeric"}})
    as_text = http.post("/v1/analyses", files=Sample().files(), data={"options": long})
    as_file = http.post("/v1/analyses", files={**Sample().files(), "options": ("options.json", long)})
    for answer in (as_text, as_file):
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
        assert f"{OPTIONS_BYTES} bytes" in answer.json()["detail"]


@pytest.mark.parametrize("charset", ["undefined", "punycode", "unicode_escape", "utf-16"])
def test_texts_of_a_form_are_utf_8_and_nothing_else(http, charset):
    form = b'--b\r\nContent-Disposition: form-data; name="options"\r\n\r\n{}\r\n--b--\r\n'
    kind = {"Content-Type": f"multipart/form-data; boundary=b; charset={charset}"}
    answer = http.post("/v1/analyses", content=form, headers=kind)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    assert "UTF-8" in answer.json()["detail"]


def test_a_form_without_a_boundary_is_told_so(http):
    answer = http.post("/v1/datasets", content=COMPLETE, headers={"Content-Type": "multipart/form-data"})
    assert answer.status_code == 400
    assert "boundary" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("body", "code", "part", "words"),
    [
        ("{", "invalid_request", None, "The body is no JSON: EOF"),
        ("[]", "invalid_request", None, "not one JSON object"),
        ('{"dataset_id": "a"}', "invalid_request", "label_set_id", "Field label_set_id is missing"),
        ('{"dataset": "a"}', "invalid_request", "dataset_id", "Field dataset_id is missing"),
        ('{"options": {"colour": 1}, "dataset_id": "a", "label_set_id": "b"}', "invalid_option", "options", "colour"),
        ('{"options": 1, "dataset_id": "a", "label_set_id": "b"}', "invalid_option", "options", "Field options is"),
        (
            '{"metadata": {"run": 1}, "dataset_id": "a", "label_set_id": "b"}',
            "invalid_metadata",
            "metadata",
            "Field metadata.run is not as described",
        ),
    ],
)
def test_json_that_a_route_reads_itself_is_refused_in_the_words_of_the_framework(http, body, code, part, words):
    answer = http.post("/v1/analyses", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    problem = answer.json()
    assert (problem["code"], problem["part"]) == (code, part)
    assert words in problem["detail"]


def test_a_part_of_a_list_is_named_by_its_field(http):
    problem = http.post("/v1/datasets", json={"parts": ["x", "z"]}).json()
    assert problem["part"] == "parts"
    assert "Field parts[1] is not as described" in problem["detail"]
