"""How much of a body is read, call by call."""

from __future__ import annotations

import asyncio

import pytest
from fastapi.testclient import TestClient
from starlette.exceptions import HTTPException

from service.api.app import create_app
from service.api.body_limit import OTHER_BYTES, BodyLimit, is_upload
from service.settings import Settings

FORM = "multipart/form-data"


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        ("POST", "/v1/datasets", FORM),
        ("POST", "/v1/analyses", FORM),
        ("POST", "/v1/datasets/ds-1/label-sets", FORM),
        ("PUT", "/v1/datasets/ds-1/x", "application/octet-stream"),
        ("PUT", "/v1/datasets/ds-1/x", ""),
    ],
)
def test_forms_and_parts_of_datasets_are_uploads(method, path, kind):
    assert is_upload(method, path, kind)


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        ("POST", "/v1/datasets", "application/json"),
        ("POST", "/v1/analyses", "multipart/mixed"),
        ("POST", "/v1/analyses/an-1/cancel", FORM),
        ("POST", "/v1/model/separation", FORM),
        ("POST", "/v1/datasets/ds-1/more/label-sets", FORM),
        ("PUT", "/v1/datasets/ds-1", FORM),
        ("PUT", "/v1/analyses/an-1", FORM),
        ("PUT", "/nothing", FORM),
        ("GET", "/v1/analyses", FORM),
        ("POST", "/v1/datasets/", FORM),
    ],
)
def test_every_other_body_is_read_whole_and_therefore_short(method, path, kind):
    assert not is_upload(method, path, kind)


KINDS = ["application/json", "multipart/form-data; boundary=b", "Multipart/Mixed", "text/plain"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_question_about_the_model_is_refused_when_it_is_long_whatever_it_calls_itself(tmp_path, kind):
    app = create_app(Settings(data_dir=tmp_path / "data", redis_url=f"unix://{tmp_path}/nothing.sock"))
    with TestClient(app, "http://127.0.0.1") as client:
        content, headers = b" " * (OTHER_BYTES + 1), {"Content-Type": kind}
        announced = client.post("/v1/model/separation", content=content, headers=headers)
        streamed = client.post("/v1/model/separation", content=iter([content]), headers=headers)
    for answer in (announced, streamed):
        assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
        assert str(OTHER_BYTES) in answer.json()["detail"]


@pytest.mark.parametrize("kind", KINDS)
def test_no_more_than_the_limit_is_taken_of_a_body_without_end(kind):
    taken = 0
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/model/separation",
        "headers": [(b"content-type", kind.encode())],
    }

    async def receive():
        return {"type": "http.request", "body": b" " * (64 * 1024), "more_body": True}

    async def reads_everything(scope, receive, send):
        nonlocal taken
        while True:
            taken += len((await receive())["body"])

    with pytest.raises(HTTPException, match=str(OTHER_BYTES)):
        asyncio.run(BodyLimit(reads_everything, max_upload_bytes=2**31)(scope, receive, None))
    assert taken == OTHER_BYTES
