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

from tests.bucket_server import BucketServer
from tests.places import BucketPlace, DiskPlace, Place

MAX_LABEL_BYTES = 64 * 1024**2
WEBHOOK_HOSTS = "localhost:9=127.0.0.0/8,localhost:9=::1/128"


@dataclass(frozen=True)
class Running:
    address: str
    data_dir: Path
    process: subprocess.Popen
    place: Place
    """Where it keeps what it has."""

    def stored(self) -> list[str]:
        """Names of everything that it keeps of datasets, label sets and analyses."""
        kinds = ("datasets", "label-sets", "analyses")
        return [name for name in self.place.contents() if any(f"{kind}/" in name for kind in kinds)]

    def received(self) -> list[Path]:
        """What is being received."""
        return list((self.data_dir / "tmp").iterdir())


def start(data_dir: Path, *options: str, place: Place | None = None, **environment: str) -> Running:
    """`phasegate serve` on a free port, ready; `place` is the data directory unless it is given."""
    command = [sys.executable, "-m", "service.cli", "serve", "--port", "0", "--data-dir", str(data_dir), *options]
    # A test is a caller in a hurry; nobody listens where its webhooks lead.
    unbounded = {"PHASEGATE_RATE_PER_MINUTE": "0", "PHASEGATE_WEBHOOK_HOSTS": WEBHOOK_HOSTS}
    with (data_dir.parent / f"{data_dir.name}.log").open("ab") as log:
        process = subprocess.Popen(command, env={**os.environ, **unbounded, **environment}, stderr=log)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        assert process.poll() is None, "the service ended"
        try:
            address = (data_dir / "address").read_text().strip()
            if httpx2.get(f"{address}/readyz", timeout=5).status_code == 200:
                return Running(address, data_dir, process, place or DiskPlace(data_dir, MAX_LABEL_BYTES))
        except (FileNotFoundError, httpx2.TransportError):
            pass
        time.sleep(0.05)
    process.kill()
    raise AssertionError("the service was not ready after 30 s")


def stop(running: Running) -> int:
    running.process.send_signal(signal.SIGTERM)
    return running.process.wait(15)


@dataclass(frozen=True)
class Kept:
    """How a service is told where to keep what it has; None and nothing for its data directory."""

    place: Place | None
    environment: dict[str, str]


def kept(request: pytest.FixtureRequest, folder: Path) -> Kept:
    """As the option --store says: a prefix of a bucket has the name of the folder."""
    if request.config.getoption("--store") == "disk":
        return Kept(None, {})
    server: BucketServer = request.getfixturevalue("bucket_server")
    prefix = f"services/{folder.name}"
    return Kept(BucketPlace(server.address(prefix), folder, MAX_LABEL_BYTES), server.environment(prefix))


@pytest.fixture(scope="session")
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One service with two workers, shared by all tests that only talk to it."""
    folder = tmp_path_factory.mktemp("service")
    store = kept(request, folder)
    service = start(folder / "data", "--workers", "2", place=store.place, **store.environment)
    yield service
    assert stop(service) == 0


@pytest.fixture
def http(running: Running) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=running.address, timeout=30) as client:
        yield client


@pytest.fixture
def own(request, tmp_path):
    """A service of the test's own, killed at the end."""
    started: list[Running] = []
    store = kept(request, tmp_path)

    def begin(*options: str, **environment: str) -> Running:
        started.append(start(tmp_path / "data", *options, place=store.place, **store.environment, **environment))
        return started[-1]

    yield begin
    for service in started:
        if service.process.poll() is None:
            stop(service)
