"""Metrics and logs of the running service: one request followed from its client to the child that answers it."""

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx2
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families as parse

from tests.e2e.conftest import Running
from tests.e2e.samples import Sample, npy

OPERATING = Path(__file__).parents[2] / "docs/operating.md"


def log_path(running: Running) -> Path:
    return running.data_dir.parent / f"{running.data_dir.name}.log"


def log_text(running: Running) -> str:
    return log_path(running).read_text()


def log_lines(running: Running, **wanted: object) -> list[dict]:
    """The complete log lines that have these fields."""
    complete = log_text(running).split("\n")[:-1]
    lines = [json.loads(line) for line in complete if line.startswith("{")]
    return [line for line in lines if wanted.items() <= line.items()]


def eventually(look: Callable[[], list], timeout_s: float = 10) -> list:
    deadline = time.monotonic() + timeout_s
    while not (found := look()):
        assert time.monotonic() < deadline, f"not within {timeout_s} s"
        time.sleep(0.02)
    return found


def metric(http: httpx2.Client, name: str, **labels: str) -> float:
    samples = [sample for family in parse(http.get("/metrics").text) for sample in family.samples]
    (found,) = [sample.value for sample in samples if sample.name == name and sample.labels == labels]
    return found


def test_one_request_can_be_followed_from_its_client_to_the_child_that_computes(running, http):
    sent = "client-7f3a/attempt:1"
    answer = http.post(
        "/v1/analyses", files=Sample(seed=71).files(), headers={"X-Request-ID": sent, "Prefer": "wait=30"}
    )
    assert answer.headers["x-request-id"] == sent
    analysis_id = answer.json()["id"]
    (settled,) = eventually(lambda: log_lines(running, event="analysis_settled", analysis_id=analysis_id))
    assert settled["request_id"] == sent, "the line is of the child that ran the analysis"
    (submitted,) = log_lines(running, event="analysis_submitted", request_id=sent)
    assert submitted["analysis_id"] == analysis_id
    (request,) = eventually(lambda: log_lines(running, event="request", request_id=sent))
    assert (request["route"], request["status"]) == ("/v1/analyses", 200)
    assert request["request_bytes"] == int(answer.request.headers["content-length"])
    attempts = eventually(lambda: log_lines(running, event="attempt_ended", analysis_id=analysis_id))
    assert [attempt["ending"] for attempt in attempts] == ["done"]


def test_metrics_count_what_real_workers_finish(http):
    succeeded = {"outcome": "succeeded", "code": ""}
    failed = {"outcome": "failed", "code": "non_finite_values"}
    before = [metric(http, "phasegate_analyses_total", **labels) for labels in (succeeded, failed)]
    sample = Sample(seed=72)
    hollow = sample.x.copy()
    hollow[0, 0] = np.nan
    for changed in ({}, {"x": npy(hollow)}):
        http.post("/v1/analyses", files=sample.files(**changed), headers={"Prefer": "wait=30"})
    counted = lambda: [metric(http, "phasegate_analyses_total", **labels) for labels in (succeeded, failed)]  # noqa: E731
    eventually(lambda: [counted()] if counted() == [before[0] + 1, before[1] + 1] else [])
    assert metric(http, "phasegate_queue_up") == 1
    assert metric(http, "phasegate_workers_alive") == 2
    assert metric(http, "phasegate_stage_seconds_count", stage="estimate") >= 1
    assert metric(http, "phasegate_analysis_run_seconds_sum") > 0


