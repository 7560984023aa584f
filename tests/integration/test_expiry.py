"""What has been kept for long enough goes, all of it; deletion leaves no trace; clocks that jump remove nothing."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from redis import Redis

from service.analyses import execution, intake, lifecycle
from service.analyses.claims import KeyedCall
from service.analyses.errors import StoreUnavailable
from service.analyses.expiry import HELD_S, JUMP, Expiry
from service.analyses.identity import stem_of
from service.analyses.ports import Stores
from service.analyses.submission import submit_upload
from service.api import app as api
from service.estimation.options import Options
from service.estimation.terms import Method
from service.schemas.idempotency_key import IDEMPOTENCY_KEY
from service.settings import Settings
from service.storage.idempotency import RedisClaims
from service.storage.redis_queue import RedisQueue
from tests.e2e.samples import Sample
from tests.places import DiskPlace

from .conftest import Valkey
from .test_lifecycle import an_upload, unreachable

WEEK = timedelta(days=7)
QUICK = {"options": '{"method": "reference"}'}


@pytest.fixture
def stores(place) -> Stores:
    return place.open()


@pytest.fixture
def queue(connection) -> RedisQueue:
    return RedisQueue(connection, time_limit_s=60)


class Clock:
    """Wall and monotonic time, as they are told."""

    def __init__(self) -> None:
        self.wall, self.monotonic_s = datetime.now(UTC), 1000.0

    def pass_by(self, time: timedelta, jump: timedelta = timedelta(0)) -> None:
        self.monotonic_s += time.total_seconds()
        self.wall += time + jump

    def expiry(self) -> Expiry:
        return Expiry(WEEK, 3 * WEEK, lambda: self.wall, lambda: self.monotonic_s)


def submitted(store, queue) -> str:
    options = Options(method=Method.REFERENCE)
    return submit_upload(store, queue, an_upload(), options, None, retention=WEEK).submission.id


def ran(store, queue) -> str:
    analysis_id = submitted(store, queue)
    execution.run(store, queue, analysis_id, lambda progress: None)
    queue.forget(analysis_id)
    return analysis_id


def test_everybodys_analyses_and_datasets_go_when_their_time_is_over_and_none_before(stores, queue):
    clock = Clock()
    expiry = clock.expiry()
    for tenant in ("default", "other"):
        ran(stores.of(tenant), queue)
        submitted(stores.of(tenant), queue)
        cancelled = submitted(stores.of(tenant), queue)
        lifecycle.cancel(stores.of(tenant), queue, cancelled)
    kept = {tenant: stores.of(tenant).analyses.ids() for tenant in ("default", "other")}
    clock.pass_by(WEEK - timedelta(minutes=1))
    expiry.sweep(stores, queue)
    assert {tenant: stores.of(tenant).analyses.ids() for tenant in kept} == kept
    clock.pass_by(timedelta(minutes=2))
    expiry.sweep(stores, queue)
    for tenant in kept:
        store = stores.of(tenant)
        (waiting,) = store.analyses.ids()
        assert store.datasets.ids() == [store.analyses.find(waiting).subject.dataset.id], "it is needed still"
        execution.run(store, queue, waiting, lambda progress: None)
        assert lifecycle.report(store, waiting)
    expiry.sweep(stores, queue)
    assert [stores.of(tenant).datasets.ids() for tenant in kept] == [[], []]


@pytest.mark.parametrize("part", ["datasets", "analyses"])
@pytest.mark.parametrize("error", [StoreUnavailable("The array store cannot be reached."), OSError("no more")])
def test_what_fails_with_one_tenant_keeps_nothing_of_the_others(stores, queue, monkeypatch, part, error):
    clock = Clock()
    for tenant in ("first", "second"):
        ran(stores.of(tenant), queue)
    of, erased, swept = stores.of, [], []

    def broken(tenant):
        store = of(tenant)
        if tenant == "first":
            monkeypatch.setattr(getattr(store, part), "ids", fails)
        return store

    def fails(*arguments):
        raise error

    monkeypatch.setattr(stores, "of", broken)
    monkeypatch.setattr(stores, "sweep", lambda: swept.append(True))
    monkeypatch.setattr(queue, "erase", erased.append)
    clock.pass_by(WEEK + timedelta(minutes=1))
    clock.expiry().sweep(stores, queue)
    assert [*of("second").datasets.ids(), *of("second").analyses.ids()] == []
    left = (of("first").datasets.ids(), of("first").analyses.ids())
    assert [bool(ids) for ids in left] == ([True, True] if part == "datasets" else [False, True])
    assert len(erased) == (3 if part == "datasets" else 5), "a dataset, its label set, an analysis"
    assert swept


def test_what_expires_is_gone_from_the_server_too(stores, queue, connection):
    store, clock = stores.of("default"), Clock()
    analysis_id = ran(store, queue)
    dataset_id = store.analyses.find(analysis_id).subject.dataset.id
    claims = RedisClaims(connection, ttl_s=500)
    for an_id in (analysis_id, dataset_id):
        claims.claim(KeyedCall("scope", an_id, "fingerprint", "holder"), stem_of(an_id))
    assert traces_on_server(connection, stem_of(analysis_id))
    clock.pass_by(timedelta(days=8))
    clock.expiry().sweep(stores, queue)
    for an_id in (analysis_id, dataset_id):
        assert traces_on_server(connection, stem_of(an_id)) == []
        assert not claims.is_known("scope", an_id)


def test_a_label_set_goes_with_its_dataset_however_late_it_was_added(stores, queue):
    store, clock = stores.of("default"), Clock()
    sent = an_upload()
    dataset = intake.create_dataset(store, {part: sent[part] for part in ("x", "y")}, None, WEEK)
    clock.pass_by(WEEK - timedelta(seconds=1))
    label_set = intake.add_label_set(store, dataset.id, {"labels": sent["labels"]}, None)
    clock.pass_by(timedelta(minutes=1))
    clock.expiry().sweep(stores, queue)
    assert store.datasets.ids() == []
    assert store.datasets.find_label_set(label_set.id) is None


def test_nothing_expires_for_an_hour_after_the_clock_has_jumped(stores, queue):
    store, clock = stores.of("default"), Clock()
    expiry = clock.expiry()
    analysis_id = ran(store, queue)
    expiry.sweep(stores, queue)
    clock.pass_by(timedelta(minutes=5), jump=timedelta(days=400))
    expiry.sweep(stores, queue)
    clock.pass_by(timedelta(seconds=HELD_S - 1))
    expiry.sweep(stores, queue)
    assert store.analyses.ids() == [analysis_id]
    assert len(store.datasets.ids()) == 1
    clock.pass_by(timedelta(seconds=2))
    expiry.sweep(stores, queue)
    assert (store.analyses.ids(), store.datasets.ids()) == ([], [])


def test_a_clock_that_is_set_right_in_time_has_cost_nothing(stores, queue):
    store, clock = stores.of("default"), Clock()
    expiry = clock.expiry()
    ran(store, queue)
    expiry.sweep(stores, queue)
    clock.pass_by(timedelta(minutes=5), jump=timedelta(days=400))
    expiry.sweep(stores, queue)
    clock.pass_by(timedelta(minutes=5), jump=-timedelta(days=400))
    expiry.sweep(stores, queue)
    clock.pass_by(timedelta(hours=2))
    expiry.sweep(stores, queue)
    assert len(store.analyses.ids()) == 1


def test_a_clock_that_is_set_a_little_holds_nothing_up(stores, queue):
    store, clock = stores.of("default"), Clock()
    expiry = clock.expiry()
    ran(store, queue)
    expiry.sweep(stores, queue)
    clock.pass_by(timedelta(days=8), jump=JUMP)
    expiry.sweep(stores, queue)
    assert store.analyses.ids() == []


def test_things_expire_while_the_queue_is_away(stores, queue, tmp_path):
    store, clock = stores.of("default"), Clock()
    ran(store, queue)
    clock.pass_by(timedelta(days=8))
    clock.expiry().sweep(stores, unreachable(tmp_path))
    assert (store.analyses.ids(), store.datasets.ids()) == ([], [])


@pytest.mark.parametrize("error", [OSError("Read-only file system"), StoreUnavailable("It is away.")])
def test_what_cannot_be_removed_keeps_nothing_else(stores, queue, monkeypatch, error):
    store, clock = stores.of("default"), Clock()
    ids = [ran(store, queue) for _ in range(3)]
    remove = store.analyses.remove

    def refuses(analysis_id):
        if analysis_id == ids[1]:
            raise error
        remove(analysis_id)

    monkeypatch.setattr(store.analyses, "remove", refuses)
    clock.pass_by(timedelta(days=8))
    assert set(lifecycle.sweep_analyses(store, clock.wall, WEEK)) == {ids[0], ids[2]}
    assert store.analyses.ids() == [ids[1]]


# Deletion, over HTTP


@pytest.fixture
def settings(tmp_path, valkey: Valkey) -> Settings:
    return Settings(data_dir=tmp_path / "data", redis_url=valkey.url)


@pytest.fixture
def client(settings: Settings) -> Iterator[TestClient]:
    with TestClient(api.create_app(settings), "http://127.0.0.1") as client:
        yield client


def traces_on_disk(folder: Path, stem: str) -> list[str]:
    """Paths whose name, target or content has the stem."""
    found = []
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(parent) / name
            target = os.readlink(path) if path.is_symlink() else ""
            content = path.read_bytes() if path.is_file() else b""
            if stem in str(path) or stem in target or stem.encode() in content:
                found.append(str(path))
    return found


def traces_on_server(connection: Redis, stem: str) -> list[str]:
    """Keys whose name or content has the stem."""
    read = {
        b"string": lambda key: [connection.get(key)],
        b"hash": lambda key: [part for item in connection.hgetall(key).items() for part in item],
        b"list": lambda key: connection.lrange(key, 0, -1),
        b"set": lambda key: list(connection.smembers(key)),
        b"zset": lambda key: connection.zrange(key, 0, -1),
    }
    found = []
    for key in connection.keys("*"):
        content = read[connection.type(key)](key)
        if connection.type(key) == b"hash" and (answer := connection.hget(key, "answer")):
            content.append(zlib.decompress(answer))
        if any(stem.encode() in part for part in (key, *content)):
            found.append(key.decode())
    return found


def test_deletion_is_complete(client, settings, connection):
    """An upload, labels added to it, a second analysis, a cancelled one, and a reused one: all made under keys."""

    def post(path: str, key: str, **sent) -> dict:
        answer = client.post(path, headers={IDEMPOTENCY_KEY: key}, **sent)
        assert answer.is_success, answer.text
        return answer.json()

    services, files = client.app.state.services, Sample().files()
    store = services.stores.of("default")
    first = post("/v1/analyses", "1", files=files, data=QUICK)
    labels = {part: files[part] for part in ("labels", "rows")}
    label_set = post(f"/v1/datasets/{first['dataset_id']}/label-sets", "2", files=labels)
    asked = {"dataset_id": first["dataset_id"], "label_set_id": label_set["id"], "options": {"method": "reference"}}
    cancelled = post("/v1/analyses", "3", json={**asked, "options": {}})
    post(f"/v1/analyses/{cancelled['id']}/cancel", "4")
    execution.run(store, services.queue, first["id"], lambda progress: None)
    reused = post("/v1/analyses", "5", json=asked)
    assert reused["reused"]
    opened = post("/v1/datasets", "6", json={})

    ids = [first["id"], reused["id"], cancelled["id"], label_set["id"], first["dataset_id"], first["label_set_id"]]
    assert all(traces_on_disk(settings.data_dir, stem_of(an_id)) for an_id in (*ids, opened["id"]))
    assert all(traces_on_server(connection, stem_of(an_id)) for an_id in (*ids, opened["id"]))
    for kind, an_id in (
        ("analyses", first["id"]),
        ("analyses", reused["id"]),
        ("analyses", cancelled["id"]),
        ("label-sets", label_set["id"]),
        ("datasets", first["dataset_id"]),
        ("datasets", opened["id"]),
    ):
        assert client.delete(f"/v1/{kind}/{an_id}").status_code == 204
    for an_id in (*ids, opened["id"]):
        assert traces_on_disk(settings.data_dir, stem_of(an_id)) == []
        assert traces_on_server(connection, stem_of(an_id)) == []
    left = [path for path in settings.data_dir.rglob("*") if path.is_file()]
    assert left == []


def test_when_an_analysis_goes_is_said_once_it_has_ended(client, settings):
    store, queue = client.app.state.services.stores.of("default"), client.app.state.services.queue
    submitted = client.post("/v1/analyses", files=Sample().files(), data=QUICK).json()
    assert submitted["expires_at"] is None
    execution.run(store, queue, submitted["id"], lambda progress: None)
    ended = client.get(submitted["links"]["self"]).json()
    moments = [datetime.fromisoformat(ended[name]) for name in ("finished_at", "expires_at")]
    assert moments[1] - moments[0] == settings.retention


def test_what_cannot_be_read_goes_when_its_time_is_over(queue, tmp_path_factory):
    folder = tmp_path_factory.mktemp("damaged")
    stores = DiskPlace(folder, max_label_bytes=1_000_000).open()
    store, clock = stores.of("default"), Clock()
    expiry = clock.expiry()
    ended, accepted = ran(store, queue), submitted(store, queue)
    (folder / "analyses" / ended / "outcome.json").write_bytes(b"")
    (folder / "analyses" / accepted / "submission.json").write_bytes(b'{"version": 4')
    for dataset_id in store.datasets.ids():
        (folder / "datasets" / dataset_id / "dataset.json").write_bytes(b"{")
    clock.pass_by(WEEK - timedelta(minutes=1))
    expiry.sweep(stores, queue)
    assert (len(store.analyses.ids()), len(store.datasets.ids())) == (2, 2)
    clock.pass_by(timedelta(minutes=2))
    expiry.sweep(stores, queue)
    assert (store.analyses.ids(), store.datasets.ids()) == ([], [])
