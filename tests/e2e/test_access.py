"""Keys, tenants and addresses on the whole service, as an operator and a stranger have it."""

import json
import socket
import time
from pathlib import Path

import httpx2
import numpy as np
import pytest

from service.access.ring import REMEMBERED_S
from tests.e2e.conftest import Running, start, stop
from tests.e2e.samples import Sample
from tests.e2e.test_command_line import Shell, refused

UPLOAD = ("x.npy", "y.npy", "--labels", "labels.csv", "--rows", "rows.npy", "--options", '{"method": "reference"}')
READY = ("--scope", "submit", "--scope", "read")
FLAG = "--let-anyone-on-the-network-use-this-service"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """A service that requires keys, and so may listen on every address."""
    service = start(
        tmp_path_factory.mktemp("guarded") / "data",
        *("--workers", "1", "--host", "0.0.0.0"),
        PHASEGATE_REQUIRE_KEYS="true",
        FORWARDED_ALLOW_IPS="*",
    )
    yield service
    assert stop(service) == 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("upload")
    sample = Sample(seed=41)
    for name in ("x", "y", "rows"):
        np.save(folder / f"{name}.npy", getattr(sample, name))
    (folder / "labels.csv").write_bytes(sample.labels_csv())
    return folder


@pytest.fixture
def phasegate(guarded, folder) -> Shell:
    return Shell(folder, guarded.address)


def new_key(phasegate: Shell, guarded: Running, *options: str) -> str:
    made = phasegate("keys", "create", "--name", "ci", *options, PHASEGATE_DATA_DIR=str(guarded.data_dir))
    assert made.returncode == 0, made.stderr
    return made.stdout.strip()


def log_of(guarded: Running) -> list[dict]:
    text = (guarded.data_dir.parent / f"{guarded.data_dir.name}.log").read_text()
    return [json.loads(line) for line in text.split("\n")[:-1] if line.startswith("{")]


def status(guarded: Running, key: str | None, **headers: str) -> int:
    head = {"Authorization": f"Bearer {key}"} if key else {}
    return httpx2.get(f"{guarded.address}/v1/limits", headers=head | headers).status_code


def test_from_a_new_key_to_a_report_on_the_command_line(phasegate, guarded):
    key = new_key(phasegate, guarded, *READY, "--tenant", "vision")
    report = phasegate("submit", *UPLOAD, "--wait", "--json", PHASEGATE_API_KEY=key)
    assert report.returncode == 0, report.stderr
    assert json.loads(report.stdout)["method"] == "reference"
    listed = json.loads(phasegate("list", "--json", PHASEGATE_API_KEY=key).stdout)
    assert len(listed) == 1
    other = new_key(phasegate, guarded, *READY, "--tenant", "audio")
    assert json.loads(phasegate("list", "--json", PHASEGATE_API_KEY=other).stdout) == []
    for command in ("report", "cancel"):
        said = refused(phasegate(command, listed[0]["id"], PHASEGATE_API_KEY=other), 2)
        assert "[analysis_not_found]" in said


def test_a_command_without_a_key_or_without_its_scope_says_what_to_do(phasegate, guarded):
    said = refused(phasegate("list"), 2)
    assert "[unauthenticated]" in said
    assert "phasegate keys create" in said
    assert "PHASEGATE_API_KEY" in said
    reader = new_key(phasegate, guarded, "--scope", "read")
    assert "needs the scope `submit`" in refused(phasegate("submit", *UPLOAD, PHASEGATE_API_KEY=reader), 2)


