"""What a tenant has, no other sees, guesses or infers: over every call that takes an id."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import yaml
from fastapi.testclient import TestClient

from service.access.administration import create_key
from service.analyses import execution
from service.api.app import create_app
from service.api.description import description_yaml
from service.api.observation import observed
from service.settings import Settings
from service.storage.disk import DiskStores
from service.storage.redis_queue import RedisQueue
from service.wiring import open_keys
from tests.e2e.samples import Sample, npy

PATHS = yaml.safe_load(description_yaml(create_app(Settings())))["paths"]
CALLS = [(method, path) for path, operations in PATHS.items() if "_id}" in path for method in operations]
UNKNOWN = {
    "dataset_id": "ds-01a20b62cd262eca6696b11f016bef10",
    "label_set_id": "ls-01a20b62cd27c1b7d0a2f0b4c8e94d15",
    "analysis_id": "an-01a20b62cd2890aa51d3c7e2b6f48013",
    "decision_id": "de-01a20b62cd2a4d17e90b36c8f25a7be1",
    "webhook_id": "wh-01a20b62cd2a4f61b0c9d8e7f6a5b4c3",
    "delivery_id": "wd-01a20b62cd2a5e70c1d2e3f4a5b6c7d8",
}
HOSTS = "localhost:9=127.0.0.0/8"
WEBHOOK = {"url": "https://localhost:9/", "events": ["analysis.failed"]}
GATE = {"json": {"policy": "alignment"}}
SAMPLE = Sample(seed=5, n=60, m=30)
LABELS = {"labels": ("labels", SAMPLE.labels_csv()), "rows": ("rows", npy(SAMPLE.rows))}
OPTIONS = {"options": json.dumps({"method": "reference"})}


@dataclass(frozen=True)
class Tenant:
    """One tenant's access to the application."""

    http: TestClient
    key: str

    def __call__(self, method: str, path: str, **sent: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.key}", **sent.pop("headers", {})}
        return self.http.request(method, path, headers=headers, **sent)

    def ids(self, path: str) -> list[str]:
        return [item["id"] for item in self("GET", path).json()["items"]]


@pytest.fixture
def settings(tmp_path, valkey_url) -> Settings:
    return Settings(data_dir=tmp_path / "data", redis_url=valkey_url, require_keys=True, webhook_hosts=HOSTS)


@pytest.fixture
def http(settings) -> Iterator[TestClient]:
    """The application; no worker, so that what waits goes on waiting."""
    with TestClient(observed(create_app(settings)), "http://127.0.0.1") as client:
        yield client


@pytest.fixture
def tenants(settings, http) -> tuple[Tenant, Tenant]:
    kept = open_keys(settings)
    ours, theirs = (create_key(kept, name, name, ["read", "submit"], None) for name in ("ours", "theirs"))
    return Tenant(http, ours), Tenant(http, theirs)


def filled(tenant: Tenant, settings: Settings, connection) -> dict[str, dict[str, str]]:
    """What a tenant may have, by kind: ids of an open and a ready dataset, analyses that wait and that are done, a
    decision on one of these, a webhook with a delivery.
    """
    opened = tenant("POST", "/v1/datasets", json={}).json()["id"]
    done, waiting = (tenant("POST", "/v1/analyses", files=SAMPLE.files(), data=OPTIONS).json() for _ in range(2))
    stores = DiskStores(settings.data_dir, settings.max_label_bytes)
    queue = RedisQueue(connection, time_limit_s=60)
    execution.run(stores.holder_of(done["id"]), queue, done["id"], lambda progress: None)
    queue.forget(done["id"])
    decision = tenant("POST", f"/v1/analyses/{done['id']}/gate", **GATE).json()["id"]
    webhook = tenant("POST", "/v1/webhooks", json=WEBHOOK).json()["id"]
    delivery = tenant("POST", f"/v1/webhooks/{webhook}/test").json()["id"]
    shared = {"label_set_id": done["label_set_id"], "decision_id": decision}
    shared |= {"webhook_id": webhook, "delivery_id": delivery}
    return {
        kind: {"dataset_id": dataset, "analysis_id": analysis["id"]} | shared
        for kind, dataset, analysis in (("open", opened, waiting), ("ready", done["dataset_id"], done))
    }


def body_of(method: str, path: str) -> dict[str, Any]:
    """A body that the call takes, so that nothing but the id is wrong."""
    if method == "put":
        return {"content": npy(SAMPLE.x)}
    if path.endswith("/gate"):
        return GATE
    return {"files": LABELS} if path.endswith("/label-sets") and method == "post" else {}


def told(answer, ids: dict[str, str]) -> tuple[int, dict[str, str], str]:
    """All that an answer tells, without the ids that were asked for and what differs every time."""
    text = answer.text
    for value in ids.values():
        text = text.replace(value, "ID")
    volatile = ("x-request-id", "date")
    return answer.status_code, {k: v for k, v in answer.headers.items() if k not in volatile}, text


def everything(tenant: Tenant, found: dict[str, dict[str, str]]) -> list[Any]:
    """All that a tenant can see of what it has."""
    seen = [tenant("GET", path).json() for path in ("/v1/datasets", "/v1/analyses", "/v1/decisions", "/v1/webhooks")]
    addresses = ("datasets", "label-sets", "analyses", "decisions", "webhooks")
    for ids in found.values():
        for kind, address in zip(UNKNOWN, addresses, strict=False):
            seen.append(tenant("GET", f"/v1/{address}/{ids[kind]}").json())
    return seen


