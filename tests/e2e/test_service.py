"""The service as a whole: health, limits, memory, crashes, restarts, the README and the demonstration."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx2
import numpy as np
import pytest

from service.estimation.terms import Method
from tests.e2e.conftest import Running, start, stop
from tests.e2e.processes import processes_of
from tests.e2e.samples import Sample, npy
from tests.e2e.test_analyses import PUBLISHED, finished, in_process, reproducible

ROOT = Path(__file__).parents[2]
QUICK = {"options": PUBLISHED}


def every_command_line() -> list[str]:
    return list(processes_of(1).values())


def the_process(running: Running, ending: str) -> int:
    return next(pid for pid, line in processes_of(running.process.pid).items() if line.strip().endswith(ending))


def peak_bytes(pid: int) -> int:
    """The most memory that a process has had."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024


def submitted(http: httpx2.Client, samples: list[Sample], long: set[int]) -> list[str]:
    """Where the analyses are; only those at the places `long` take a worker long enough to be caught at them."""
    locations = []
    for place, sample in enumerate(samples):
        options = {} if place in long else QUICK
        answer = http.post("/v1/analyses", files=sample.files(), data=options)
        locations.append(answer.headers["location"])
    return locations


def gone(pids, timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_health_readiness_and_description(http):
    assert http.get("/healthz").json()["status"] == "ok"
    deadline = time.monotonic() + 10
    while (readiness := http.get("/readyz").json()) != {"ready": True, "workers": 2}:
        assert time.monotonic() < deadline, readiness
        time.sleep(0.05)
    for path in ("/healthz", "/readyz"):
        head = http.head(path)
        assert (head.status_code, head.content) == (200, b"")
    assert http.get("/openapi.json").json()["info"]["title"] == "Phasegate"
    assert "server" not in http.get("/healthz").headers


@pytest.mark.parametrize(("method", "address", "status"), [("GET", "/nothing", 404), ("DELETE", "/healthz", 405)])
def test_the_frameworks_own_errors_are_problems(http, method, address, status):
    answer = http.request(method, address)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert set(answer.json()) == {"type", "title", "status", "detail", "code", "part"}


def test_a_body_over_the_limit_is_refused_whether_announced_or_not(own):
    running = own(PHASEGATE_MAX_UPLOAD_BYTES="100000")
    big = npy(np.zeros((2000, 10)))

    def endless():
        yield b'--b\r\nContent-Disposition: form-data; name="x"; filename="x"\r\n\r\n'
        for _ in range(200):
            yield b"\0" * 1000

    with httpx2.Client(base_url=running.address, timeout=30) as http:
        announced = http.post("/v1/analyses", files={"x": ("x", big)})
        streamed = http.post(
            "/v1/analyses", content=endless(), headers={"Content-Type": "multipart/form-data; boundary=b"}
        )
        for answer in (announced, streamed):
            assert answer.headers["content-type"] == "application/problem+json", answer.text
            assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
            assert "100000 bytes" in answer.json()["detail"]
        assert http.post("/v1/analyses", files=Sample().files(), data=QUICK).status_code == 202
    assert running.received() == []


def test_a_large_upload_does_not_enter_the_apis_memory(own):
    running = own("--workers", "1")
    api = the_process(running, "service.cli api")
    sample = Sample()
    before = peak_bytes(api)
    wide = np.zeros((120, 200_000))
    wide[:, :6] = sample.x
    content = npy(wide)
    assert len(content) > 190_000_000
    with httpx2.Client(base_url=running.address, timeout=60) as http:
        answer = http.post("/v1/analyses", files=sample.files(x=content))
        assert answer.status_code == 202
    assert peak_bytes(api) - before < 40_000_000


NASTY_LABELS = {
    "a line of twenty million fields": b"ab," * 20_000_000,
    "one long text among many short": b"a\n" + b"x" * 900 + b"\n" + b"a\n" * 500_000,
    "a header of a million columns": b",".join(b"c%d" % place for place in range(1_000_000)) + b"\n",
    "an array of sixty million columns": npy(np.zeros((1, 60_000_000), dtype=bool)),
    "an empty array of four million columns": npy(np.zeros((0, 4_000_000))),
}


def test_nasty_labels_are_refused_within_bounded_memory(own):
    running = own("--workers", "1")
    api = the_process(running, "service.cli api")
    with httpx2.Client(base_url=running.address, timeout=60) as http:
        assert http.post("/v1/analyses", files=Sample().files(), data=QUICK).status_code == 202
        before = peak_bytes(api)
        for name, labels in NASTY_LABELS.items():
            answer = http.post("/v1/analyses", files=Sample().files(labels=labels))
            assert answer.status_code in (413, 422), name
            assert answer.headers["content-type"] == "application/problem+json"
            assert peak_bytes(api) - before < 250_000_000, name
        assert http.post("/v1/analyses", files=Sample().files(), data=QUICK).is_success
    assert running.received() == []


def test_a_killed_tree_leaves_no_process_and_loses_no_analysis(own):
    first = own("--workers", "1")
    everyone = [first.process.pid, *processes_of(first.process.pid)]
    samples = [Sample(seed=seed) for seed in range(8)]
    with httpx2.Client(base_url=first.address, timeout=30) as http:
        locations = submitted(http, samples, {0})
        first.process.kill()
    first.process.wait()
    assert gone(everyone[1:], 10)
    second = own("--workers", "1")
    with httpx2.Client(base_url=second.address, timeout=30) as http:
        for sample, location in zip(samples, locations, strict=True):
            assert finished(http, location)["state"] == "succeeded"
            report = http.get(f"{location}/report").json()
            assert reproducible(report) == reproducible(in_process(sample, Method(report["method"])))


def test_what_a_killed_api_was_receiving_is_swept_when_it_is_back(own):
    running = own("--workers", "1")
    left = running.data_dir / "tmp" / "upload-left"
    left.mkdir()
    (left / "x.npy").write_bytes(b"half")
    os.kill(the_process(running, "service.cli api"), signal.SIGKILL)
    # The connection waits in the root's socket until the new process answers.
    assert httpx2.get(f"{running.address}/readyz", timeout=30).status_code == 200
    assert not left.exists()


def test_workers_killed_in_the_middle_lose_no_analysis(own):
    running = own("--workers", "2")
    with httpx2.Client(base_url=running.address, timeout=30) as http:
        locations = submitted(http, [Sample(seed=seed) for seed in range(10)], {0, 1})
        for pid, line in processes_of(running.process.pid).items():
            if line.strip().endswith("service.cli worker"):
                os.kill(pid, signal.SIGKILL)
        assert {finished(http, location)["state"] for location in locations} == {"succeeded"}
        assert http.get("/readyz").status_code == 200


def test_the_queue_may_be_lost_altogether(own):
    running = own("--workers", "1")
    with httpx2.Client(base_url=running.address, timeout=30) as http:
        locations = submitted(http, [Sample(seed=seed) for seed in range(6)], {0})
    running.process.kill()
    running.process.wait()
    for path in (running.data_dir / "server").rglob("*"):
        if path.is_file() and "aof" in path.name:
            path.unlink()
    again = own("--workers", "1")
    with httpx2.Client(base_url=again.address, timeout=30) as http:
        assert {finished(http, location, 60)["state"] for location in locations} == {"succeeded"}


def test_ctrl_c_stops_everything(own):
    running = own()
    everyone = [running.process.pid, *processes_of(running.process.pid)]
    running.process.send_signal(signal.SIGINT)
    assert running.process.wait(10) == 0
    assert gone(everyone, 1)
    assert not (running.data_dir / "address").exists()


def test_a_report_cannot_be_had_before_a_worker_is_there(valkey_address, own):
    """The API alone accepts, waits and says so; a worker started later does the work."""
    running = own("--workers", "1", PHASEGATE_REDIS_URL=valkey_address)
    assert not (running.data_dir / "server").exists()
    with httpx2.Client(base_url=running.address, timeout=30) as http:
        answer = http.post("/v1/analyses", files=Sample().files(), data=QUICK, headers={"Prefer": "wait=30"})
        assert answer.json()["state"] == "succeeded"


@pytest.fixture
def valkey_address(tmp_path):
    """A server that is not the service's own, as PHASEGATE_REDIS_URL names one."""
    from service.serving.embedded_server import answers, prepare_server

    server = prepare_server(tmp_path / "elsewhere")
    process = subprocess.Popen(server.command)
    deadline = time.monotonic() + 10
    while not answers(server):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    yield server.url
    process.kill()
    process.wait()


@pytest.mark.parametrize(
    ("page", "place", "printed"),
    [
        ("README.md", 0, '"regime"'),
        ("docs/api.md", 0, "[{'ink': 'numeric'}, {'digit': 'categorical'}]"),
        ("docs/api.md", 1, "False\nTrue\nFalse\n"),
        ("docs/api.md", 2, "the same"),
        ("docs/gating.md", 0, "pass towers@1\nrecovery_probability pass\nwarnings pass\n"),
    ],
)
def test_curl_sessions_work_as_printed(running, tmp_path, page, place, printed):
    sessions = re.findall(r"<!-- session -->\n```bash\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)
    session = sessions[place]
    script = session.replace("http://127.0.0.1:8000", running.address)
    assert script != session
    python = f'python() {{ {sys.executable!s} "$@"; }}\n'
    result = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", python + script], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert printed in result.stdout


def test_the_demonstration_prints_a_readable_answer_and_leaves_nothing(tmp_path):
    command = [sys.executable, "-m", "service.cli", "demo"]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=90)
    assert result.returncode == 0, result.stderr
    for expected in ("Evidence", "Regime", "Recommendation", "Separation ratios", "Leading components", "Rehearsal"):
        assert expected in result.stdout
    assert "phasegate demo --json" in result.stderr
    assert list(tmp_path.iterdir()) == []
    assert not any(str(tmp_path) in line for line in every_command_line())


def test_the_demonstration_gives_the_report_as_json_and_does_not_heed_what_is_set_for_another_service():
    elsewhere = {"http_proxy": "http://127.0.0.1:9", "PHASEGATE_REDIS_URL": "redis://127.0.0.1:1"}
    command = [sys.executable, "-m", "service.cli", "demo", "--json"]
    result = subprocess.run(command, env={**os.environ, **elsewhere}, capture_output=True, text=True, timeout=90)
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["data"]["n_pairs"] == 1797
    assert report["data"]["n_labeled"] == 300


@pytest.mark.parametrize("how", ["form", "part of an open dataset"])
def test_a_client_that_hangs_up_leaves_nothing(running, http, how):
    """Half an upload, then the connection closes."""
    import socket

    host, port = running.address.removeprefix("http://").split(":")
    if how == "form":
        line, kind = b"POST /v1/analyses", b"multipart/form-data; boundary=b"
        part = b'--b\r\nContent-Disposition: form-data; name="x"; filename="x"\r\n\r\n'
    else:
        opened = http.post("/v1/datasets", json={}).json()
        line, kind, part = f"PUT {opened['links']['self']}/x".encode(), b"application/octet-stream", b""
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        head = line + b" HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: " + kind
        connection.sendall(head + b"\r\nContent-Length: 10000000\r\n\r\n" + part + b"\0" * 2_000_000)
    quiet = threading.Event()
    deadline = time.monotonic() + 10
    while running.received() and time.monotonic() < deadline:
        quiet.wait(0.05)
    assert running.received() == []
    if how != "form":
        assert http.get(opened["links"]["self"]).json()["missing_parts"] == ["x", "y"]


@pytest.mark.parametrize("name", ["with space", "a=b", "x" * 150])
def test_any_path_will_do_as_data_directory(tmp_path, name):
    running = start(tmp_path / name, "--workers", "1")
    with httpx2.Client(base_url=running.address, timeout=30) as http:
        answer = http.post("/v1/analyses", files=Sample().files(), data=QUICK, headers={"Prefer": "wait=30"})
        assert answer.json()["state"] == "succeeded"
    assert stop(running) == 0


@pytest.mark.parametrize(
    ("options", "environment", "message"),
    [
        (["--data-dir", "/proc/nope"], {}, "cannot be used"),
        ([], {"PHASEGATE_REDIS_URL": "nonsense"}, "redis_url"),
        ([], {"PHASEGATE_PORT": "x"}, "port"),
        ([], {"PHASEGATE_REDIS_PASSWORD_FILE": "/nope"}, "redis_password_file"),
        ([], {"PHASEGATE_REDIS_URL": "redis://r", "PHASEGATE_REDIS_PASSWORD_FILE": "/nope"}, "/nope does not exist"),
    ],
)
def test_what_cannot_be_started_says_so_in_one_line(tmp_path, options, environment, message):
    command = [sys.executable, "-m", "service.cli", "serve", *options]
    result = subprocess.run(
        command, env={**os.environ, **environment}, cwd=tmp_path, capture_output=True, text=True, timeout=30
    )
    assert result.returncode in (1, 2)
    assert result.stderr.startswith("phasegate: ")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
