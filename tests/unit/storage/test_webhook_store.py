"""What every store promises of webhooks and of what they are owed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from service.analyses import webhooks
from service.analyses.analysis import RECORD_VERSION, Outcome
from service.analyses.errors import StoreUnavailable, WebhookNotFound
from service.analyses.identity import Kind, new_id
from service.analyses.ports import Stores
from service.analyses.tenancy import DEFAULT_TENANT
from service.analyses.webhook import SUBSCRIBED, DeliveryState, EventType, Webhook, is_due
from service.notifications.schedule import abandoned
from tests.places import DiskPlace, Place
from tests.unit.notifications.samples import a_delivery, a_secret, a_webhook
from tests.unit.storage.samples import FAILURE, REPORT, committed

LATER = timedelta(hours=1)


@pytest.fixture
def stores(place: Place) -> Stores:
    return place.open()


def kept(stores: Stores, tenant: str = DEFAULT_TENANT, **changed: object) -> Webhook:
    webhook = replace(a_webhook(), **changed)
    assert stores.of(tenant).webhooks.add(webhook)
    return webhook


def owed_ids(stores: Stores, ahead: timedelta = timedelta()) -> list[str]:
    return [one.delivery_id for one in stores.owed(datetime.now(UTC) + ahead)]


def test_a_webhook_is_read_back_on_another_host_and_changed_there(stores: Stores, place: Place) -> None:
    webhook = kept(stores)
    other = place.open("elsewhere").of(DEFAULT_TENANT).webhooks
    assert other.find(webhook.id) == webhook
    assert not other.add(replace(webhook, description="another"))
    rotated = other.change(webhook.id, lambda it: replace(it, secrets=(a_secret(2), *it.secrets)))
    assert stores.of(DEFAULT_TENANT).webhooks.find(webhook.id) == rotated != webhook
    assert stores.of(DEFAULT_TENANT).webhooks.ids() == [webhook.id]
    assert stores.of("other").webhooks.ids() == []
    assert other.change(new_id(Kind.WEBHOOK), lambda it: it) is None


def test_changes_at_the_same_time_are_all_made(stores: Stores) -> None:
    webhook, store = kept(stores, secrets=()), stores.of(DEFAULT_TENANT).webhooks

    def add(seed: int) -> None:
        store.change(webhook.id, lambda it: replace(it, secrets=(*it.secrets, a_secret(seed))))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add, range(4)))
    found = store.find(webhook.id)
    assert found is not None
    assert sorted(secret.made_by for secret in found.secrets) == ["0", "1", "2", "3"]


def test_what_is_owed_is_due_at_once_and_owed_once(stores: Stores) -> None:
    webhook, store = kept(stores), stores.of(DEFAULT_TENANT).webhooks
    delivery = a_delivery(webhook)
    for _ in range(2):
        store.owe(delivery)
    assert owed_ids(stores) == [delivery.id]
    assert store.find_delivery(webhook.id, delivery.id) == delivery
    assert store.delivery_ids(webhook.id) == [delivery.id]


def test_what_is_delivered_is_not_owed_again_by_who_did_not_know(stores: Stores) -> None:
    webhook, store = kept(stores), stores.of(DEFAULT_TENANT).webhooks
    delivery = a_delivery(webhook)
    store.owe(delivery)
    done = replace(delivery, state=DeliveryState.DELIVERED, n_attempts=1, next_attempt_at=None)
    store.update(delivery, done)
    assert owed_ids(stores, LATER) == []
    store.owe(delivery)
    assert store.find_delivery(webhook.id, delivery.id) == done


def test_what_is_put_off_is_due_then_and_not_before(stores: Stores) -> None:
    webhook, store = kept(stores), stores.of(DEFAULT_TENANT).webhooks
    first, second = a_delivery(webhook), replace(a_delivery(webhook), id=new_id(Kind.DELIVERY))
    store.owe(first)
    store.owe(second)
    put_off = replace(first, n_attempts=1, next_attempt_at=datetime.now(UTC) + LATER)
    store.update(first, put_off)
    assert owed_ids(stores) == [second.id]
    assert owed_ids(stores, 2 * LATER) == [second.id, first.id], "in the order in which they are due"
    store.update(put_off, abandoned(put_off))
    assert owed_ids(stores, 2 * LATER) == [second.id]


def test_marks_name_the_tenant(stores: Stores) -> None:
    ours, theirs = kept(stores), kept(stores, "theirs")
    stores.of(DEFAULT_TENANT).webhooks.owe(a_delivery(ours))
    stores.of("theirs").webhooks.owe(a_delivery(theirs))
    found = {(one.tenant, one.webhook_id) for one in stores.owed(datetime.now(UTC))}
    assert found == {(DEFAULT_TENANT, ours.id), ("theirs", theirs.id)}


def test_with_a_webhook_go_its_deliveries(stores: Stores, place: Place) -> None:
    webhook, store = kept(stores), stores.of(DEFAULT_TENANT).webhooks
    delivery = a_delivery(webhook)
    store.owe(delivery)
    store.remove(webhook.id)
    assert (store.find(webhook.id), store.find_delivery(webhook.id, delivery.id)) == (None, None)
    for one in stores.owed(datetime.now(UTC)):
        store.drop(one)
    assert [name for name in place.contents() if "wh-" in name] == []


def test_old_deliveries_are_removed(stores: Stores) -> None:
    webhook, store = kept(stores), stores.of(DEFAULT_TENANT).webhooks
    delivery = a_delivery(webhook)
    store.owe(delivery)
    webhooks.sweep_deliveries(store, delivery.created_at + LATER, LATER + timedelta(seconds=1))
    assert store.delivery_ids(webhook.id) == [delivery.id]
    webhooks.sweep_deliveries(store, delivery.created_at + LATER, LATER - timedelta(seconds=1))
    assert store.delivery_ids(webhook.id) == []


def test_of_too_many_deliveries_the_oldest_are_removed(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "MOST_DELIVERIES", 2)
    webhook, store = kept(stores), stores.of(DEFAULT_TENANT).webhooks
    ids = [f"{Kind.DELIVERY}-{number:032x}" for number in range(4)]
    for delivery_id in ids:
        store.owe(replace(a_delivery(webhook), id=delivery_id))
    webhooks.sweep_deliveries(store, datetime.fromtimestamp(0, UTC), LATER)
    assert store.delivery_ids(webhook.id) == [ids[3], ids[2]]


@pytest.mark.parametrize(("outcome", "report"), [REPORT, FAILURE])
def test_the_end_of_an_analysis_is_owed_with_its_outcome(stores: Stores, outcome: Outcome, report: str | None) -> None:
    store = stores.of(DEFAULT_TENANT)
    webhook, deaf, gone = kept(stores), kept(stores), kept(stores, disabled_at=datetime.now(UTC))
    store.webhooks.change(deaf.id, lambda it: replace(it, events=(EventType.DECISION_MADE,)))
    analysis_id = committed(store).id
    assert store.analyses.settle(analysis_id, outcome, report)
    (owed,) = stores.owed(datetime.now(UTC) + LATER)
    assert owed.webhook_id == webhook.id != gone.id
    delivery = store.webhooks.find_delivery(webhook.id, owed.delivery_id)
    assert delivery is not None
    assert delivery.event.type == f"analysis.{outcome.state}"
    assert delivery.event.data["analysis_id"] == analysis_id
    assert not store.analyses.settle(analysis_id, *FAILURE)
    assert len(list(stores.owed(datetime.now(UTC) + LATER))) == 1


def test_what_a_dead_process_has_settled_and_not_told_is_told_by_the_next_that_looks(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = stores.of(DEFAULT_TENANT)
    webhook = kept(stores)
    analysis_id = committed(store).id
    module = type(store.analyses).__module__

    class Killed(BaseException):
        pass

    def killed(*arguments: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(f"{module}.owe", killed)
        with pytest.raises(Killed):
            store.analyses.settle(analysis_id, *REPORT)
    assert store.analyses.outcome(analysis_id) is not None
    assert owed_ids(stores, LATER) == []
    assert list(stores.unsettled()) == []
    (owed,) = stores.owed(datetime.now(UTC) + LATER)
    assert owed.webhook_id == webhook.id
    list(stores.unsettled())
    assert len(owed_ids(stores, LATER)) == 1, "and once"


def test_a_store_that_cannot_be_written_keeps_no_analysis_from_its_end(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = stores.of(DEFAULT_TENANT)
    kept(stores)
    analysis_id = committed(store).id

    def away(*arguments: object) -> None:
        raise StoreUnavailable("The array store cannot be written. Tell the operator.")

    with monkeypatch.context() as patched:
        patched.setattr(type(store.webhooks), "owe", away)
        assert store.analyses.settle(analysis_id, *FAILURE)
    assert list(stores.unsettled()) == []
    assert len(owed_ids(stores, LATER)) == 1


def test_a_copy_that_lacks_the_marks_is_mended(stores: Stores) -> None:
    webhook, store = kept(stores), stores.of(DEFAULT_TENANT).webhooks
    now = datetime.now(UTC)
    fresh = replace(a_delivery(webhook), id=new_id(Kind.DELIVERY), next_attempt_at=now)
    done = replace(a_delivery(webhook), id=new_id(Kind.DELIVERY), next_attempt_at=None, state=DeliveryState.DELIVERED)
    for delivery in (fresh, done):
        store.owe(delivery)
    for one in list(stores.owed(now + LATER)):
        store.drop(one)
    stores.mend()
    assert owed_ids(stores, LATER) == [fresh.id]


def test_a_start_tells_nothing_of_what_has_ended_before_and_marks_nothing_that_is_done(stores: Stores) -> None:
    store = stores.of(DEFAULT_TENANT)
    before = [committed(store).id for _ in range(2)]
    for analysis_id in before:
        assert store.analyses.settle(analysis_id, *FAILURE)
    webhook = kept(stores)
    after = committed(store).id
    assert store.analyses.settle(after, *FAILURE)
    (told,) = store.webhooks.find_deliveries(webhook.id, store.webhooks.delivery_ids(webhook.id))
    assert told is not None
    assert told.event.subject_id == after
    done = replace(told, state=DeliveryState.DELIVERED, n_attempts=1, next_attempt_at=None)
    store.webhooks.update(told, done)
    stores.mend()
    assert list(stores.unsettled()) == []
    assert owed_ids(stores, LATER) == []
    assert store.webhooks.find_deliveries(webhook.id, store.webhooks.delivery_ids(webhook.id)) == [done]


@pytest.mark.parametrize("state", [DeliveryState.DELIVERED, DeliveryState.FAILED])
def test_what_is_done_is_marked_no_more_by_who_owes_it_again(stores: Stores, state: DeliveryState) -> None:
    webhook, store = kept(stores), stores.of(DEFAULT_TENANT).webhooks
    delivery = a_delivery(webhook)
    store.owe(delivery)
    store.update(delivery, replace(delivery, state=state, n_attempts=1, next_attempt_at=None))
    store.owe(delivery)
    assert owed_ids(stores, LATER) == []


def test_nothing_of_before_a_webhook_was_made_is_owed_to_it(stores: Stores) -> None:
    webhook, store = kept(stores), stores.of(DEFAULT_TENANT).webhooks
    event = a_delivery(webhook).event
    webhooks.owe(store, replace(event, occurred_at=webhook.created_at - timedelta(milliseconds=1)))
    assert owed_ids(stores) == []
    webhooks.owe(store, replace(event, occurred_at=webhook.created_at))
    assert len(owed_ids(stores)) == 1


def test_what_a_clock_that_was_ahead_has_put_off_too_far_is_due(stores: Stores) -> None:
    webhook, store = kept(stores), stores.of(DEFAULT_TENANT).webhooks
    now = datetime.now(UTC)
    for delivery_id, ahead in (
        (new_id(Kind.DELIVERY), timedelta(hours=24)),
        (new_id(Kind.DELIVERY), timedelta(days=9)),
    ):
        store.owe(replace(a_delivery(webhook), id=delivery_id, next_attempt_at=now + ahead))
    assert owed_ids(stores) == [delivery_id]
    assert [is_due(now + timedelta(hours=hours), now) for hours in (-1, 0, 1, 24, 26)] == [
        True,
        True,
        False,
        False,
        True,
    ]


def test_what_is_pending_is_known_by_webhook(stores: Stores) -> None:
    webhook, other, store = kept(stores), kept(stores), stores.of(DEFAULT_TENANT).webhooks
    ids = sorted((new_id(Kind.DELIVERY) for _ in range(3)), reverse=True)
    for delivery_id in ids:
        store.owe(replace(a_delivery(webhook), id=delivery_id, next_attempt_at=datetime.now(UTC) + LATER))
    store.owe(a_delivery(other))
    assert store.pending_ids(webhook.id) == ids


def test_a_webhook_that_cannot_be_read_is_there_and_can_be_deleted(stores: Stores, place: Place) -> None:
    webhook, store = kept(stores), stores.of(DEFAULT_TENANT).webhooks
    delivery = a_delivery(webhook)
    store.owe(delivery)
    place.overwrite("webhook.json", b"{")
    place.overwrite("deliveries/", b"{")
    assert (store.find(webhook.id), store.find_delivery(webhook.id, delivery.id)) == (None, None)
    assert (store.has(webhook.id), store.has_delivery(webhook.id, delivery.id)) == (True, True)
    store.owe(delivery)
    webhooks.delete(store, webhook.id)
    assert (store.has(webhook.id), store.has_delivery(webhook.id, delivery.id)) == (False, False)
    with pytest.raises(WebhookNotFound):
        webhooks.delete(store, webhook.id)


def test_secrets_are_readable_by_the_owner_of_the_data_directory_alone(place: Place) -> None:
    if not isinstance(place, DiskPlace):
        pytest.skip("a bucket has no such modes")
    webhook = kept(place.open())
    record = place.folder / "webhooks" / webhook.id / "webhook.json"
    assert record.stat().st_mode & 0o777 == 0o600
    place.open().of(DEFAULT_TENANT).webhooks.change(webhook.id, lambda it: replace(it, description="changed"))
    assert record.stat().st_mode & 0o777 == 0o600
    assert webhook.secrets[0].text not in repr(webhook)


def test_records_of_webhooks_have_a_version(stores: Stores) -> None:
    webhook = kept(stores)
    assert (webhook.version, a_delivery(webhook).version) == (RECORD_VERSION, RECORD_VERSION)
    assert set(SUBSCRIBED) == set(EventType) - {EventType.WEBHOOK_TEST}
