"""What is owed is delivered, whatever fails on the way: real stores, leases and targets."""

from __future__ import annotations

import asyncio
import threading
import zlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from pydantic import TypeAdapter
from standardwebhooks import Webhook as Verifier

from service.access.targets import read_targets
from service.analyses import execution, webhooks
from service.analyses.analysis import RECORD_VERSION, Failure, Outcome
from service.analyses.errors import StoreUnavailable
from service.analyses.happenings import analysis_ended
from service.analyses.identity import Kind, new_id
from service.analyses.ports import Stores
from service.analyses.tenancy import DEFAULT_TENANT
from service.analyses.webhook import LONGEST_PENDING, Delivery, DeliveryState, Event, EventType, Webhook
from service.api import app as api
from service.notifications import delivering
from service.notifications.delivering import LEASE_S, Deliverer
from service.notifications.sending import Sender
from service.notifications.turns import AT_ONCE_EACH
from service.schemas.webhooks import AnalysisEvent, DecisionEvent
from service.settings import Settings
from service.storage.leases import RedisLeases
from service.storage.records import DELIVERY, WEBHOOK
from service.storage.redis_queue import open_connection
from tests.e2e.samples import Sample
from tests.places import DiskPlace, Place
from tests.receiver import Receiver, receiving
from tests.unit.notifications.samples import a_webhook

from .conftest import Valkey
from .waiting import wait_until

SOON = timedelta(minutes=1)
EVENT = TypeAdapter(AnalysisEvent | DecisionEvent)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


def hosts(*receivers: Receiver) -> str:
    return ",".join(f"127.0.0.1:{receiver.port}" for receiver in receivers)


class Telling:
    """A store with webhooks, and deliverers over it as several processes have them."""

    def __init__(self, stores: Stores, redis_url: str, *receivers: Receiver) -> None:
        self.stores, self.store = stores, stores.of(DEFAULT_TENANT).webhooks
        self._url, self._hosts = redis_url, hosts(*receivers)
        self.outcomes: list[str] = []

    def deliverer(self, redis_url: str | None = None) -> Deliverer:
        leases = RedisLeases(open_connection(redis_url or self._url, timeout_s=1.0, retries=0), ttl_s=LEASE_S)
        sender = Sender(read_targets(self._hosts), allow_http=True, attempt_s=5.0)
        return Deliverer(self.stores, leases, sender, self.outcomes.append, drawn=lambda: 0.0)

    def webhook(self, receiver: Receiver) -> Webhook:
        webhook = a_webhook(f"http://127.0.0.1:{receiver.port}/")
        assert self.store.add(webhook)
        return webhook

    def owe(self, webhook: Webhook) -> Delivery:
        outcome = Outcome(RECORD_VERSION, None, datetime.now(UTC) - SOON, Failure("worker_lost", "It died.", None))
        delivery = webhooks.delivery_of(webhook.id, analysis_ended(new_id(Kind.ANALYSIS), outcome))
        self.store.owe(delivery)
        return delivery

    def round(self, *deliverers: Deliverer) -> None:
        async def rounds() -> None:
            for deliverer in deliverers or (self.deliverer(),):
                await deliverer.round()
            for deliverer in deliverers:
                await deliverer.settled()

        async def one() -> None:
            deliverer = self.deliverer()
            await deliverer.round()
            await deliverer.settled()

        asyncio.run(rounds() if deliverers else one())

    def state(self, delivery: Delivery) -> Delivery:
        found = self.store.find_delivery(delivery.webhook_id, delivery.id)
        assert found is not None
        return found

    def make_due(self, delivery: Delivery) -> None:
        before = self.state(delivery)
        self.store.update(before, replace(before, next_attempt_at=datetime.now(UTC)))

    def pending(self) -> list[str]:
        return [one.delivery_id for one in self.stores.owed(datetime.now(UTC) + timedelta(days=9))]


@pytest.fixture
def told(place: Place, shared_valkey: Valkey, receiver: Receiver) -> Telling:
    return Telling(place.open(), shared_valkey.url, receiver)


@pytest.fixture
def disk_told(tmp_path, shared_valkey: Valkey, receiver: Receiver) -> Telling:
    return Telling(DiskPlace(tmp_path / "data", 1_000_000).open(), shared_valkey.url, receiver)


