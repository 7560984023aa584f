"""`Idempotency-Key`: a call that is repeated under its key is made once, and answered as it was the first time."""

from __future__ import annotations

import io
import json
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import numpy as np
import pytest
from fastapi.testclient import TestClient

from service.analyses import intake, submission
from service.analyses.claims import Answer, KeyedCall
from service.analyses.errors import IdempotencyKeyInUse, IdempotencyKeyReused, StoreUnavailable
from service.analyses.tenancy import DEFAULT_TENANT
from service.api import app as api
from service.estimation.options import Options
from service.schemas.idempotency_key import IDEMPOTENCY_KEY
from service.settings import Settings
from service.storage import keys
from service.storage.bucket_records import DatasetRecords
from service.storage.idempotency import RedisClaims, forget_calls
from service.storage.redis_queue import RedisQueue
from tests.e2e.samples import Sample

from .conftest import Valkey

WEEK = timedelta(days=7)
QUICK = {"options": '{"method": "reference"}'}
MODEL = {
    "kappa": [1.5],
    "gamma_x": 1.0,
    "gamma_y": 0.05,
    "gamma_tilde_x": 1.0,
    "gamma_tilde_y": 5.0,
    "nu": 0.6,
    "dx": 7,
    "dy": 5,
}
DIAGRAM = {"gamma_x": 1.0, "gamma_y": 0.05, "gamma_tilde_x": 1.0, "gamma_tilde_y": 5.0}


@pytest.fixture
def settings(tmp_path, valkey: Valkey) -> Settings:
    return Settings(data_dir=tmp_path / "data", redis_url=valkey.url)


@pytest.fixture
def client(settings: Settings) -> Iterator[TestClient]:
    with TestClient(api.create_app(settings), "http://127.0.0.1", raise_server_exceptions=False) as client:
        yield client


def keyed(key: str = "a key") -> dict[str, str]:
    return {IDEMPOTENCY_KEY: key.replace(" ", "-")}


def form_of(sample: Sample, boundary: str, name: str) -> dict:
    """A form as another client might write it."""
    text = b""
    for part, (_, content) in sample.files().items():
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{part}"; filename="{name}-{part}"\r\n\r\n'
        text += head.encode() + content + b"\r\n"
    text += f'--{boundary}\r\nContent-Disposition: form-data; name="options"\r\n\r\n{QUICK["options"]}\r\n'.encode()
    text += f"--{boundary}--\r\n".encode()
    return {"content": text, "headers": {"Content-Type": f"multipart/form-data; boundary={boundary}", **keyed()}}


def same_answer(first, again) -> bool:
    names = ("location", "content-type", "retry-after")
    return (first.status_code, first.content) == (again.status_code, again.content) and all(
        first.headers.get(name) == again.headers.get(name) for name in names
    )


def calls(client: TestClient) -> Iterator[tuple[str, dict]]:
    """Every POST, with something to send."""
    sample = Sample()
    parts = sample.files()
    yield "/v1/datasets", {"files": {part: parts[part] for part in ("x", "y")}}
    yield "/v1/datasets", {"json": {"parts": ["x", "y"]}}
    yield "/v1/analyses", {"files": parts, "data": QUICK}
    analysis = client.post("/v1/analyses", files=parts, data=QUICK).json()
    yield "/v1/analyses", {"json": {name: analysis[name] for name in ("dataset_id", "label_set_id")}}
    labels = {part: parts[part] for part in ("labels", "rows")}
    yield f"/v1/datasets/{analysis['dataset_id']}/label-sets", {"files": labels}
    yield f"/v1/analyses/{analysis['id']}/cancel", {}
    yield "/v1/model/separation", {"json": MODEL}
    yield "/v1/model/phase-diagram", {"json": DIAGRAM}
    yield "/v1/model/simulation", {"json": {**MODEL, "n_pairs": 100, "seed": 1}}
    yield "/v1/model/simulation", {"json": {**MODEL, "n_pairs": 100, "seed": 1, "n_labeled": 50}}


def stored(client: TestClient) -> list[int]:
    """How many datasets and analyses there are."""
    return [len(client.get(f"/v1/{kind}", params={"limit": 200}).json()["items"]) for kind in ("datasets", "analyses")]


def test_every_post_is_made_once_and_answered_again(client):
    for number, (path, sent) in enumerate(calls(client)):
        first = client.post(path, **sent, headers=keyed(f"call {number}"))
        assert first.is_success, first.text
        assert "idempotent-replayed" not in first.headers
        before = stored(client)
        again = client.post(path, **sent, headers=keyed(f"call {number}"))
        assert same_answer(first, again), path
        assert again.headers["idempotent-replayed"] == "true"
        assert stored(client) == before
        other = client.post(path, **sent, headers=keyed(f"other {number}"))
        assert other.is_success
        assert "idempotent-replayed" not in other.headers


