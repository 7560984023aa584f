"""What is too much is refused, before its body is read, and says when to try again."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx2
import numpy as np
import pytest
from fastapi.testclient import TestClient

from service.analyses import intake, submission
from service.analyses.errors import StoreUnavailable
from service.analyses.identity import Kind, new_id
from service.api import app as api
from service.schemas.idempotency_key import IDEMPOTENCY_KEY
from service.settings import Settings
from service.storage.rates import CallRates
from service.storage.redis_queue import RedisQueue, open_brief_connection
from service.wiring import build
from tests.e2e.samples import Sample

from .conftest import Valkey

QUICK = {"options": '{"method": "reference"}'}
FORM = {"Content-Type": "multipart/form-data; boundary=b"}
SIMULATION = {
    "kappa": [1.5],
    "gamma_x": 1.0,
    "gamma_y": 0.05,
    "gamma_tilde_x": 1.0,
    "gamma_tilde_y": 5.0,
    "nu": 0.6,
    "dx": 7,
    "dy": 5,
    "n_pairs": 100,
    "seed": 1,
}
Start = Callable[..., TestClient]


@pytest.fixture
def start(tmp_path, valkey: Valkey) -> Iterator[Start]:
    """An application with the settings that are given."""
    opened: list[TestClient] = []

    def begin(**changed: int) -> TestClient:
        settings = Settings(data_dir=tmp_path / "data", redis_url=valkey.url, **changed)
        client = TestClient(api.create_app(settings), "http://127.0.0.1")
        opened.append(client)
        return client.__enter__()

    yield begin
    for client in opened:
        client.__exit__()


class Body:
    """A body that notes whether anybody reads it."""

    def __init__(self, content: bytes = b"--b--\r\n", on_read: Callable[[], None] = lambda: None) -> None:
        self.is_read = False
        self._content, self._on_read = content, on_read

    def pieces(self) -> Iterator[bytes]:
        self.is_read = True
        yield self._content[:10]
        self._on_read()
        yield self._content[10:]


def refused(answer, status: int, code: str) -> None:
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    if status == 429:
        assert 1 <= int(answer.headers["retry-after"]) <= 60


def test_a_full_queue_takes_no_more_and_reads_nothing(start):
    client = start(max_queued=1)
    taken = client.post("/v1/analyses", files=Sample().files(), data=QUICK, headers={IDEMPOTENCY_KEY: "first"})
    assert taken.status_code == 202
    body = Body()
    refused(client.post("/v1/analyses", content=body.pieces(), headers=FORM), 429, "queue_full")
    assert not body.is_read
    stored = {name: taken.json()[name] for name in ("dataset_id", "label_set_id")}
    refused(client.post("/v1/analyses", json=stored), 429, "queue_full")
    refused(client.post("/v1/model/simulation", json={**SIMULATION, "n_labeled": 50}), 429, "queue_full")
    assert client.post("/v1/model/simulation", json=SIMULATION).status_code == 200, "it does not wait"
    again = client.post("/v1/analyses", files=Sample().files(), data=QUICK, headers={IDEMPOTENCY_KEY: "first"})
    assert again.json() == taken.json(), "what was taken is answered for"
    client.post(f"{taken.headers['location']}/cancel")
    assert client.post("/v1/analyses", json=stored).status_code == 202


def test_what_an_earlier_attempt_has_submitted_is_answered_for_though_the_queue_is_full(start, monkeypatch):
    """Neither answer was kept: one was too long, and of the other attempts none came so far."""
    client = start(max_queued=3)
    noise = np.random.default_rng(0)
    metadata = {f"m{number}": noise.bytes(250).hex() for number in range(16)}
    upload = {"files": Sample().files(), "data": {**QUICK, "metadata": json.dumps(metadata)}}
    taken = client.post("/v1/analyses", **upload, headers={IDEMPOTENCY_KEY: "long"})
    assert taken.status_code == 202
    stored = {name: taken.json()[name] for name in ("dataset_id", "label_set_id")}
    calls = [
        ("/v1/analyses", {"json": stored}),
        ("/v1/model/simulation", {"json": {**SIMULATION, "n_labeled": 50}}),
    ]

    def called() -> list[int]:
        return [client.post(path, **sent, headers={IDEMPOTENCY_KEY: path}).status_code for path, sent in calls]

    def fails(*arguments):
        raise StoreUnavailable("Away.")

    with monkeypatch.context() as patched:
        patched.setattr(submission, "_queued", fails)  # the analysis is stored by then
        assert called() == [503, 503]
    for _ in range(3):
        client.app.state.services.queue.enqueue(new_id(Kind.ANALYSIS))
    refused(client.post("/v1/analyses", json=stored), 429, "queue_full")
    assert client.post("/v1/analyses", **upload, headers={IDEMPOTENCY_KEY: "long"}).json() == taken.json()
    assert called() == [202, 202]
    assert len(client.get("/v1/analyses").json()["items"]) == 3


def test_a_queue_that_fills_up_during_an_upload_takes_it_no_more(start):
    client = start(max_queued=1)
    request = client.build_request("POST", "/v1/analyses", files=Sample().files(), data=QUICK)
    queue = client.app.state.services.queue
    body = Body(request.read(), on_read=lambda: queue.enqueue(new_id(Kind.ANALYSIS)))
    headers = {"Content-Type": request.headers["content-type"]}
    refused(client.post("/v1/analyses", content=body.pieces(), headers=headers), 429, "queue_full")
    assert body.is_read
    assert client.get("/v1/datasets").json()["items"] == []


def test_while_the_queue_is_away_what_the_store_knows_is_counted(start, valkey):
    client = start(max_queued=2)
    os.kill(valkey.process.pid, signal.SIGKILL)
    valkey.process.wait()
    for seed in range(2):
        assert client.post("/v1/analyses", files=Sample(seed=seed).files(), data=QUICK).status_code == 202
    refused(client.post("/v1/analyses", files=Sample(seed=2).files(), data=QUICK), 429, "queue_full")


def test_calls_that_change_something_are_counted_and_looks_are_free(start):
    client = start(rate_per_minute=3)
    for _ in range(3):
        assert client.post("/v1/datasets", json={}).status_code == 201
    body = Body()
    refused(client.post("/v1/datasets", content=body.pieces(), headers=FORM), 429, "rate_limited")
    refused(client.delete(f"/v1/datasets/{new_id(Kind.DATASET)}"), 429, "rate_limited")
    assert not body.is_read
    assert {client.get("/v1/datasets").status_code for _ in range(5)} == {200}


def test_there_may_be_no_limit(start):
    client = start(rate_per_minute=0)
    assert {client.delete(f"/v1/datasets/{new_id(Kind.DATASET)}").status_code for _ in range(20)} == {404}


def test_rates_are_shared_by_processes_and_each_caller_has_his_own(connection):
    one, other = (CallRates(connection, per_minute=2) for _ in range(2))
    assert [one.take("a"), other.take("a")] == [None, None]
    assert 0 < one.take("a") <= 60
    assert other.take("b") is None


def test_nobody_is_told_to_wait_for_longer_than_a_minute_when_a_clock_was_ahead(connection, monkeypatch):
    rates = CallRates(connection, per_minute=1)
    now = time.time()
    with monkeypatch.context() as patched:
        patched.setattr("time.time", lambda: now + 3600)
        assert rates.take("a") is None
    assert rates.take("a") == 60


def test_rates_are_kept_while_the_server_is_away(valkey):
    rates = CallRates(open_brief_connection(valkey.url), per_minute=2, absence_s=600)
    assert rates.take("a") is None
    os.kill(valkey.process.pid, signal.SIGKILL)
    valkey.process.wait()
    assert [rates.take("a") is None for _ in range(3)] == [True, True, False]


def test_there_are_as_many_datasets_as_the_setting_says(start):
    client = start(max_datasets=1)
    first = client.post("/v1/datasets", json={}, headers={IDEMPOTENCY_KEY: "first"})
    assert first.status_code == 201
    for path in ("/v1/datasets", "/v1/analyses"):
        body = Body()
        refused(client.post(path, content=body.pieces(), headers=FORM), 409, "too_many_datasets")
        assert not body.is_read
    assert client.post("/v1/datasets", json={}, headers={IDEMPOTENCY_KEY: "first"}).json() == first.json()
    client.delete(first.headers["location"])
    assert client.post("/v1/datasets", json={}).status_code == 201


def test_a_dataset_has_as_many_label_sets_as_the_setting_says(start):
    client = start(max_label_sets=1)
    parts = Sample().files()
    datasets = [
        client.post("/v1/datasets", files={part: parts[part] for part in ("x", "y")}).json()["id"] for _ in range(2)
    ]
    labels = {part: parts[part] for part in ("labels", "rows")}
    path = f"/v1/datasets/{datasets[0]}/label-sets"
    first = client.post(path, files=labels, headers={IDEMPOTENCY_KEY: "first"})
    assert first.status_code == 201
    body = Body()
    refused(client.post(path, content=body.pieces(), headers=FORM), 409, "too_many_label_sets")
    assert not body.is_read
    assert client.post(path, files=labels, headers={IDEMPOTENCY_KEY: "first"}).json() == first.json()
    assert client.post(f"/v1/datasets/{datasets[1]}/label-sets", files=labels).status_code == 201
    client.delete(first.headers["location"])
    assert client.post(path, files=labels).status_code == 201
    unknown = client.post(f"/v1/datasets/{new_id(Kind.DATASET)}/label-sets", files=labels)
    assert (unknown.status_code, unknown.json()["code"]) == (404, "dataset_not_found")


def test_a_caller_sends_so_much_at_a_time_and_no_more(start, monkeypatch):
    client = start(max_concurrent_uploads=1)
    begun, released = threading.Event(), threading.Event()
    create = intake.create_dataset

    def slowly(*arguments):
        begun.set()
        assert released.wait(30)
        return create(*arguments)

    monkeypatch.setattr(intake, "create_dataset", slowly)
    parts = {part: Sample().files()[part] for part in ("x", "y")}
    opened = client.post("/v1/datasets", json={}).json()["id"]
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(client.post, "/v1/datasets", files=parts)
        assert begun.wait(30)
        for method, path in (
            ("POST", "/v1/datasets"),
            ("POST", "/v1/analyses"),
            ("POST", f"/v1/datasets/{opened}/label-sets"),
            ("PUT", f"/v1/datasets/{opened}/x"),
        ):
            body = Body()
            refused(client.request(method, path, content=body.pieces(), headers=FORM), 429, "too_many_uploads")
            assert not body.is_read
        assert client.post("/v1/datasets", json={}).status_code == 201, "it is no upload"
        released.set()
        assert first.result(30).status_code == 201
    assert client.post("/v1/datasets", files=parts).status_code == 201
    assert client.app.state.taken.uploads == {}


def test_one_who_waits_for_his_analysis_uploads_no_more(start, monkeypatch):
    client = start(max_concurrent_uploads=1)
    waiting, released = threading.Event(), threading.Event()

    async def wait(watches, tenant, store, analysis, timeout_s):
        waiting.set()
        await api.asyncio.to_thread(released.wait, 30)
        return analysis

    monkeypatch.setattr("service.api.waiting.Watches.until_over", wait)
    with ThreadPoolExecutor(1) as pool:
        upload = {"files": Sample().files(), "data": QUICK}
        first = pool.submit(client.post, "/v1/analyses", **upload, headers={"Prefer": "wait=20"})
        assert waiting.wait(30)
        assert client.post("/v1/analyses", files=Sample(seed=1).files(), data=QUICK).status_code == 202
        released.set()
        assert first.result(30).status_code == 202


def test_limits_say_what_is_too_much(start):
    client = start(
        max_queued=7,
        max_datasets=8,
        max_label_sets=12,
        max_concurrent_uploads=9,
        rate_per_minute=10,
        idempotency_s=11,
        max_streams=13,
    )
    limits = client.get("/v1/limits").json()
    assert limits["load"] == {
        "queued_analyses": 7,
        "datasets": 8,
        "label_sets": 12,
        "concurrent_uploads": 9,
        "event_streams": 13,
        "changes_per_minute": 10,
        "policy_versions": 1000,
    }
    assert limits["times"]["idempotency_s"] == 11


def test_waiting_analyses_are_counted_while_they_are_handed_over(connection):
    queue = RedisQueue(connection, time_limit_s=60)
    for _ in range(3):
        queue.enqueue(new_id(Kind.ANALYSIS))
    connection.lmove("rq:queue:analyses", "rq:queue:analyses:intermediate", "LEFT", "RIGHT")
    assert queue.waiting() == 3


def test_a_worker_has_no_threads_before_it_forks(valkey_url, tmp_path):
    before = set(threading.enumerate())
    build(Settings(redis_url=valkey_url, data_dir=tmp_path / "data"))
    assert set(threading.enumerate()) == before


def at_once(call: Callable[[int], httpx2.Response], number: int) -> Counter[int]:
    """Status codes of calls that are made at the same time."""
    with ThreadPoolExecutor(number) as pool:
        return Counter(answer.status_code for answer in pool.map(call, range(number)))


def test_a_place_is_promised_to_one_of_those_who_come_at_once(start):
    client = start(max_queued=5, rate_per_minute=0)
    made = client.post("/v1/analyses", files=Sample().files(), data=QUICK).json()
    stored = {name: made[name] for name in ("dataset_id", "label_set_id")}
    came = at_once(lambda seed: client.post("/v1/analyses", json={**stored, "options": {"seed": seed}}), 16)
    assert came == {202: 4, 429: 12}
    assert client.app.state.services.queue.waiting() == 5


def test_no_more_datasets_are_made_at_once_than_there_may_be(start):
    client = start(max_datasets=4, rate_per_minute=0)
    upload = {name: file for name, file in Sample().files().items() if name in ("x", "y")}
    assert at_once(lambda _: client.post("/v1/datasets", files=upload), 12) == {201: 4, 409: 8}
    assert len(client.get("/v1/datasets").json()["items"]) == 4
