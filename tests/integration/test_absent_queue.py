"""The API while its queue is silent or gone: it answers, takes analyses, and they run when the queue is back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.analyses import lifecycle, reconciliation
from service.analyses.errors import AnalysisNotFound, QueueUnavailable, StoreUnavailable
from service.api import app as api
from service.settings import Settings
from service.storage.redis_queue import RedisQueue, open_brief_connection
from tests.e2e.samples import Sample

from .conftest import Valkey
from .waiting import wait_until

AT_ONCE_S = 4.0
"""Longest that a call may take which asks nobody; generous, for machines with other things to do."""
SOON_S = 12.0
"""Longest that a call may take which finds that the queue is away: it may try for about a second."""
QUICK = {"options": '{"method": "reference"}'}


def timed(call: Callable[..., Any], *arguments: Any, **named: Any) -> tuple[Any, float]:
    began = time.monotonic()
    return call(*arguments, **named), time.monotonic() - began


@pytest.fixture
def settings(tmp_path, valkey: Valkey) -> Settings:
    return Settings(data_dir=tmp_path / "data", redis_url=valkey.url)


@pytest.fixture
def client(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """The application, which looks for lost analyses more often than it needs to."""
    monkeypatch.setattr(api, "STORE_INTERVAL_S", 0.2)
    monkeypatch.setattr(reconciliation, "REQUEUE_AFTER", timedelta(seconds=1))
    with TestClient(api.create_app(settings), "http://127.0.0.1") as client:
        yield client


@pytest.fixture
def worker(settings: Settings) -> Iterator[None]:
    environment = {
        **os.environ,
        "PHASEGATE_DATA_DIR": str(settings.data_dir),
        "PHASEGATE_REDIS_URL": str(settings.redis_url),
    }
    process = subprocess.Popen([sys.executable, "-m", "service.cli", "worker"], env=environment)
    yield
    process.terminate()
    process.wait(15)


@pytest.fixture
def silent(valkey: Valkey) -> Iterator[Callable[[], None]]:
    """Stops the server as a debugger would; it holds its connections and says nothing."""
    yield lambda: os.kill(valkey.process.pid, signal.SIGSTOP)
    os.kill(valkey.process.pid, signal.SIGCONT)


def test_a_silent_queue_keeps_the_api_from_nothing_but_the_queue(client, worker, valkey, silent):
    wait_until(lambda: client.get("/readyz").status_code == 200, 30)
    before = client.post("/v1/analyses", files=Sample(seed=1).files(), data=QUICK)
    silent()
    plain, plain_s = timed(client.post, "/v1/analyses", files=Sample(seed=2).files(), data=QUICK)
    waited, waited_s = timed(
        client.post, "/v1/analyses", files=Sample(seed=3).files(), data=QUICK, headers={"Prefer": "wait=1"}
    )
    for answer in (before, plain, waited):
        assert answer.status_code == 202, answer.text
        assert answer.headers["location"] == answer.json()["links"]["self"]
    assert plain_s < SOON_S
    assert waited_s < SOON_S
    assert waited.headers["preference-applied"] == "wait=1"

    look = plain.headers["location"]
    with ThreadPoolExecutor(50) as pool:  # more than the API has threads
        looks = [pool.submit(timed, client.get, path) for path in [look, "/readyz"] * 25]
        alive, alive_s = timed(client.get, "/healthz")
        found = [one.result() for one in looks]
    assert alive.status_code == 200
    assert alive_s < AT_ONCE_S
    assert {answer.status_code for answer, _ in found} == {200, 503}
    assert max(seconds for _, seconds in found) < SOON_S

    os.kill(valkey.process.pid, signal.SIGCONT)
    for answer in (before, plain, waited):
        wait_until(lambda path=answer.headers["location"]: client.get(path).json()["state"] == "succeeded", 60)


def test_a_queue_that_refuses_connections_is_given_a_moment_and_no_more(client, valkey):
    valkey.process.kill()
    valkey.process.wait()
    answer, seconds = timed(client.post, "/v1/analyses", files=Sample().files(), data=QUICK)
    assert answer.status_code == 202
    assert seconds < SOON_S
    cancelled, seconds = timed(client.post, f"{answer.headers['location']}/cancel")
    assert cancelled.json()["state"] == "cancelled"
    assert seconds < SOON_S
    ready, seconds = timed(client.get, "/readyz")
    assert (ready.status_code, ready.json()["code"]) == (503, "queue_unavailable")
    assert seconds < SOON_S


def test_a_queue_that_was_away_is_not_asked_for_a_while_and_then_it_is(valkey, silent):
    queues = [
        RedisQueue(open_brief_connection(valkey.url), time_limit_s=60, absence_s=absence_s) for absence_s in (600, 0.01)
    ]
    silent()
    for queue in queues:
        with pytest.raises(QueueUnavailable):
            queue.workers_alive()
    os.kill(valkey.process.pid, signal.SIGCONT)
    long, short = queues
    wait_until(lambda: answers(short), 10)
    assert not answers(long)


def answers(queue: RedisQueue) -> bool:
    try:
        queue.workers_alive()
    except QueueUnavailable:
        return False
    return True


@pytest.mark.parametrize("error", [AnalysisNotFound("Gone."), StoreUnavailable("Away."), OSError("Away.")])
def test_what_is_stored_is_accepted_even_if_it_cannot_be_looked_at(client, monkeypatch, error):
    def fails(*arguments: object) -> None:
        raise error

    monkeypatch.setattr(lifecycle, "describe", fails)
    answer = client.post("/v1/analyses", files=Sample().files(), data=QUICK, headers={"Prefer": "wait=0"})
    assert answer.status_code == 202
    assert answer.json()["state"] == "queued"
    assert answer.headers["location"] == answer.json()["links"]["self"]