def test_what_is_owed_is_delivered_once_and_owed_no_more(told: Telling, receiver: Receiver) -> None:
    webhook = told.webhook(receiver)
    delivery = told.owe(webhook)
    told.round()
    told.round()
    (received,) = receiver.received
    assert received.headers["webhook-id"] == delivery.id
    Verifier(webhook.secrets[0].text).verify(received.body, received.headers)
    after = told.state(delivery)
    assert (after.state, after.n_attempts, after.last_attempt.status) == (DeliveryState.DELIVERED, 1, 204)
    assert (told.pending(), told.outcomes) == ([], ["delivered"])


def test_a_failed_attempt_is_made_again_under_the_same_id_with_the_same_body(told: Telling, receiver: Receiver) -> None:
    delivery = told.owe(told.webhook(receiver))
    receiver.statuses += [500, 503]
    told.round()
    first = told.state(delivery)
    assert (first.state, first.n_attempts, first.last_attempt.status) == (DeliveryState.PENDING, 1, 500)
    assert 5.0 <= (first.next_attempt_at - first.last_attempt.at).total_seconds() < 10.0, "from the attempt's end"
    told.round()
    assert len(receiver.received) == 1, "it is not due"
    for _ in range(2):
        told.make_due(delivery)
        told.round()
    assert told.state(delivery).state is DeliveryState.DELIVERED
    assert {r.headers["webhook-id"] for r in receiver.received} == {delivery.id}
    assert len({r.body for r in receiver.received}) == 1
    assert told.outcomes == ["retried", "retried", "delivered"]


def test_a_target_that_is_gone_is_told_nothing_any_more(told: Telling, receiver: Receiver) -> None:
    webhook = told.webhook(receiver)
    first = told.owe(webhook)
    receiver.statuses.append(410)
    told.round()
    assert told.state(first).state is DeliveryState.FAILED
    assert told.store.find(webhook.id).disabled_at is not None
    late = told.owe(webhook)  # as by somebody who has not seen it yet
    told.round()
    assert told.state(late).state is DeliveryState.FAILED
    assert (len(receiver.received), told.pending(), told.outcomes) == (1, [], ["gone"])


def test_what_is_owed_to_a_webhook_that_is_removed_is_forgotten(told: Telling, receiver: Receiver) -> None:
    webhook = told.webhook(receiver)
    told.owe(webhook)
    told.store.remove(webhook.id)
    told.round()
    assert (receiver.received, told.pending()) == ([], [])


@pytest.mark.parametrize("record", ["webhook.json", "deliveries/"])
def test_what_cannot_be_read_is_left_alone_and_sent_when_it_can(
    told: Telling, place: Place, receiver: Receiver, record: str
) -> None:
    webhook = told.webhook(receiver)
    delivery = told.owe(webhook)
    content = (WEBHOOK if record == "webhook.json" else DELIVERY).dump_json(
        webhook if record == "webhook.json" else delivery
    )
    place.overwrite(record, b"{")
    told.round()
    assert (receiver.received, told.pending()) == ([], [delivery.id])
    place.overwrite(record, content)
    told.round()
    assert len(receiver.received) == 1
    assert told.state(delivery).state is DeliveryState.DELIVERED


def a_decision_owed(told: Telling, webhook: Webhook, decided_at: datetime) -> Delivery:
    """As by somebody who has died before he kept the decision."""
    decision_id = new_id(Kind.DECISION)
    data = {"decision_id": decision_id, "analysis_id": new_id(Kind.ANALYSIS)}
    delivery = webhooks.delivery_of(webhook.id, Event(EventType.DECISION_MADE, decision_id, decided_at, data))
    told.store.owe(delivery)
    return delivery


def test_a_decision_that_is_not_kept_is_not_told_and_forgotten_in_time(told: Telling, receiver: Receiver) -> None:
    webhook = told.webhook(receiver)
    fresh = a_decision_owed(told, webhook, datetime.now(UTC) - SOON)
    old = a_decision_owed(told, webhook, datetime.now(UTC) - LONGEST_PENDING - SOON)
    told.round()
    assert receiver.received == []
    assert told.pending() == [fresh.id]
    assert told.state(old).state is DeliveryState.FAILED


def test_several_processes_make_one_attempt(disk_told: Telling, receiver: Receiver) -> None:
    webhook = disk_told.webhook(receiver)
    for _ in range(AT_ONCE_EACH):
        disk_told.owe(webhook)
    disk_told.round(*(disk_told.deliverer() for _ in range(4)))
    assert len(receiver.received) == AT_ONCE_EACH
    assert len({received.headers["webhook-id"] for received in receiver.received}) == AT_ONCE_EACH


