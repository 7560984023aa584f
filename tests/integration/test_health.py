"""`phasegate healthy`: what health checks of containers ask."""

from __future__ import annotations

import http.server
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from typer.testing import CliRunner

from service.cli import app
from service.serving.health import api_illness, worker_illness
from service.settings import Settings
from service.storage import keys

from .waiting import wait_until

ROOT = Path(__file__).parents[2]


@pytest.fixture
def settings(valkey_url: str) -> Settings:
    return Settings(redis_url=valkey_url)


@pytest.fixture
def worker(valkey_url: str, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "tests.integration.worker_stand_in", "sleep", str(tmp_path / "journal")]
    process = subprocess.Popen(command, env={"PHASEGATE_REDIS_URL": valkey_url}, cwd=ROOT)
    yield process
    process.kill()
    process.wait()


def test_a_worker_is_well_from_its_registration_to_its_end(
    settings: Settings, worker: subprocess.Popen[bytes], connection: Redis
) -> None:
    wait_until(lambda: worker_illness(settings) is None, 30)
    assert (
        CliRunner().invoke(app, ["healthy", "worker"], env={"PHASEGATE_REDIS_URL": settings.redis_url}).exit_code == 0
    )
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(10) == 0
    assert "No worker of this host" in str(worker_illness(settings))


def test_workers_of_other_hosts_and_what_strangers_write_count_for_nothing(
    settings: Settings, connection: Redis
) -> None:
    for name, host in (("elsewhere", b"another-host"), ("odd", b"\xff\xfe")):
        connection.hset(f"{keys.WORKER_PREFIX}{name}", "hostname", host)
        connection.sadd(keys.WORKERS, f"{keys.WORKER_PREFIX}{name}")
    connection.set("not-a-hash", "1")
    connection.sadd(keys.WORKERS, "not-a-hash", f"{keys.WORKER_PREFIX}gone")
    assert "No worker of this host" in str(worker_illness(settings))
    connection.hset(f"{keys.WORKER_PREFIX}here", "hostname", socket.gethostname())
    connection.sadd(keys.WORKERS, f"{keys.WORKER_PREFIX}here")
    assert worker_illness(settings) is None


def test_a_worker_without_its_queue_is_not_well(tmp_path: Path) -> None:
    url = f"unix://{tmp_path / 'none.sock'}"
    result = CliRunner().invoke(app, ["healthy", "worker"], env={"PHASEGATE_REDIS_URL": url})
    assert result.exit_code == 1
    assert "The queue cannot be reached" in result.stderr


class Answers(http.server.BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status if self.path == "/healthz" else 404)
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        pass


def test_an_api_is_well_that_answers_on_its_port_whatever_address_it_listens_on() -> None:
    with http.server.HTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        port = server.server_port
        try:
            assert api_illness(Settings(host="127.0.0.1", port=port)) is None
            assert api_illness(Settings(host="0.0.0.0", port=port)) is None
            Answers.status = 500
            assert "answers 500" in str(api_illness(Settings(host="127.0.0.1", port=port)))
        finally:
            Answers.status = 200
            server.shutdown()
            thread.join()
    assert "does not answer" in str(api_illness(Settings(host="127.0.0.1", port=port)))