def test_anothers_id_is_answered_as_one_that_nobody_has(tenants, settings, connection):
    ours, theirs = tenants
    found = filled(theirs, settings, connection)
    before = everything(theirs, found)
    assert len(CALLS) >= 11
    for method, path in CALLS:
        for kind, ids in found.items():
            body = body_of(method, path)
            asked = [ours(method, path.format(part="x", **named), **body) for named in (ids, UNKNOWN)]
            other, unknown = (told(answer, named) for answer, named in zip(asked, (ids, UNKNOWN), strict=True))
            assert other == unknown, (method, path, kind)
            assert other[0] == 404, (method, path, kind)
            if path.endswith("/events") and kind == "open":
                continue  # a stream that lasts as long as the analysis
            if method == "get":  # the owner does see it: not all is unknown
                own = theirs(method, path.format(part="x", **ids))
                assert own.status_code == 200 or own.json()["code"] == "report_not_ready", (path, kind)
    assert everything(theirs, found) == before


def test_anothers_ids_in_a_body_are_answered_as_ones_that_nobody_has(tenants, settings, connection):
    ours, theirs = tenants
    anothers = filled(theirs, settings, connection)["ready"]
    own = filled(ours, settings, connection)["ready"]
    for dataset, label_set in (("own", "another"), ("another", "own"), ("another", "another")):
        answers = []
        for stranger in (anothers, UNKNOWN):
            ids = {"own": own, "another": stranger}
            sent = {"dataset_id": ids[dataset]["dataset_id"], "label_set_id": ids[label_set]["label_set_id"]}
            answers.append(told(ours("POST", "/v1/analyses", json=sent, headers={"Prefer": "wait=1"}), stranger | own))
        assert answers[0] == answers[1], (dataset, label_set)
        assert answers[0][0] == 404


def test_lists_have_ones_own_alone_whatever_cursor_is_sent(tenants, settings, connection):
    ours, theirs = tenants
    anothers = filled(theirs, settings, connection)["ready"]
    assert (ours.ids("/v1/datasets"), ours.ids("/v1/analyses")) == ([], [])
    own = filled(ours, settings, connection)
    newest = {"datasets": "ds-" + "f" * 32, "analyses": "an-" + "f" * 32, "decisions": "de-" + "f" * 32}
    for name, kind in (("datasets", "dataset_id"), ("analyses", "analysis_id"), ("decisions", "decision_id")):
        listed = set(ours.ids(f"/v1/{name}"))
        assert {ids[kind] for ids in own.values()} <= listed
        assert not listed & set(theirs.ids(f"/v1/{name}"))
        assert set(ours.ids(f"/v1/{name}?cursor={newest[name]}")) == listed
        assert ours.ids(f"/v1/{name}?cursor={anothers[kind]}") == [], "all that is ours is newer"


def test_a_policy_is_its_tenants(tenants):
    ours, theirs = tenants
    policy = {"schema_version": "1.0", "planned": {"objective": "any"}, "require": {"recovery_probability": {"min": 1}}}
    assert theirs("POST", "/v1/policies", json={"name": "mine", "policy": policy}).status_code == 201
    for path in ("/v1/policies/mine", "/v1/policies/mine/versions/1"):
        assert (ours("GET", path).status_code, theirs("GET", path).status_code) == (404, 200)
    assert "mine" not in [item["name"] for item in ours("GET", "/v1/policies").json()["items"]]
    assert ours("POST", "/v1/policies", json={"name": "mine", "policy": policy}).json()["version"] == 1


def test_an_upload_tells_nothing_of_anothers_that_is_equal(tenants, settings, connection):
    """Neither by what is answered nor by what is computed anew."""
    ours, theirs = tenants
    upload = {"files": SAMPLE.files(), "data": OPTIONS}
    first = ours("POST", "/v1/analyses", **upload).json()
    filled(theirs, settings, connection)
    own = theirs("POST", "/v1/analyses", **upload)
    assert (own.status_code, own.json()["reused"]) == (200, True), "who has it gets it again"
    again = ours("POST", "/v1/analyses", **upload)
    differs = {"id", "dataset_id", "label_set_id", "submitted_at", "queue_position", "links"}
    assert again.status_code == 202
    assert {k: v for k, v in again.json().items() if k not in differs} == {
        k: v for k, v in first.items() if k not in differs
    }


def test_the_key_of_a_call_is_its_tenants(tenants):
    """`Idempotency-Key` of one neither gets another's answer nor stands in the way of another's call."""
    head = {"headers": {"Idempotency-Key": "nightly-1"}}
    first, other = (
        tenant("POST", "/v1/datasets", json={"parts": parts}, **head)
        for tenant, parts in zip(tenants, (["x", "y"], ["x", "y", "groups"]), strict=True)
    )
    assert (first.status_code, other.status_code) == (201, 201)
    assert first.json()["id"] != other.json()["id"]
    ours, theirs = tenants
    repeated = ours("POST", "/v1/datasets", json={"parts": ["x", "y"]}, headers={"Idempotency-Key": "nightly-1"})
    assert repeated.json()["id"] == first.json()["id"], "it is kept for its own"
    assert other.json()["id"] not in ours.ids("/v1/datasets")
    assert first.json()["id"] not in theirs.ids("/v1/datasets")


def test_the_metrics_key_reaches_nobodys_data(settings, http, tenants):
    admin = Tenant(http, create_key(open_keys(settings), "metrics", "theirs", ["admin"], None))
    assert admin("GET", "/metrics").status_code == 200
    assert {admin("GET", path).status_code for path in ("/v1/datasets", "/v1/analyses", "/v1/limits")} == {403}