def test_logs_hold_nothing_that_was_uploaded_nor_names_of_files_nor_queries(running, http):
    sample = Sample(seed=73)
    labels = sample.labels_csv().replace(b"above", b"confidential-class").replace(b"score", b"confidential-column")
    hollow = sample.x.copy()
    hollow[0, 0] = np.nan
    for changed in ({}, {"x": npy(hollow)}, {"rows": b"confidential-junk"}):
        files = sample.files(labels=labels, **changed)
        named = {part: ("confidential-name.npy", content) for part, (_, content) in files.items()}
        answer = http.post("/v1/analyses?token=confidential-query", files=named, headers={"Prefer": "wait=30"})
        assert answer.status_code in (200, 422)
        sent = answer.headers["x-request-id"]
        eventually(lambda sent=sent: log_lines(running, event="request", request_id=sent))
    assert "confidential" not in log_text(running)


def test_the_session_of_the_operators_page_finds_the_request(running, tmp_path):
    session = re.search(r"<!-- session -->\n```bash\n(.*?)```", OPERATING.read_text(encoding="utf-8"), re.DOTALL)[1]
    sample = Sample(seed=75)
    depths = "\n".join(f"{value:.6f}" for value in sample.x[:, 0])
    for name, content in {
        "x.npy": npy(sample.x),
        "y.npy": npy(sample.y),
        "labels.csv": f"depth\n{depths}\n".encode(),
    }.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "service.log").symlink_to(log_path(running))
    script = session.replace("http://127.0.0.1:8000", running.address)
    done = subprocess.run(["bash", "-euc", script], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    found = [json.loads(line)["event"] for line in done.stdout.splitlines()]
    assert found[0] == "analysis_submitted", done.stderr
    assert set(found) <= {"analysis_submitted", "analysis_settled", "audit", "request"}
    eventually(lambda: log_lines(running, event="analysis_settled", request_id="nightly-42"))
    eventually(lambda: log_lines(running, event="request", request_id="nightly-42"))


def test_a_client_that_hangs_up_is_no_error_of_the_service(running):
    host, port = running.address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        head = b"POST /v1/analyses HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Request-ID: hangs-up\r\n"
        kind = b"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 100000\r\n\r\n"
        connection.sendall(head + kind + b'--b\r\nContent-Disposition: form-data; name="x"; filename="x"\r\n\r\n0000')
    (line,) = eventually(lambda: log_lines(running, event="request", request_id="hangs-up"))
    assert (line["route"], line["status"]) == ("/v1/analyses", 499)
    assert not log_lines(running, event="request_failed", request_id="hangs-up")


@pytest.mark.parametrize(
    "address",
    [
        "redis://:s3/cr3t@127.0.0.1:1",
        "redis://:s3#cr3t@127.0.0.1:1",
        "redis://user:s3-cr3t@127.0.0.1:not-a-port",
        "redis://:s3-cr3t@[127.0.0.1:1",
    ],
)
def test_an_address_that_cannot_be_read_is_refused_without_its_password(tmp_path, address):
    command = [sys.executable, "-m", "service.cli", "serve", "--port", "0"]
    environment = {**os.environ, "PHASEGATE_REDIS_URL": address}
    result = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=30)
    assert result.returncode == 2
    assert "write special characters" in result.stderr
    assert result.stderr.count("\n") == 1
    assert not re.search("s3|cr3t", result.stderr)


@pytest.mark.parametrize("program", ["api", "worker"])
def test_the_password_of_a_queue_that_is_away_is_not_in_the_logs(tmp_path, program):
    address = "redis://user:s3-cr3t@127.0.0.1:1/0"
    environment = {**os.environ, "PHASEGATE_REDIS_URL": address, "PHASEGATE_LOG_LEVEL": "DEBUG", "PHASEGATE_PORT": "0"}
    command = [sys.executable, "-m", "service.cli", program, "--data-dir", str(tmp_path / "data")]
    log = tmp_path / "log"
    with log.open("wb") as file:
        process = subprocess.Popen(command, env=environment, stderr=file)
    try:
        expected = "queue_unavailable" if program == "api" else "queue_lost"
        eventually(lambda: [expected] if expected in log.read_text() else [], 40)
    finally:
        process.kill()
        process.wait()
    assert "s3-cr3t" not in log.read_text()