def test_a_form_is_the_same_whatever_its_boundary_and_the_names_of_its_files(client):
    first = client.post("/v1/analyses", **form_of(Sample(), "one", "here"))
    again = client.post("/v1/analyses", **form_of(Sample(), "another", "there"))
    assert first.status_code == 202
    assert same_answer(first, again)
    other = client.post("/v1/analyses", **form_of(Sample(seed=1), "one", "here"))
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


def test_a_key_is_one_for_each_kind_of_call_and_not_for_each_address(client):
    datasets = [client.post("/v1/datasets", json={}, headers=keyed(name)).json() for name in ("a", "b")]
    assert datasets[0]["id"] != datasets[1]["id"]
    first, second = (
        client.post("/v1/analyses", files=Sample(seed=seed).files(), data=QUICK, headers=keyed(f"{seed}")).json()
        for seed in range(2)
    )
    cancelled = client.post(f"/v1/analyses/{first['id']}/cancel", headers=keyed("a"))
    assert cancelled.status_code == 202
    other = client.post(f"/v1/analyses/{second['id']}/cancel", headers=keyed("a"))
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


@pytest.mark.parametrize("key", ["", "two words", "k" * 256, "ä"])
def test_a_malformed_key_is_refused(client, key):
    answer = client.post("/v1/datasets", json={}, headers={IDEMPOTENCY_KEY: key.encode("latin-1")})
    assert (answer.status_code, answer.json()["part"]) == (422, IDEMPOTENCY_KEY)


def test_two_keys_are_refused(client):
    answer = client.post("/v1/datasets", json={}, headers=[(IDEMPOTENCY_KEY, "a"), (IDEMPOTENCY_KEY, "b")])
    assert (answer.status_code, answer.json()["part"]) == (422, IDEMPOTENCY_KEY)


def test_the_longest_key_is_taken(client):
    assert client.post("/v1/datasets", json={}, headers=keyed("k" * 255)).status_code == 201


def test_a_call_that_is_being_answered_is_not_made_again(client, monkeypatch):
    begun, released = threading.Event(), threading.Event()
    create = intake.create_dataset

    def slowly(*arguments):
        begun.set()
        assert released.wait(30)
        return create(*arguments)

    monkeypatch.setattr(intake, "create_dataset", slowly)
    parts = {part: Sample().files()[part] for part in ("x", "y")}
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(client.post, "/v1/datasets", files=parts, headers=keyed())
        assert begun.wait(30)
        again = client.post("/v1/datasets", files=parts, headers=keyed())
        other = client.post("/v1/datasets", json={}, headers=keyed())
        released.set()
        assert first.result(30).status_code == 201
    assert (again.status_code, again.json()["code"]) == (409, "idempotency_key_in_use")
    assert int(again.headers["retry-after"]) >= 1
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert same_answer(first.result(), client.post("/v1/datasets", files=parts, headers=keyed()))


def test_a_call_that_waits_is_answered_while_it_waits(client, monkeypatch):
    waiting, released = threading.Event(), threading.Event()

    async def wait(watches, tenant, store, analysis, timeout_s):
        waiting.set()
        await api.asyncio.to_thread(released.wait, 30)
        return analysis

    monkeypatch.setattr("service.api.waiting.Watches.until_over", wait)
    upload = {"files": Sample().files(), "data": QUICK}
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(client.post, "/v1/analyses", **upload, headers={**keyed(), "Prefer": "wait=20"})
        assert waiting.wait(30)
        again = client.post("/v1/analyses", **upload, headers=keyed())
        released.set()
        assert first.result(30).json()["id"] == again.json()["id"]
    assert again.status_code == 202
    assert again.headers["location"] == again.json()["links"]["self"]
    assert stored(client)[1] == 1


def test_a_refused_call_leaves_its_key_free(client, connection):
    parts = Sample().files()
    refused = client.post("/v1/datasets", files={"x": parts["x"], "y": parts["rows"]}, headers=keyed())
    assert refused.status_code == 422
    assert not connection.keys("phasegate:call*")
    assert client.post("/v1/datasets", files={part: parts[part] for part in ("x", "y")}, headers=keyed()).is_success


