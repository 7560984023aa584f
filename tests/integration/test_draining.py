"""SIGTERM to an API: what it has begun ends well, what is new goes elsewhere."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx2
import numpy as np
import pytest

from service.serving.listening import listen
from tests.e2e.samples import npy

from .waiting import wait_until

ROOT = Path(__file__).parents[2]
LINGER_S = 4
SLOW_TO_LEAVE = f"""
import sys
from service.api import server
from service.cli import main
server.LINGER_S = {LINGER_S}
sys.argv = ["phasegate", "api"]
main()
"""
"""An API that lingers for long enough to be looked at."""


@contextmanager
def api(data_dir: Path, valkey_url: str, *inherited: int, **settings: str) -> Iterator[subprocess.Popen[bytes]]:
    environment = {**os.environ, "PHASEGATE_DATA_DIR": str(data_dir), "PHASEGATE_REDIS_URL": valkey_url, **settings}
    command = [sys.executable, "-c", SLOW_TO_LEAVE]
    process = subprocess.Popen(command, env=environment, cwd=ROOT, pass_fds=inherited)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def free_port() -> int:
    with listen("127.0.0.1", 0) as listener:
        return int(listener.getsockname()[1])


def readiness(port: int) -> tuple[int, str]:
    """Status and code; nothing while nobody listens."""
    try:
        answer = httpx2.get(f"http://127.0.0.1:{port}/readyz", timeout=10)
    except httpx2.TransportError:
        return 0, ""
    return answer.status_code, answer.json().get("code", "")


@contextmanager
def half_a_request(port: int) -> Iterator[socket.socket]:
    """A connection on which the last byte of a request is still to come."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        head = f"POST /v1/datasets HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
        connection.sendall(f"{head}Content-Length: 2\r\n\r\n{{".encode())
        yield connection


def answer_to(connection: socket.socket) -> str:
    connection.sendall(b"}")
    return connection.recv(65536).decode()


@pytest.fixture
def port(tmp_path: Path, valkey_url: str) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """An API on an address of its own."""
    number = free_port()
    with api(tmp_path / "data", valkey_url, PHASEGATE_PORT=str(number), PHASEGATE_DRAIN_S="12") as process:
        wait_until(lambda: readiness(number)[0], 30)
        yield number, process


def test_an_api_that_is_told_to_stop_says_so_at_once_and_ends_what_it_has_begun(
    port: tuple[int, subprocess.Popen[bytes]],
) -> None:
    number, process = port
    assert readiness(number) == (503, "no_worker")
    with half_a_request(number) as connection:
        process.terminate()
        wait_until(lambda: readiness(number) == (503, "draining"), LINGER_S - 1)
        wait_until(lambda: readiness(number)[0] == 0, LINGER_S + 5)
        assert process.poll() is None, "it waits for the request"
        assert answer_to(connection).startswith("HTTP/1.1 201 ")
    assert process.wait(10) == 0


def test_a_wait_for_a_report_ends_with_what_is_known(port: tuple[int, subprocess.Popen[bytes]]) -> None:
    number, process = port
    rng = np.random.default_rng(0)
    parts = {"x": rng.standard_normal((60, 3)), "y": rng.standard_normal((60, 5)), "labels": rng.standard_normal(60)}
    files = {name: (name, npy(values)) for name, values in parts.items()}
    with ThreadPoolExecutor(1) as pool:
        address = f"http://127.0.0.1:{number}"
        asked = pool.submit(
            httpx2.post, f"{address}/v1/analyses", files=files, headers={"Prefer": "wait=60"}, timeout=60
        )
        wait_until(lambda: httpx2.get(f"{address}/v1/analyses", timeout=10).json()["items"], 20)
        process.terminate()
        answer = asked.result(timeout=20)
    assert (answer.status_code, answer.json()["state"]) == (202, "queued")
    assert process.wait(10) == 0


def test_connections_wait_for_the_next_api_of_a_tree(tmp_path: Path, valkey_url: str) -> None:
    with listen("127.0.0.1", 0) as listener:
        number = int(listener.getsockname()[1])
        settings = {"PHASEGATE_LISTEN_FD": str(listener.fileno())}
        with api(tmp_path / "data", valkey_url, listener.fileno(), **settings) as first:
            wait_until(lambda: readiness(number) == (503, "no_worker"), 30)
            with half_a_request(number) as connection:
                first.terminate()
                assert answer_to(connection).startswith("HTTP/1.1 201 ")
            assert first.wait(10) == 0
        with socket.create_connection(("127.0.0.1", number), timeout=30) as early:
            early.sendall(f"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:{number}\r\nConnection: close\r\n\r\n".encode())
            with api(tmp_path / "data", valkey_url, listener.fileno(), **settings):
                head, _, body = early.makefile("rb").read().decode().partition("\r\n\r\n")
    assert head.startswith("HTTP/1.1 200 ")
    assert json.loads(body)["status"] == "ok"
