"""The whole service, started as a user starts it: a process tree with the real server and real workers."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest


@dataclass(frozen=True)
class Running:
    address: str
    data_dir: Path
    process: subprocess.Popen


def start(data_dir: Path, *options: str, **environment: str) -> Running:
    """`phasegate serve` on a free port, ready."""
    command = [sys.executable, "-m", "service.cli", "serve", "--port", "0", "--data-dir", str(data_dir), *options]
    unbounded = {"PHASEGATE_RATE_PER_MINUTE": "0"}  # a test is a caller in a hurry
    with (data_dir.parent / f"{data_dir.name}.log").open("ab") as log:
        process = subprocess.Popen(command, env={**os.environ, **unbounded, **environment}, stderr=log)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        assert process.poll() is None, "the service ended"
        try:
            address = (data_dir / "address").read_text().strip()
            if httpx2.get(f"{address}/readyz", timeout=5).status_code == 200:
                return Running(address, data_dir, process)
        except (FileNotFoundError, httpx2.TransportError):
            pass
        time.sleep(0.05)
    process.kill()
    raise AssertionError("the service was not ready after 30 s")


def stop(running: Running) -> int:
    running.process.send_signal(signal.SIGTERM)
    return running.process.wait(15)


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One service with two workers, shared by all tests that only talk to it."""
    service = start(tmp_path_factory.mktemp("service") / "data", "--workers", "2")
    yield service
    assert stop(service) == 0


@pytest.fixture
def http(running: Running) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=running.address, timeout=30) as client:
        yield client


@pytest.fixture
def own(tmp_path):
    """A service of the test's own, killed at the end."""
    started: list[Running] = []

    def begin(*options: str, **environment: str) -> Running:
        started.append(start(tmp_path / "data", *options, **environment))
        return started[-1]

    yield begin
    for service in started:
        if service.process.poll() is None:
            stop(service)