@pytest.mark.parametrize("error", [StoreUnavailable("Away."), ZeroDivisionError()])
def test_after_a_failure_the_same_call_is_made_again(client, monkeypatch, error):
    def fails(*arguments):
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(intake, "open_dataset", fails)
        assert client.post("/v1/datasets", json={}, headers=keyed()).status_code in (500, 503)
    again = client.post("/v1/datasets", json={}, headers=keyed())
    assert again.status_code == 201
    assert "idempotent-replayed" not in again.headers


class Killed(BaseException):
    """Stands for the end of the process."""


DYING = {
    "before anything is kept": (submission, "receive", 0),
    "between the label set and its dataset": (DatasetRecords, "create", 0),
    "between the dataset and its analysis": (submission, "_submission", 0),
    "between storing and queueing": (submission, "_queued", 1),
}
ON_A_BUCKET_ALONE = "between the label set and its dataset"
"""On disk both are kept in one step."""


@pytest.mark.parametrize(
    ("place", "at"),
    [(place, at) for place in ("disk", "bucket") for at in DYING if (place, at) != ("disk", ON_A_BUCKET_ALONE)],
    indirect=["place"],
)
def test_a_repetition_finds_what_a_dead_process_has_made(place, connection, monkeypatch, at):
    """The stem that the key holds is that of the ids: whatever was kept under it is found."""
    module, name, n_analyses = DYING[at]
    store, claims = place.open().of(DEFAULT_TENANT), RedisClaims(connection, ttl_s=500)
    queue = RedisQueue(connection, time_limit_s=60)
    stem = claims.claim(KeyedCall("scope", "key", "fingerprint", "first"), "1" * 32).stem

    def upload(stem):
        sources = {part: open_part(content) for part, (_, content) in Sample().files().items()}
        return submission.submit_upload(store, queue, sources, Options(), None, retention=WEEK, stem=stem)

    def dies(*arguments, **named):
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(module, name, dies)
        with pytest.raises(Killed):
            upload(stem)
    assert len(store.analyses.ids()) == n_analyses
    second = KeyedCall("scope", "key", "fingerprint", "second")
    with pytest.raises(IdempotencyKeyInUse):
        claims.claim(second, "2" * 32)
    connection.hset(connection.keys(f"{keys.CALL_PREFIX}*")[0], "leased_until", 0)
    assert claims.claim(second, "2" * 32).stem == stem
    for _ in range(2):
        assert upload(stem).submission.id == f"an-{stem}"
        assert store.analyses.ids() == [f"an-{stem}"]
        assert store.datasets.ids() == [f"ds-{stem}"]
        assert store.datasets.label_set_ids(f"ds-{stem}") == [f"ls-{stem}"]


def open_part(content: bytes):
    return io.BytesIO(content)


def test_label_sets_and_open_datasets_are_found_again_too(place):
    store = place.open().of(DEFAULT_TENANT)
    stem = "3" * 32
    assert intake.open_dataset(store, (), None, stem) == intake.open_dataset(store, (), None, stem)
    files = Sample().files()
    dataset = intake.create_dataset(
        store, {part: open_part(files[part][1]) for part in ("x", "y")}, None, WEEK, "4" * 32
    )
    first, again = (
        intake.add_label_set(
            store, dataset.id, {part: open_part(files[part][1]) for part in ("labels", "rows")}, None, stem
        )
        for _ in range(2)
    )
    assert first == again
    assert store.datasets.label_set_ids(dataset.id) == [f"ls-{stem}"]


def test_without_its_server_a_call_with_a_key_is_refused_and_one_without_is_taken(client, valkey):
    os.kill(valkey.process.pid, signal.SIGKILL)
    valkey.process.wait()
    with_key = client.post("/v1/datasets", json={}, headers=keyed())
    assert (with_key.status_code, with_key.json()["code"]) == (503, "queue_unavailable")
    assert "retry-after" in with_key.headers
    assert client.post("/v1/datasets", json={}).status_code == 201


def test_an_answer_is_given_even_if_it_cannot_be_kept(client, valkey, monkeypatch):
    create = intake.open_dataset

    def then_the_server_goes(*arguments):
        made = create(*arguments)
        os.kill(valkey.process.pid, signal.SIGKILL)
        valkey.process.wait()
        return made

    monkeypatch.setattr(intake, "open_dataset", then_the_server_goes)
    assert client.post("/v1/datasets", json={}, headers=keyed()).status_code == 201


