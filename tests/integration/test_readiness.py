"""Readiness follows store and queue: 503 while one of them is away, 200 when it is back, without a restart."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from service.api import app as api
from service.serving.embedded_server import EmbeddedServer, answers, prepare_server
from service.settings import Settings
from service.storage import keys
from service.storage.redis_queue import open_connection
from tests.e2e.samples import Sample

from .waiting import wait_until


@pytest.fixture
def server(tmp_path: Path) -> EmbeddedServer:
    return prepare_server(tmp_path / "server")


@pytest.fixture
def process(server: EmbeddedServer) -> Iterator[list[subprocess.Popen[bytes]]]:
    """The server's process, the last of the list; a test may add another one."""
    started = [begun(server)]
    yield started
    for process in started:
        process.kill()
        process.wait()


def begun(server: EmbeddedServer) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(server.command)
    wait_until(lambda: answers(server), 10)
    return process


@pytest.fixture
def client(server: EmbeddedServer, process, tmp_path: Path) -> Iterator[TestClient]:
    """The application, and the mark of a worker that is alive."""
    connection = open_connection(server.url)
    connection.hset(f"{keys.WORKER_PREFIX}one", "hostname", "here")
    connection.sadd(keys.WORKERS, f"{keys.WORKER_PREFIX}one")
    connection.close()
    settings = Settings(data_dir=tmp_path / "data", redis_url=server.url)
    with TestClient(api.create_app(settings), "http://127.0.0.1") as client:
        yield client


def readiness(client: TestClient) -> tuple[int, str | None]:
    answer = client.get("/readyz")
    assert answer.status_code == 200 or int(answer.headers["retry-after"]) >= 1
    return answer.status_code, answer.json().get("code")


def test_a_store_that_is_away_and_back(client, tmp_path):
    assert readiness(client) == (200, None)
    shutil.move(tmp_path / "data", tmp_path / "elsewhere")
    assert readiness(client) == (503, "store_unavailable")
    answer = client.post("/v1/analyses", files=Sample().files())
    assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")
    shutil.move(tmp_path / "elsewhere", tmp_path / "data")
    assert readiness(client) == (200, None)
    assert client.post("/v1/analyses", files=Sample().files()).status_code == 202


def test_a_queue_that_is_killed_and_back(client, server, process):
    assert readiness(client) == (200, None)
    process[-1].kill()
    process[-1].wait()
    assert readiness(client) == (503, "queue_unavailable")
    process.append(begun(server))
    wait_until(lambda: readiness(client) == (200, None), 20)