def test_a_revoked_key_stops_counting_without_a_restart(phasegate, guarded):
    key = new_key(phasegate, guarded, "--scope", "read", "--expires-in", "1")
    assert status(guarded, key) == 200
    data_dir = {"PHASEGATE_DATA_DIR": str(guarded.data_dir)}
    listed = json.loads(phasegate("keys", "list", "--json", **data_dir).stdout)
    (found,) = [entry for entry in listed if entry["id"] == key.split("_")[1]]
    assert (found["scopes"], found["revoked_at"]) == (["read"], None)
    assert found["expires_at"] is not None
    assert phasegate("keys", "revoke", found["id"], **data_dir).returncode == 0
    revoked_at = time.monotonic()
    while status(guarded, key) == 200:
        assert time.monotonic() - revoked_at < REMEMBERED_S + 5
        time.sleep(0.1)
    assert "revoked" in phasegate("keys", "list", **data_dir).stdout
    refused(phasegate("keys", "revoke", "0" * 12, **data_dir), 2)


def audited(running: Running, request_id: str) -> dict:
    """The audit line of a request, which is written when its answer has gone."""
    until = time.monotonic() + 10
    while True:
        for line in log_of(running):
            if line["event"] == "audit" and line.get("request_id") == request_id:
                return line
        assert time.monotonic() < until, "no line"
        time.sleep(0.02)


def test_the_audit_log_has_who_has_connected_and_no_secret(phasegate, guarded):
    key = new_key(phasegate, guarded, *READY)
    head = {"Authorization": f"Bearer {key}", "X-Request-ID": "audited-1"}
    claims = {"X-Forwarded-For": "203.0.113.9", "X-Real-IP": "203.0.113.9", "Forwarded": "for=203.0.113.9"}
    answer = httpx2.post(f"{guarded.address}/v1/datasets", json={}, headers=head | claims)
    assert answer.status_code == 201
    assert status(guarded, None, **claims, **{"X-Request-ID": "audited-2"}) == 401
    done, turned_away = audited(guarded, "audited-1"), audited(guarded, "audited-2")
    assert (done["client"], done["key_id"], done["key_name"]) == ("127.0.0.1", key.split("_")[1], "ci")
    assert (done["action"], done["status"]) == ("POST /v1/datasets", 201)
    assert done["resource"] == answer.json()["id"]
    assert (turned_away["client"], turned_away["status"]) == ("127.0.0.1", 401)
    assert key.split("_")[2] not in (guarded.data_dir.parent / "data.log").read_text()


def test_health_needs_no_key_and_answers_name_no_server(guarded, phasegate):
    port = guarded.address.rpartition(":")[2]
    assert phasegate("healthy", "api", PHASEGATE_PORT=port, PHASEGATE_REQUIRE_KEYS="true").returncode == 0
    for path in ("/healthz", "/readyz", "/docs", "/v1/limits", "/nothing"):
        assert "server" not in httpx2.get(guarded.address + path).headers
    with socket.create_connection(("127.0.0.1", int(port)), timeout=10) as connection:
        connection.sendall(b"nonsense\r\n\r\n")
        answer = connection.recv(4096).lower()
    assert answer.startswith(b"http/1.1 400")
    assert b"server:" not in answer
    assert b"uvicorn" not in answer


@pytest.mark.parametrize(("command", "host"), [("serve", "0.0.0.0"), ("api", "::")])
def test_strangers_are_not_let_in_by_accident(command, host, tmp_path, folder):
    environment = {"PHASEGATE_REDIS_URL": f"unix://{tmp_path}/none.sock", "PHASEGATE_DATA_DIR": str(tmp_path / "data")}
    said = refused(Shell(folder, None)(command, "--port", "0", "--host", host, **environment), 2)
    assert "Everybody who reaches" in said
    assert FLAG in said
    assert "PHASEGATE_REQUIRE_KEYS=true" in said


def test_with_the_flag_anyone_is_let_in_but_no_page_that_calls_itself_otherwise(own):
    running = own("--workers", "1", "--host", "0.0.0.0", FLAG)
    assert httpx2.get(f"{running.address}/v1/limits").status_code == 200
    assert httpx2.get(f"{running.address}/v1/limits", headers={"Host": "evil.example"}).status_code == 421