def test_keys_are_kept_for_as_long_as_the_setting_says_and_go_with_what_they_made(connection):
    claims = RedisClaims(connection, ttl_s=500)
    call = KeyedCall("scope", "key", "fingerprint", "holder")
    claims.claim(call, "5" * 32)
    kept = connection.keys("phasegate:call*")
    assert len(kept) == 4
    assert all(400 < connection.ttl(key) <= 500 for key in kept)
    with pytest.raises(IdempotencyKeyReused):
        claims.claim(KeyedCall("scope", "key", "other", "holder"), "6" * 32)
    assert claims.claim(KeyedCall("another scope", "key", "other", "holder"), "6" * 32).answer is None
    assert claims.is_known("scope", "key")
    forget_calls(connection, "5" * 32)
    assert not claims.is_known("scope", "key")
    assert claims.is_known("another scope", "key")


def test_the_latest_keys_are_kept_and_no_more_than_there_may_be(connection):
    claims = RedisClaims(connection, ttl_s=500, most=3)
    calls = [KeyedCall("scope", f"key {number}", "fingerprint", "holder") for number in range(5)]
    for number, call in enumerate(calls):
        claims.claim(call, f"{number:032x}")
        claims.keep(call, Answer(201, {}, "made"))
    assert [claims.is_known(call.scope, call.key) for call in calls] == [False, False, True, True, True]
    claims.let_go(calls[2], forget=True)
    assert claims.claim(calls[4], "8" * 32).answer == Answer(201, {}, "made")
    assert connection.zcard(f"{keys.CALLS_PREFIX}default") == len(connection.keys(f"{keys.CALL_PREFIX}*")) == 3


def test_whoever_has_most_keys_loses_his_own_and_pushes_out_nobody_elses(connection):
    claims = RedisClaims(connection, ttl_s=500, most=5)

    def called(tenant: str, number: int) -> KeyedCall:
        call = KeyedCall(f"{tenant} calls", f"{number}", "fingerprint", "holder", tenant)
        claims.claim(call, f"{number:032x}")
        return call

    few = [called("few", number) for number in range(2)]
    many = [called("many", number) for number in range(20)]
    assert all(claims.is_known(call.scope, call.key) for call in few)
    assert [claims.is_known(call.scope, call.key) for call in many] == [False] * 17 + [True] * 3
    called("few", 2)
    assert not claims.is_known(few[0].scope, few[0].key), "with as many as the other, it is one's own"
    assert all(claims.is_known(call.scope, call.key) for call in [few[1], *many[-3:]])
    assert connection.smembers(keys.CALLERS) == {b"few", b"many"}
    claims.let_go(many[-1], forget=True)
    for number in (17, 18):
        forget_calls(connection, f"{number:032x}")
    assert connection.smembers(keys.CALLERS) == {b"few"}
    assert connection.zcard(f"{keys.CALLS_PREFIX}few") == 2


def test_a_long_answer_is_made_again_from_what_is_there(client, connection):
    rng = np.random.default_rng(0)
    metadata = {f"m{number}": rng.bytes(250).hex() for number in range(16)}
    upload = {"files": Sample().files(), "data": {**QUICK, "metadata": json.dumps(metadata)}}
    first, again = (client.post("/v1/analyses", **upload, headers=keyed()) for _ in range(2))
    (record,) = connection.keys(f"{keys.CALL_PREFIX}*")
    assert len(connection.hget(record, "answer")) < 300
    assert again.headers["idempotent-replayed"] == "true"
    assert first.json() == again.json()
    assert stored(client) == [1, 1]


@pytest.mark.parametrize("jump_s", [3600, -3600])
def test_a_clock_that_is_set_leaves_no_key_in_use_for_ever(connection, jump_s):
    """The next attempt may then run beside one that lives: both make the same, under the same ids."""
    claims = RedisClaims(connection, ttl_s=500)
    stem = claims.claim(KeyedCall("scope", "key", "fingerprint", "one"), "9" * 32).stem
    (record,) = connection.keys(f"{keys.CALL_PREFIX}*")
    connection.hincrbyfloat(record, "leased_until", -jump_s)
    assert claims.claim(KeyedCall("scope", "key", "fingerprint", "two"), "8" * 32).stem == stem


def test_a_lease_is_renewed_by_its_holder_alone(connection):
    claims = RedisClaims(connection, ttl_s=500)
    call, other = (KeyedCall("scope", "key", "fingerprint", holder) for holder in ("one", "two"))
    claims.claim(call, "7" * 32)
    (record,) = connection.keys(f"{keys.CALL_PREFIX}*")
    until = float(connection.hget(record, "leased_until"))
    claims.renew(other)
    claims.let_go(other, forget=True)
    assert float(connection.hget(record, "leased_until")) == until
    connection.hset(record, "leased_until", 0)
    claims.renew(call)
    assert float(connection.hget(record, "leased_until")) >= until
