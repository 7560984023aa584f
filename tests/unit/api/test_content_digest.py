"""Content-Digest: verified on every body that is read, and what does not match is never kept."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from service.api.app import create_app
from service.schemas.content_digest import content_digest
from service.settings import Settings
from tests.e2e.samples import Sample, npy

X = npy(Sample().x)
QUESTION = json.dumps(
    {"kappa": [2.0], "gamma_x": 1, "gamma_y": 1, "gamma_tilde_x": 1, "gamma_tilde_y": 1, "nu": 0.5, "dx": 3, "dy": 2}
).encode()
FORM = "multipart/form-data; boundary=b"


def digest(content: bytes, name: str = "sha-256") -> str:
    value = hashlib.new(name.replace("-", ""), content).digest()
    return f"{name}=:{base64.b64encode(value).decode()}:"


def form(part_headers: str = "", **files: bytes) -> bytes:
    parts = [
        f'--b\r\nContent-Disposition: form-data; name="{name}"; filename="{name}"\r\n{part_headers}\r\n'.encode()
        + content
        for name, content in files.items()
    ]
    return b"\r\n".join([*parts, b"--b--\r\n"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("api")


@pytest.fixture(scope="module")
def http(folder: Path) -> Iterator[TestClient]:
    app = create_app(Settings(data_dir=folder / "data", redis_url=f"unix://{folder}/nothing.sock"))
    with TestClient(app, "http://127.0.0.1") as client:
        yield client


@pytest.fixture
def address(http) -> Iterator[str]:
    opened = f"/v1/datasets/{http.post('/v1/datasets', json={}).json()['id']}"
    yield opened
    http.delete(opened)


WRONG = digest(b"other bytes")
FITTING = [
    digest(X),
    digest(X, "sha-512"),
    f"{digest(X)}, {digest(X, 'sha-512')}",
    f"md5=:AAAA:, unixsum=:AA==:, {digest(X)}",
    "md5=:AAAA:",
    "sha=:AAAA:;q=1",
    "",
]
MALFORMED = [
    "sha-256",
    "sha-256=abc",
    "sha-256=:AAAA:",
    f"sha-256={hashlib.sha256(X).hexdigest()}",
    "sha-256=:A*A=:",
    "SHA-256=:AAAA:",
    digest(X)[:-1],
    digest(X) + ",",
    'sha-256=("a" "b")',
    "md5=1",
    "sha-256=\u00e4".encode("latin-1"),
]


@pytest.mark.parametrize("said", FITTING)
def test_a_part_with_its_digest_is_kept(http, address, said):
    answer = http.put(f"{address}/x", content=X, headers={"Content-Digest": said})
    assert answer.status_code == 200, answer.text
    assert answer.json()["missing_parts"] == ["y"]


@pytest.mark.parametrize(
    "said", [WRONG, digest(X + b"\0"), f"{digest(X)}, {digest(b'', 'sha-512')}"], ids=["other", "longer", "one-of-two"]
)
def test_a_part_that_is_not_what_its_digest_says_is_not_kept(http, folder, address, said):
    answer = http.put(f"{address}/x", content=iter([X[:1000], X[1000:]]), headers={"Content-Digest": said})
    assert (answer.status_code, answer.json()["code"]) == (400, "digest_mismatch")
    assert http.get(address).json()["missing_parts"] == ["x", "y"]
    assert list((folder / "data/tmp").iterdir()) == []
    again = http.put(f"{address}/x", content=X, headers={"Content-Digest": digest(X)})
    assert again.status_code == 200


@pytest.mark.parametrize("said", MALFORMED)
def test_a_digest_that_cannot_be_read_is_refused(http, address, said):
    answer = http.put(f"{address}/x", content=X, headers={"Content-Digest": said})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_digest")
    assert http.get(address).json()["missing_parts"] == ["x", "y"]


def test_digests_may_stand_in_several_lines(http, address):
    lines = [("Content-Digest", "md5=:AAAA:"), ("Content-Digest", WRONG)]
    assert http.put(f"{address}/x", content=X, headers=lines).json()["code"] == "digest_mismatch"


@pytest.mark.parametrize("call", ["/v1/datasets", "/v1/analyses"])
def test_a_form_is_verified_as_a_whole_and_nothing_of_it_is_kept(http, folder, call):
    parts = {"x": X, "y": npy(Sample().y)} | ({"labels": Sample().labels_csv()} if call == "/v1/analyses" else {})
    body = form(**parts)
    before = http.get("/v1/datasets").json()
    answer = http.post(call, content=body, headers={"Content-Type": FORM, "Content-Digest": WRONG})
    assert (answer.status_code, answer.json()["code"]) == (400, "digest_mismatch")
    assert http.get("/v1/datasets").json() == before
    assert list((folder / "data/tmp").iterdir()) == []


def test_a_form_with_its_digest_is_taken(http):
    body = form(x=X, y=npy(Sample().y))
    answer = http.post("/v1/datasets", content=body, headers={"Content-Type": FORM, "Content-Digest": digest(body)})
    assert answer.status_code == 201, answer.text


@pytest.mark.parametrize(
    ("said", "code"), [(digest(X), None), (WRONG, "digest_mismatch"), ("sha-256=1", "invalid_digest")]
)
def test_a_part_of_a_form_may_have_a_digest_of_its_own(http, folder, said, code):
    before = http.get("/v1/datasets").json()["items"]
    body = form(f"Content-Digest: {said}\r\n", x=X, y=X)
    answer = http.post("/v1/datasets", content=body, headers={"Content-Type": FORM})
    if code is None:
        assert answer.status_code == 201, answer.text
    else:
        assert (answer.status_code, answer.json()["code"], answer.json()["part"]) == (400, code, "x")
        assert http.get("/v1/datasets").json()["items"] == before
        assert list((folder / "data/tmp").iterdir()) == []


@pytest.mark.parametrize(("call", "body"), [("/v1/model/separation", QUESTION), ("/v1/datasets", b"{}")])
@pytest.mark.parametrize(("said", "code"), [(WRONG, "digest_mismatch"), ("sha-256=1", "invalid_digest")])
def test_json_is_verified_alike(http, call, body, said, code):
    headers = {"Content-Type": "application/json"}
    assert http.post(call, content=body, headers=headers | {"Content-Digest": digest(body)}).is_success
    answer = http.post(call, content=body, headers=headers | {"Content-Digest": said})
    assert (answer.status_code, answer.json()["code"]) == (400, code)


@pytest.mark.parametrize(("said", "code"), [(WRONG, "digest_mismatch"), ("sha-256=1", "invalid_digest")])
def test_a_body_that_is_not_there_is_verified_alike(http, said, code):
    dataset = http.post("/v1/datasets", json={}).headers["Location"]
    answer = http.delete(dataset, headers={"Content-Digest": said})
    assert (answer.status_code, answer.json()["code"]) == (400, code)
    assert http.get(dataset).is_success
    assert http.delete(dataset, headers={"Content-Digest": digest(b"")}).status_code == 204


def test_what_the_client_writes_is_what_the_rfc_shows():
    """Appendix B.1 of RFC 9530."""
    content = b'{"hello": "world"}\n'
    wanted = "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:"
    assert content_digest(hashlib.sha256(content).digest()) == wanted
