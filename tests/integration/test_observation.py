"""What is kept of requests: ids, log lines, metrics.  The real application on the real server, in this process."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from uuid import uuid4

import pytest
from fastapi.testclient import TestClient
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from service.analyses import lifecycle
from service.analyses.analysis import State
from service.analyses.counting import EndedAnalysis
from service.api.app import create_app
from service.api.observation import PATH_CHARACTERS, is_request_id, observed
from service.estimation.terms import Regime
from service.settings import Settings
from service.storage.redis_queue import RedisQueue

FRESH_ID = re.compile("[0-9a-f]{32}")
NASTY_IDS = [
    "x" * 129,
    "x" * 10_000,
    "a b",
    "a\x1b[31mb",
    "a\x07b",
    "caf\xe9",
    "<script>",
    '{"event":"forged"}',
    "%0d%0aSet-Cookie:a=b",
]

HERE = "http://127.0.0.1"


def client_of(settings: Settings) -> TestClient:
    return TestClient(observed(create_app(settings)), HERE, raise_server_exceptions=False)


def new_id() -> str:
    return f"an-{int(time.time() * 1000):012x}{uuid4().hex[:20]}"


@pytest.fixture
def client(tmp_path, valkey_url) -> Iterator[TestClient]:
    settings = Settings(data_dir=tmp_path / "data", redis_url=valkey_url, max_upload_bytes=10_000)
    with client_of(settings) as client:
        yield client


def samples(client: TestClient) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """Values by name and labels."""
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in parse(answer.text):
        for sample in family.samples:
            series = found.setdefault(sample.name, {})
            key = tuple(sorted(sample.labels.items()))
            assert key not in series, "a series stands once"
            series[key] = sample.value
    return found


def value(found, name: str, **labels: str) -> float:
    return found[name][tuple(sorted(labels.items()))]


def test_requests_are_counted_by_route_and_status(client):
    for _ in range(3):
        assert client.get(f"/v1/analyses/{new_id()}").status_code == 404
    assert client.get("/healthz").status_code == 200
    found = samples(client)
    look = {"method": "GET", "route": "/v1/analyses/{analysis_id}"}
    assert value(found, "phasegate_http_requests_total", **look, status="404") == 3
    assert value(found, "phasegate_http_request_duration_seconds_count", **look) == 3
    assert value(found, "phasegate_http_requests_total", method="GET", route="/healthz", status="200") == 1
    assert value(found, "phasegate_http_requests_in_progress") == 1, "the scrape itself"
    assert not any("an-" in str(labels) for series in found.values() for labels in series)


def test_clients_cannot_make_series(client):
    before = set(samples(client)["phasegate_http_requests_total"])
    for number in range(5):
        client.get(f"/nothing/{number}")
        client.get(f"/v1/analyses/{number}/")
        client.request(f"M{number}", "/healthz")
        client.request(f"M{number}", f"/{number}")
    added = set(samples(client)["phasegate_http_requests_total"]) - before
    assert {tuple(label for _, label in labels) for labels in added} == {
        ("GET", "none", "404"),
        ("other", "/healthz", "405"),
        ("other", "none", "404"),
    }


def test_every_documented_answer_and_every_failure_is_a_series_from_zero_on(client):
    found = samples(client)
    for path, operations in client.get("/openapi.json").json()["paths"].items():
        for method, operation in operations.items():
            for status in [*operation["responses"], "500"]:
                labels = {"method": method.upper(), "route": path, "status": status}
                assert value(found, "phasegate_http_requests_total", **labels) == 0, labels
    assert value(found, "phasegate_analyses_total", outcome="succeeded", code="") == 0
    assert value(found, "phasegate_analyses_total", outcome="cancelled", code="") == 0
    for code in ("worker_lost", "invalid_npy", "non_finite_values", "time_limit_exceeded"):
        assert value(found, "phasegate_analyses_total", outcome="failed", code=code) == 0
    assert ("code", "queue_unavailable") not in {pair for of in found["phasegate_analyses_total"] for pair in of}
    for regime in Regime:
        assert value(found, "phasegate_regimes_total", regime=regime.value, conclusive="true") == 0
    assert value(found, "phasegate_analysis_run_seconds_bucket", le="+Inf") == 0


def test_the_queue_and_what_ended_are_read_at_every_scrape(client, connection):
    queue = RedisQueue(connection, time_limit_s=60)
    assert value(samples(client), "phasegate_queue_depth") == 0
    old = f"an-{1_600_000_000_000:012x}{new_id()[15:]}"
    for analysis_id in (new_id(), old):
        queue.enqueue(analysis_id)
    ending = (State.SUCCEEDED, None, 20.0, 0.7, Regime.BOTH, None, {"classify ca": 0.25})
    for _ in range(2):
        queue.count(EndedAnalysis(new_id(), *ending))
    found = samples(client)
    assert value(found, "phasegate_queue_up") == 1
    assert value(found, "phasegate_queue_depth") == 2
    assert value(found, "phasegate_queue_oldest_age_seconds") > 100_000_000, "of the oldest, wherever it stands"
    assert value(found, "phasegate_analyses_running") == value(found, "phasegate_workers_alive") == 0
    assert value(found, "phasegate_analyses_total", outcome="succeeded", code="") == 2
    assert value(found, "phasegate_regimes_total", regime="both", conclusive="unknown") == 2
    assert value(found, "phasegate_stage_seconds_count", stage="classify ca") == 2
    assert value(found, "phasegate_stage_seconds_sum", stage="classify ca") == pytest.approx(0.5)
    waits = found["phasegate_analysis_wait_seconds_bucket"]
    assert (waits[("le", "15.0"),], waits[("le", "60.0"),], waits[("le", "+Inf"),]) == (0, 2, 2)
    assert value(found, "phasegate_analysis_run_seconds_sum") == pytest.approx(1.4)


def test_the_exposition_is_open_metrics_for_who_prefers_it(client):
    answer = client.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    names = {family.name for family in parse_openmetrics(answer.text)}
    assert {"phasegate_analyses", "phasegate_stage_seconds", "phasegate_http_requests"} <= names


def test_metrics_of_the_process_are_there_when_the_queue_is_away(tmp_path):
    settings = Settings(data_dir=tmp_path / "data", redis_url=f"unix://{tmp_path}/nothing.sock")
    with client_of(settings) as client:
        client.get("/healthz")
        found = samples(client)
        assert value(found, "phasegate_queue_up") == 0
        assert "phasegate_queue_depth" not in found
        assert "phasegate_analyses_total" not in found
        assert value(found, "phasegate_http_requests_total", method="GET", route="/healthz", status="200") == 1
        assert value(found, "process_resident_memory_bytes") > 1e6


def test_uploaded_bytes_are_counted_as_they_arrive(client):
    answer = client.post("/v1/analyses", files={"x": b"0" * 5000})
    assert answer.status_code == 422
    assert value(samples(client), "phasegate_upload_bytes_total") == int(answer.request.headers["content-length"])


def test_a_request_id_comes_back_and_is_in_the_line_of_the_request(client):
    with capture_logs(processors=[merge_contextvars]) as lines:
        answer = client.get("/v1/analyses/x%1b%5b31m?token=secret", headers={"X-Request-ID": "train/7.a:b=c@d+e-f_g"})
        client.get("/nothing")
    assert answer.headers.get_list("x-request-id") == ["train/7.a:b=c@d+e-f_g"]
    line, other = (line for line in lines if line["event"] == "request")
    assert {key: line[key] for key in ("request_id", "method", "route", "path", "status", "log_level")} == {
        "request_id": "train/7.a:b=c@d+e-f_g",
        "method": "GET",
        "route": "/v1/analyses/{analysis_id}",
        "path": "/v1/analyses/x%1B%5B31m",
        "status": 422,
        "log_level": "info",
    }
    assert line["response_bytes"] == len(answer.content)
    assert line["duration_ms"] >= 0
    assert FRESH_ID.fullmatch(other["request_id"])
    assert "secret" not in str(lines)


@pytest.mark.parametrize("sent", NASTY_IDS, ids=lambda sent: repr(sent[:20]))
def test_a_request_id_that_could_do_harm_is_replaced(client, sent):
    with capture_logs(processors=[merge_contextvars]) as lines:
        answer = client.get("/nothing", headers={"X-Request-ID": sent.encode("latin-1")})
    assert FRESH_ID.fullmatch(answer.headers["x-request-id"])
    assert sent not in str(lines)
    assert lines[-1]["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize("text", ["", "a\n", "a\nb", "a\r\nb", "a\0", "\u0661", *NASTY_IDS])
def test_what_is_no_request_id(text):
    assert not is_request_id(text)


def test_every_answer_has_a_request_id(client, monkeypatch):
    def broken(*arguments):
        raise ZeroDivisionError

    answers = [
        client.get("/healthz"),
        client.get("/docs"),
        client.get("/nothing"),
        client.delete("/healthz"),
        client.post("/v1/analyses", files={"x": b"0" * 20_000}),
    ]
    monkeypatch.setattr(lifecycle, "describe", broken)
    with capture_logs(processors=[merge_contextvars]) as lines:
        answers.append(client.get(f"/v1/analyses/{new_id()}"))
    assert [answer.status_code for answer in answers] == [200, 200, 404, 405, 413, 500]
    ids = [answer.headers["x-request-id"] for answer in answers]
    assert len(set(ids)) == len(ids)
    assert {line["event"]: line["request_id"] for line in lines} == {"request_failed": ids[-1], "request": ids[-1]}


def test_an_unforeseen_error_is_logged_once(client, monkeypatch):
    """The server would log it again if it were raised to it after it has been answered."""

    def broken(*arguments):
        raise ZeroDivisionError

    monkeypatch.setattr(lifecycle, "describe", broken)
    with TestClient(client.app, HERE) as strict, capture_logs() as lines:
        answer = strict.get(f"/v1/analyses/{new_id()}")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert [line["event"] for line in lines if "exc_info" in line] == ["request_failed"]


def test_what_machines_ask_every_few_seconds_is_logged_for_debugging_only(client):
    with capture_logs() as lines:
        for route in ("/healthz", "/readyz", "/metrics"):
            client.get(route)
    assert [line["log_level"] for line in lines if line["event"] == "request"] == ["debug"] * 3


def test_a_long_path_is_cut_in_the_log(client):
    with capture_logs() as lines:
        client.get("/" + "a" * 5000)
    assert len(lines[-1]["path"]) == PATH_CHARACTERS
