"""API and worker as on two hosts: each with a data directory of its own, together they have a bucket and a queue."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from service.serving.embedded_server import answers, prepare_server
from tests.bucket_server import KEY, BucketServer
from tests.places import BucketPlace

from .processes import processes_of
from .samples import Sample, npy

QUICK = '{"method": "reference"}'


def wait_for(condition, timeout_s: float = 30.0):
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.05)
    return found


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


@dataclass
class Hosts:
    """An API and a worker."""

    address: str
    place: BucketPlace
    environment: dict[str, str]
    processes: dict[str, subprocess.Popen]
    logs: Path

    def is_ready(self) -> bool:
        try:
            return httpx2.get(f"{self.address}/readyz", timeout=30).status_code == 200
        except httpx2.TransportError:
            return False

    def log(self, part: str) -> str:
        return (self.logs / f"{part}.log").read_text()


@pytest.fixture(scope="module")
def hosts(bucket_server: BucketServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    folder = tmp_path_factory.mktemp("hosts")
    place = BucketPlace(bucket_server.address("hosts"), folder, max_label_bytes=1_000_000)
    queue = prepare_server(tmp_path_factory.mktemp("queue"))
    port = free_port()
    environment = bucket_server.environment("hosts") | {
        "PHASEGATE_REDIS_URL": queue.url,
        "PHASEGATE_PORT": str(port),
        "PHASEGATE_RATE_PER_MINUTE": "0",
        "PHASEGATE_CACHE_BYTES": "1000000",
    }
    with ExitStack() as running:
        processes = {"queue": subprocess.Popen(queue.command)}
        running.callback(end, processes["queue"])
        wait_for(lambda: answers(queue))
        for part in ("api", "worker"):
            command = [sys.executable, "-m", "service.cli", part, "--data-dir", str(folder / part)]
            log = running.enter_context((folder / f"{part}.log").open("wb"))
            processes[part] = subprocess.Popen(command, env={**os.environ, **environment}, stderr=log)
            running.callback(end, processes[part])
        hosts = Hosts(f"http://127.0.0.1:{port}", place, environment, processes, folder)
        wait_for(hosts.is_ready)
        yield hosts
        for part in ("api", "worker"):
            assert KEY.secret_access_key not in hosts.log(part)
            assert "Traceback" not in hosts.log(part)


def end(process: subprocess.Popen) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@pytest.fixture
def http(hosts: Hosts) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=hosts.address, timeout=60) as client:
        yield client


def succeeded(http: httpx2.Client, answer: httpx2.Response) -> dict:
    address = answer.headers["Location"]

    def finished() -> dict | None:
        analysis = http.get(address).json()
        return analysis if analysis["finished_at"] else None

    analysis = wait_for(finished, 60)
    assert analysis["state"] == "succeeded", analysis
    return analysis


def test_what_one_host_receives_another_analyses(hosts, http):
    sample = Sample(seed=1)
    answer = http.post("/v1/analyses", files=sample.files(), data={"options": QUICK}, headers={"Prefer": "wait=30"})
    assert answer.status_code in (200, 202), answer.text
    analysis = answer.json() if answer.status_code == 200 else succeeded(http, answer)
    report = http.get(f"/v1/analyses/{analysis['id']}/report")
    assert report.json()["data"]["n_pairs"] == sample.n
    folders = {part: hosts.place.folder / part for part in ("api", "worker")}
    local = {part: [path.name for path in folder.rglob("*") if path.is_file()] for part, folder in folders.items()}
    assert not [name for name in local["api"] if name.startswith(("x-", "y-"))]
    dataset = http.get(f"/v1/datasets/{analysis['dataset_id']}").json()
    assert {dataset["x"]["sha256"], dataset["y"]["sha256"]} <= set(local["worker"])


def test_a_dataset_comes_part_by_part_and_goes_without_a_trace(hosts, http):
    before = hosts.place.contents()
    sample = Sample(seed=2)
    groups = "\n".join(["subject", *(f"s{row // 4}" for row in range(sample.n))]).encode()
    opened = http.post("/v1/datasets", json={"parts": ["groups"]})
    assert opened.status_code == 201, opened.text
    opened = opened.json()
    for part, content in (("x", npy(sample.x)), ("groups", groups), ("y", npy(sample.y))):
        answer = http.put(f"/v1/datasets/{opened['id']}/{part}", content=content)
        assert answer.status_code == 200, answer.text
    files = {part: file for part, file in sample.files().items() if part in ("labels", "rows")}
    label_set = http.post(f"/v1/datasets/{opened['id']}/label-sets", files=files)
    assert label_set.status_code == 201, label_set.text
    label_set = label_set.json()
    asked = {"dataset_id": opened["id"], "label_set_id": label_set["id"], "options": {"method": "reference"}}
    analysis = succeeded(http, http.post("/v1/analyses", json=asked))
    assert opened["id"] in [dataset["id"] for dataset in http.get("/v1/datasets").json()["items"]]
    assert [s["id"] for s in http.get(f"/v1/datasets/{opened['id']}/label-sets").json()["items"]] == [label_set["id"]]
    assert http.get("/v1/analyses?limit=1").json()["items"][0]["id"] == analysis["id"]
    assert http.delete(f"/v1/analyses/{analysis['id']}").status_code == 204
    assert http.delete(f"/v1/datasets/{opened['id']}").status_code == 204
    for address in (f"datasets/{opened['id']}", f"label-sets/{label_set['id']}", f"analyses/{analysis['id']}"):
        assert http.get(f"/v1/{address}").status_code == 404
    assert hosts.place.contents() == before


def test_what_is_stored_outlives_the_bucket_s_server_and_is_analysed_when_it_is_back(hosts, http, bucket_server):
    sample = Sample(seed=3)
    worker = hosts.processes["worker"]
    worker.send_signal(signal.SIGSTOP)
    try:
        accepted = http.post("/v1/analyses", files=sample.files(), data={"options": QUICK})
        assert accepted.status_code == 202
        bucket_server.kill()
    finally:
        worker.send_signal(signal.SIGCONT)
    try:
        for answer in (
            http.get("/readyz"),
            http.get("/v1/datasets"),
            http.post("/v1/analyses", files=sample.files(), data={"options": QUICK}),
        ):
            assert answer.status_code == 503
            assert answer.json()["code"] == "store_unavailable"
            assert int(answer.headers["Retry-After"]) > 0
        assert http.get("/healthz").status_code == 200
    finally:
        bucket_server.start()
    wait_for(hosts.is_ready)
    succeeded(http, accepted)
    assert [process.poll() for process in hosts.processes.values()] == [None, None, None]
    received = list(hosts.place.folder.glob("*/tmp/*/*"))
    assert received == []


def test_no_process_shows_the_credentials(hosts):
    shown = " ".join(processes_of(os.getpid()).values())
    assert "service.cli api" in shown
    assert KEY.secret_access_key not in shown
    assert KEY.access_key_id not in shown


@pytest.mark.parametrize("part", ["serve", "api", "worker"])
def test_a_part_that_the_bucket_lets_not_in_says_so_at_once_and_ends(hosts, part, tmp_path):
    wrong = {"AWS_SECRET_ACCESS_KEY": "the-wrong-secret-of-somebody", "PHASEGATE_PORT": str(free_port())}
    command = [sys.executable, "-m", "service.cli", part, "--data-dir", str(tmp_path / "data")]
    environment = {**os.environ, **hosts.environment, **wrong}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode != 0
    assert "SignatureDoesNotMatch" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert wrong["AWS_SECRET_ACCESS_KEY"] not in ended.stderr + ended.stdout


def test_keys_made_on_one_host_count_on_another(hosts, tmp_path):
    command = [sys.executable, "-m", "service.cli", "keys"]

    def run(*arguments: str, host: str) -> str:
        options = ["--data-dir", str(tmp_path / host)]
        environment = {**os.environ, **hosts.environment}
        return subprocess.run(
            [*command, *arguments, *options], env=environment, capture_output=True, text=True, timeout=60, check=True
        ).stdout

    made = run("create", "--name", "ci", "--scope", "read", host="one")
    key_id = made.split("pg_")[1][:12]
    assert key_id in run("list", "--json", host="other")
    run("revoke", key_id, host="other")
    assert "revoked" in run("list", "--json", host="one")