def test_a_lost_queue_keeps_nothing_from_being_delivered(
    disk_told: Telling, receiver: Receiver, tmp_path: Path
) -> None:
    delivery = disk_told.owe(disk_told.webhook(receiver))
    disk_told.round(disk_told.deliverer(f"unix://{tmp_path}/nothing.sock"))
    assert disk_told.state(delivery).state is DeliveryState.DELIVERED


def test_an_attempt_that_died_with_its_process_is_made_by_another_when_its_lease_is_over(
    disk_told: Telling, receiver: Receiver, shared_valkey: Valkey
) -> None:
    connection = open_connection(shared_valkey.url)
    delivery = disk_told.owe(disk_told.webhook(receiver))
    leases = RedisLeases(connection, ttl_s=LEASE_S)
    assert leases.take(delivery.id, "somebody who is dead now")
    disk_told.round()
    assert receiver.received == []
    (key,) = connection.keys("phasegate:lease:*")
    assert 0 < connection.ttl(key) <= LEASE_S
    connection.delete(key)
    disk_told.round()
    assert disk_told.state(delivery).state is DeliveryState.DELIVERED
    assert connection.keys("phasegate:lease:*") == []


def test_a_record_that_could_not_be_written_costs_an_attempt_more_under_the_same_id(
    disk_told: Telling, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    delivery = disk_told.owe(disk_told.webhook(receiver))

    def away(*arguments: object) -> None:
        raise StoreUnavailable("The array store cannot be written. Tell the operator.")

    with monkeypatch.context() as patched:
        patched.setattr(type(disk_told.store), "update", away)
        disk_told.round()
    disk_told.round()
    assert [received.headers["webhook-id"] for received in receiver.received] == [delivery.id] * 2
    assert disk_told.state(delivery).state is DeliveryState.DELIVERED


def test_a_target_that_is_slow_keeps_no_other_waiting(tmp_path, shared_valkey: Valkey) -> None:
    released = threading.Event()

    def slowly(request: BaseHTTPRequestHandler) -> None:
        released.wait(20)
        request.send_response(204)
        request.send_header("Content-Length", "0")
        request.end_headers()

    with receiving() as slow, receiving() as quick:
        slow.answer = slowly
        told = Telling(DiskPlace(tmp_path / "data", 1_000_000).open(), shared_valkey.url, slow, quick)
        to_slow, to_quick = told.webhook(slow), told.webhook(quick)
        for _ in range(2 * AT_ONCE_EACH):
            told.owe(to_slow)
        delivery = told.owe(to_quick)

        async def deliver() -> None:
            deliverer = told.deliverer()
            await deliverer.round()
            while told.state(delivery).state is not DeliveryState.DELIVERED:
                await asyncio.sleep(0.01)
            assert len(slow.received) <= AT_ONCE_EACH, "as many as one target gets at a time"
            released.set()
            await deliverer.settled()

        asyncio.run(asyncio.wait_for(deliver(), 20))
        assert len(slow.received) == 2 * AT_ONCE_EACH, "the others followed without another round"
    assert len(quick.received) == 1


@pytest.fixture(scope="module")
def application(
    tmp_path_factory: pytest.TempPathFactory, shared_valkey: Valkey
) -> Iterator[tuple[TestClient, Receiver]]:
    """The application, which looks for what is owed more often than it needs to, and a target."""
    with receiving() as target, pytest.MonkeyPatch.context() as patched:
        patched.setattr(delivering, "INTERVAL_S", 0.02)
        settings = Settings(
            data_dir=tmp_path_factory.mktemp("api") / "data",
            redis_url=shared_valkey.url,
            webhook_hosts=hosts(target),
            webhook_allow_http=True,
            rate_per_minute=0,
        )
        with TestClient(api.create_app(settings), "http://127.0.0.1") as client:
            yield client, target


@pytest.fixture
def client(application: tuple[TestClient, Receiver]) -> Iterator[TestClient]:
    """The application without webhooks."""
    found, target = application
    yield found
    for webhook in found.get("/v1/webhooks").json()["items"]:
        found.delete(f"/v1/webhooks/{webhook['id']}")
    target.received.clear()
    target.statuses.clear()


@pytest.fixture
def target(client: TestClient, application: tuple[TestClient, Receiver]) -> Receiver:
    """What the application may reach."""
    return application[1]


def create(client: TestClient, target: Receiver, *events: str, **sent: Any) -> Any:
    asked = {"url": f"http://127.0.0.1:{target.port}/", "events": list(events or ("analysis.cancelled",))}
    return client.post("/v1/webhooks", json=asked, **sent)


def deliveries(client: TestClient, webhook_id: str) -> list[dict[str, Any]]:
    return client.get(f"/v1/webhooks/{webhook_id}/deliveries").json()["items"]


def test_who_subscribes_is_told_of_the_end_of_an_analysis(client: TestClient, target: Receiver) -> None:
    made = create(client, target).json()
    deaf = create(client, target, "analysis.succeeded").json()
    data = {"options": '{"method": "reference"}'}
    analysis = client.post("/v1/analyses", files=Sample().files(), data=data).json()
    client.post(f"/v1/analyses/{analysis['id']}/cancel")
    (received,) = wait_until(lambda: list(target.received), 20)
    event = EVENT.validate_python(Verifier(made["secret"]).verify(received.body, received.headers))
    assert event.type is EventType.ANALYSIS_CANCELLED
    assert (event.data.analysis_id, event.data.state, event.data.error) == (analysis["id"], "cancelled", None)
    (delivery,) = wait_until(lambda: [one for one in deliveries(client, made["id"]) if one["state"] == "delivered"], 20)
    assert delivery["id"] == received.headers["webhook-id"]
    assert (delivery["subject_id"], delivery["attempts"]) == (analysis["id"], 1)
    assert delivery["last_attempt"]["status"] == 204
    assert deliveries(client, deaf["id"]) == []
    assert 'phasegate_webhook_attempts_total{outcome="delivered"} 1.0' in client.get("/metrics").text


def test_a_decision_is_told_once_however_often_it_is_asked_for(client: TestClient, target: Receiver) -> None:
    made = create(client, target, "decision.made").json()
    data = {"options": '{"method": "reference"}'}
    analysis_id = client.post("/v1/analyses", files=Sample().files(), data=data).json()["id"]
    stores, queue = client.app.state.services.stores, client.app.state.services.queue
    execution.run(stores.of(DEFAULT_TENANT), queue, analysis_id, lambda progress: None)
    first, again = (
        client.post(f"/v1/analyses/{analysis_id}/gate", json={"policy": "alignment"}).json() for _ in range(2)
    )
    assert first == again
    (received,) = wait_until(lambda: list(target.received), 20)
    event = EVENT.validate_python(Verifier(made["secret"]).verify(received.body, received.headers))
    assert (event.data.decision_id, event.data.analysis_id) == (first["id"], analysis_id)
    assert (event.data.decision, event.data.summary) == (first["decision"], first["summary"])
    assert event.timestamp.isoformat() == datetime.fromisoformat(first["decided_at"]).isoformat()
    assert len(deliveries(client, made["id"])) == 1


def test_a_decision_that_is_not_kept_after_all_is_owed_already(
    client: TestClient, target: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = create(client, target, "decision.made").json()
    data = {"options": '{"method": "reference"}'}
    analysis_id = client.post("/v1/analyses", files=Sample().files(), data=data).json()["id"]
    store = client.app.state.services.stores.of(DEFAULT_TENANT)
    execution.run(store, client.app.state.services.queue, analysis_id, lambda progress: None)

    def away(*arguments: object) -> None:
        raise StoreUnavailable("The array store cannot be written. Tell the operator.")

    with monkeypatch.context() as patched:
        patched.setattr(type(store.decisions), "keep", away)
        assert client.post(f"/v1/analyses/{analysis_id}/gate", json={"policy": "alignment"}).status_code == 503
    decision = client.post(f"/v1/analyses/{analysis_id}/gate", json={"policy": "alignment"}).json()
    (delivery,) = deliveries(client, made["id"])
    assert delivery["subject_id"] == decision["id"], "whoever asks next gets the decision that was told"


def test_the_secret_is_shown_once_and_nowhere_else(
    client: TestClient, target: Receiver, shared_valkey: Valkey, capsys: pytest.CaptureFixture[str]
) -> None:
    made = create(client, target, headers={"Idempotency-Key": "one"})
    assert made.status_code == 201
    webhook_id, secret = made.json()["id"], made.json()["secret"]
    connection = open_connection(shared_valkey.url)
    assert made.headers["location"] == f"/v1/webhooks/{webhook_id}"
    shown = {name: value for name, value in made.json().items() if name != "secret"}
    assert client.get(f"/v1/webhooks/{webhook_id}").json() == shown
    assert client.get("/v1/webhooks").json() == {"items": [shown]}
    again = create(client, target, headers={"Idempotency-Key": "one"})
    assert again.json() == made.json(), "a repetition under its key is answered as the call was"
    assert again.headers["idempotent-replayed"] == "true"
    kept = [connection.hgetall(key) for key in connection.keys("phasegate:call:*")]
    assert kept
    assert all(secret.encode() not in zlib.decompress(call[b"answer"]) for call in kept)
    assert secret not in capsys.readouterr().out


def test_after_a_rotation_both_secrets_verify_and_a_repetition_rotates_no_further(
    client: TestClient, target: Receiver
) -> None:
    made = create(client, target).json()
    address = f"/v1/webhooks/{made['id']}"
    rotated = [client.post(f"{address}/rotate", headers={"Idempotency-Key": "r"}).json() for _ in range(2)]
    assert rotated[0] == rotated[1]
    assert rotated[0]["secret"] != made["secret"]
    assert rotated[0]["previous_until"] > datetime.now(UTC).isoformat()
    assert client.post(f"{address}/test").status_code == 202
    (received,) = wait_until(lambda: list(target.received), 20)
    for secret in (made["secret"], rotated[0]["secret"]):
        told = Verifier(secret).verify(received.body, received.headers)
    assert (told["type"], told["data"]["webhook_id"]) == ("webhook.test", made["id"])
    secrets = [client.post(f"{address}/rotate").json()["secret"] for _ in range(2)]
    assert len({made["secret"], rotated[0]["secret"], *secrets}) == 4
    repeated = client.post(f"{address}/rotate", headers={"Idempotency-Key": "r"})
    assert (repeated.status_code, repeated.json()["code"]) == (409, "rotated_meanwhile")


def test_a_delivery_is_replayed_by_hand_under_its_id(client: TestClient, target: Receiver) -> None:
    webhook_id = create(client, target).json()["id"]
    delivery = client.post(f"/v1/webhooks/{webhook_id}/test").json()
    assert (delivery["state"], delivery["attempts"], delivery["last_attempt"]) == ("pending", 0, None)
    wait_until(lambda: deliveries(client, webhook_id)[0]["state"] == "delivered", 20)
    replayed = client.post(f"/v1/webhooks/{webhook_id}/deliveries/{delivery['id']}/replay")
    assert (replayed.status_code, replayed.json()["state"]) == (202, "pending")
    wait_until(lambda: len(target.received) == 2, 20)
    assert {received.headers["webhook-id"] for received in target.received} == {delivery["id"]}
    wait_until(lambda: deliveries(client, webhook_id)[0]["state"] == "delivered", 20)
    unknown = client.post(f"/v1/webhooks/{webhook_id}/deliveries/wd-{'0' * 32}/replay")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "delivery_not_found")


def test_a_delivery_that_is_being_sent_is_not_sent_again_meanwhile(
    client: TestClient, target: Receiver, shared_valkey: Valkey
) -> None:
    webhook_id = create(client, target).json()["id"]
    target.statuses.append(500)
    delivery_id = client.post(f"/v1/webhooks/{webhook_id}/test").json()["id"]
    wait_until(lambda: deliveries(client, webhook_id)[0]["attempts"] == 1, 20)
    leases = RedisLeases(open_connection(shared_valkey.url), ttl_s=LEASE_S)
    assert wait_until(lambda: leases.take(delivery_id, "who sends it"), 20)
    address = f"/v1/webhooks/{webhook_id}/deliveries/{delivery_id}/replay"
    refused = client.post(address)
    assert (refused.status_code, refused.json()["code"]) == (409, "delivery_under_way")
    leases.let_go(delivery_id, "who sends it")
    assert wait_until(lambda: client.post(address).status_code == 202, 20)
    wait_until(lambda: deliveries(client, webhook_id)[0]["state"] == "delivered", 20)
    assert deliveries(client, webhook_id)[0]["attempts"] == 1, "since it was replayed"


def test_tests_and_replays_that_wait_are_bounded(
    client: TestClient, target: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    webhook_id = create(client, target).json()["id"]
    done = client.post(f"/v1/webhooks/{webhook_id}/test").json()["id"]
    wait_until(lambda: deliveries(client, webhook_id)[0]["state"] == "delivered", 20)
    target.statuses += [500] * webhooks.MOST_PENDING_TESTS
    address = f"/v1/webhooks/{webhook_id}/test"
    key = {"Idempotency-Key": "the-first-test"}
    assert client.post(address, headers=key).status_code == 202
    assert {client.post(address).status_code for _ in range(webhooks.MOST_PENDING_TESTS - 1)} == {202}
    refused = client.post(address)
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_pending")
    assert int(refused.headers["retry-after"]) > 0
    assert client.post(address, headers=key).status_code == 202, "a repetition asks for no other"
    monkeypatch.setattr(webhooks, "MOST_PENDING", webhooks.MOST_PENDING_TESTS)
    refused = client.post(f"/v1/webhooks/{webhook_id}/deliveries/{done}/replay")
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_pending")


def test_what_answers_gone_is_shown_as_such(client: TestClient, target: Receiver) -> None:
    webhook_id = create(client, target).json()["id"]
    target.statuses.append(410)
    delivery_id = client.post(f"/v1/webhooks/{webhook_id}/test").json()["id"]
    wait_until(lambda: client.get(f"/v1/webhooks/{webhook_id}").json()["disabled_at"], 20)
    for call in ("test", f"deliveries/{delivery_id}/replay"):
        refused = client.post(f"/v1/webhooks/{webhook_id}/{call}")
        assert (refused.status_code, refused.json()["code"]) == (409, "webhook_disabled")


def test_a_webhook_is_deleted_with_what_it_was_told(client: TestClient, target: Receiver) -> None:
    made = create(client, target, headers={"Idempotency-Key": "one"}).json()
    client.post(f"/v1/webhooks/{made['id']}/test")
    wait_until(lambda: target.received, 20)
    assert client.delete(f"/v1/webhooks/{made['id']}").status_code == 204
    assert client.get("/v1/webhooks").json() == {"items": []}
    for path in ("", "/deliveries"):
        assert client.get(f"/v1/webhooks/{made['id']}{path}").json()["code"] == "webhook_not_found"
    new = create(client, target, headers={"Idempotency-Key": "one"}).json()
    assert new["id"] != made["id"], "the answer to the call went with what it had made"


def test_there_are_no_more_webhooks_than_the_service_keeps(
    client: TestClient, target: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "MOST_WEBHOOKS", 2)
    assert [create(client, target).status_code for _ in range(2)] == [201, 201]
    refused = create(client, target)
    assert (refused.status_code, refused.json()["code"]) == (409, "too_many_webhooks")


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"url": "https://evil.example/"}, "target_refused"),
        ({"url": "https://169.254.169.254/latest/meta-data"}, "target_refused"),
        ({"url": "gopher://127.0.0.1/"}, "invalid_request"),
        ({"events": []}, "invalid_request"),
        ({"events": ["webhook.test"]}, "invalid_request"),
        ({"events": ["analysis.failed", "analysis.failed"]}, "invalid_request"),
        ({"description": "two\nlines"}, "invalid_request"),
        ({"secret": "whsec_mine"}, "invalid_request"),
    ],
)
def test_what_no_webhook_can_be_is_refused(
    client: TestClient, target: Receiver, changed: dict[str, Any], code: str
) -> None:
    asked = {"url": f"http://127.0.0.1:{target.port}/", "events": ["analysis.failed"]} | changed
    refused = client.post("/v1/webhooks", json=asked)
    assert (refused.status_code, refused.json()["code"]) == (422, code)
    assert client.get("/v1/webhooks").json() == {"items": []}


def test_a_wrong_event_is_answered_with_the_words_there_are(client: TestClient, target: Receiver) -> None:
    refused = create(client, target, "analysis.done")
    assert (
        "'analysis.succeeded', 'analysis.failed', 'analysis.cancelled' or 'decision.made'" in refused.json()["detail"]
    )
    assert "<" not in refused.json()["detail"]


def test_without_hosts_there_are_no_webhooks(tmp_path, shared_valkey: Valkey, target: Receiver) -> None:
    with TestClient(
        api.create_app(Settings(data_dir=tmp_path / "data", redis_url=shared_valkey.url)), "http://127.0.0.1"
    ) as client:
        refused = create(client, target)
    assert (refused.status_code, refused.json()["code"]) == (409, "webhooks_off")
    assert "PHASEGATE_WEBHOOK_HOSTS" in refused.json()["detail"]


def test_every_event_is_described(client: TestClient) -> None:
    described = client.app.openapi()
    assert set(described["webhooks"]) == {kind.value for kind in EventType}
    for operations in described["webhooks"].values():
        schema = operations["post"]["requestBody"]["content"]["application/json"]["schema"]["$ref"]
        assert schema.rpartition("/")[2] in described["components"]["schemas"]
