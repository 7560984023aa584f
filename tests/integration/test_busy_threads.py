"""While uploads keep all common threads busy, and strangers those that look keys up, what must not wait goes on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from anyio import CapacityLimiter, to_thread
from fastapi.testclient import TestClient

from service.access.administration import create_key
from service.analyses import intake
from service.api import app as api
from service.schemas.idempotency_key import IDEMPOTENCY_KEY
from service.settings import Settings
from service.storage import keys
from service.wiring import open_keys

from .conftest import Valkey
from .waiting import wait_until

COMMON = to_thread.current_default_thread_limiter


@pytest.fixture
def settings(tmp_path, valkey: Valkey) -> Settings:
    return Settings(data_dir=tmp_path / "data", redis_url=valkey.url, require_keys=True)


@pytest.fixture
def client(settings: Settings) -> Iterator[TestClient]:
    with TestClient(api.create_app(settings), "http://127.0.0.1") as client:
        yield client


@pytest.fixture
def key(settings: Settings, client: TestClient) -> str:
    return create_key(open_keys(settings), "me", "default", ["submit"], None)


def bearing(key: str, **more: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}", **more}


@contextmanager
def busy(client: TestClient, which=COMMON) -> Iterator[None]:
    """All threads of one kind that are free are taken."""
    holders: list[object] = []

    async def take() -> None:
        limiter: CapacityLimiter = which()
        while limiter.available_tokens:
            holder = object()
            await limiter.acquire_on_behalf_of(holder)
            holders.append(holder)

    async def give_back() -> None:
        for holder in holders:
            which().release_on_behalf_of(holder)

    client.portal.call(take)
    try:
        yield
    finally:
        client.portal.call(give_back)


def test_probes_answer_and_keys_are_looked_up_while_all_common_threads_are_busy(client, key):
    with busy(client):
        assert client.get("/readyz").json()["code"] == "no_worker"
        assert client.get("/nothing", headers=bearing(f"pg_{'0' * 12}_{'0' * 64}")).status_code == 401
        assert client.post("/nothing", headers=bearing(key)).status_code == 404


def test_a_key_that_is_remembered_waits_for_no_stranger(client, key):
    assert client.post("/nothing", headers=bearing(key)).status_code == 404
    with busy(client), busy(client, lambda: client.app.state.threads.lookups):
        assert client.post("/nothing", headers=bearing(key)).status_code == 404
        wrong = f"{key[:-64]}{'0' * 64}"
        assert client.post("/nothing", headers=bearing(wrong)).status_code == 401
        assert client.post("/nothing", headers=bearing("no key")).status_code == 401


def test_a_lease_is_renewed_while_all_threads_are_busy(client, key, connection, monkeypatch):
    begun, released = threading.Event(), threading.Event()
    opened = intake.open_dataset

    def slowly(*arguments):
        begun.set()
        assert released.wait(30)
        return opened(*arguments)

    async def keep_busy() -> None:
        for _ in range(100):  # more than the event loop's own executor has
            asyncio.get_running_loop().run_in_executor(None, released.wait, 30)

    monkeypatch.setattr(intake, "open_dataset", slowly)
    monkeypatch.setattr("service.api.once.CALL_LEASE_S", 0.03)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(client.post, "/v1/datasets", json={}, headers=bearing(key, **{IDEMPOTENCY_KEY: "one"}))
        assert begun.wait(30)
        client.portal.call(keep_busy)
        with busy(client):
            (record,) = connection.keys(f"{keys.CALL_PREFIX}*")
            connection.hset(record, "leased_until", 0)
            wait_until(lambda: float(connection.hget(record, "leased_until")) > 0, 20)
        released.set()
        assert first.result(30).status_code == 201
