"""Webhooks are made and removed; what they are told is owed to them from the moment in which it happens."""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import structlog

from service.analyses.analysis import RECORD_VERSION
from service.analyses.errors import (
    DeliveryNotFound,
    InvalidRequest,
    RotatedMeanwhile,
    StoreUnavailable,
    TooManyPending,
    TooManyWebhooks,
    WebhookDisabled,
    WebhookNotFound,
)
from service.analyses.identity import Kind, first_id, is_id, new_id, new_stem
from service.analyses.pages import Page, page_of
from service.analyses.ports import WebhookStore
from service.analyses.webhook import (
    MAX_DESCRIPTION_CHARACTERS,
    ONE_LINE,
    SUBSCRIBED,
    Delivery,
    DeliveryState,
    Event,
    EventType,
    Secret,
    Webhook,
)

MOST_WEBHOOKS = 16  # of one tenant
MOST_DELIVERIES = 10_000  # of one webhook: more cost the oldest
MOST_PENDING_TESTS = 4  # of one webhook
MOST_PENDING = 100  # of one webhook, for whoever wants more of them sent again
PENDING_RETRY_S = 10
MOST_REPLACED = 32  # calls that have rotated a secret and are remembered
SECRET_BYTES = 32
SECRET_PREFIX = "whsec_"  # noqa: S105 - what every secret begins with  # nosec B105
BOTH_COUNT = timedelta(hours=24)
"""For so long after a rotation the secret before it counts too."""

log = structlog.get_logger()


def create(
    webhooks: WebhookStore, url: str, events: Sequence[EventType], description: str, stem: str | None = None
) -> Webhook:
    """Keep a webhook; one that an earlier attempt of the same call has made is the answer.

    Arguments: url, checked already; stem, of its id.
    Raises InvalidRequest, TooManyWebhooks, StoreUnavailable.
    """
    wanted = tuple(kind for kind in SUBSCRIBED if kind in events)
    if not wanted or len(set(events)) != len(events) or len(wanted) != len(events):
        known = ", ".join(SUBSCRIBED)
        raise InvalidRequest(
            f"A webhook is told of some of {known}, each named once. Name at least one.", part="events"
        )
    if len(description) > MAX_DESCRIPTION_CHARACTERS or not ONE_LINE.fullmatch(description):
        raise InvalidRequest(
            f"A description is one line of at most {MAX_DESCRIPTION_CHARACTERS} characters. Send a shorter one.",
            part="description",
        )
    stem = stem or new_stem()
    webhook = Webhook(
        version=RECORD_VERSION,
        id=new_id(Kind.WEBHOOK, stem),
        url=url,
        events=wanted,
        description=description,
        secrets=(_new_secret(stem),),
    )
    known_before = webhooks.find(webhook.id)
    if known_before is not None:
        return known_before
    if len(webhooks.ids()) >= MOST_WEBHOOKS:
        raise TooManyWebhooks(
            f"There are {MOST_WEBHOOKS} webhooks, which is as many as this service keeps. Delete one first."
        )
    if not webhooks.add(webhook):
        return find(webhooks, webhook.id)
    log.info("webhook_created", webhook_id=webhook.id, events=list(wanted))
    return webhook


def find(webhooks: WebhookStore, webhook_id: str) -> Webhook:
    """A webhook.  Raises WebhookNotFound."""
    webhook = webhooks.find(webhook_id) if is_id(webhook_id, Kind.WEBHOOK) else None
    if webhook is None:
        raise _unknown()
    return webhook


def every(webhooks: WebhookStore) -> Sequence[Webhook]:
    """All webhooks, newest first."""
    found = (webhooks.find(webhook_id) for webhook_id in webhooks.ids())
    return [webhook for webhook in found if webhook is not None]


def delete(webhooks: WebhookStore, webhook_id: str) -> None:
    """Remove a webhook with all that it was told, and is owed.  Raises WebhookNotFound."""
    if not is_id(webhook_id, Kind.WEBHOOK) or not webhooks.has(webhook_id):  # one that cannot be read can be removed
        raise _unknown()
    webhooks.remove(webhook_id)
    log.info("webhook_deleted", webhook_id=webhook_id)


def rotate(webhooks: WebhookStore, webhook_id: str, stem: str | None = None) -> Webhook:
    """Give a webhook a new secret; the one before counts too for BOTH_COUNT, older ones no more.

    Arguments: stem, of the call: a repetition of it changes nothing.  Raises WebhookNotFound, RotatedMeanwhile.
    """
    find(webhooks, webhook_id)
    made, now = _new_secret(stem or new_stem()), datetime.now(UTC)

    def rotated(webhook: Webhook) -> Webhook:
        latest = webhook.secrets[0]
        if latest.made_by == made.made_by:
            return webhook
        before = [secret.made_by for secret in webhook.secrets[1:]]
        if made.made_by in (*before, *webhook.replaced):
            raise RotatedMeanwhile(
                "Another call has given the webhook a newer secret than this one did. Use that, or rotate once more "
                "under another Idempotency-Key."
            )
        replaced = (*before, *webhook.replaced)[:MOST_REPLACED]
        return replace(webhook, secrets=(made, replace(latest, until=now + BOTH_COUNT)), replaced=replaced)

    changed = webhooks.change(webhook_id, rotated)
    if changed is None:
        return find(webhooks, webhook_id)
    log.info("webhook_secret_rotated", webhook_id=webhook_id)
    return changed


def disable(webhooks: WebhookStore, webhook_id: str, at: datetime) -> None:
    """Tell a webhook nothing any more: it is gone, as it says itself."""
    webhooks.change(webhook_id, lambda webhook: replace(webhook, disabled_at=webhook.disabled_at or at))
    log.warning("webhook_disabled", webhook_id=webhook_id)


def owe(webhooks: WebhookStore, event: Event) -> None:
    """Owe an event to every webhook that is to be told of it, and was there before it.  Again, it changes nothing.

    Raises StoreUnavailable.
    """
    for webhook_id in webhooks.ids():
        webhook = webhooks.find(webhook_id)
        if webhook is not None and _is_told(webhook, event):
            webhooks.owe(delivery_of(webhook_id, event))


def delivery_of(webhook_id: str, event: Event) -> Delivery:
    """The delivery of an event to a webhook, due at once; its id follows from both."""
    digest = hashlib.sha256(f"{webhook_id}\n{event.type}\n{event.subject_id}".encode()).hexdigest()
    stem = f"{int(event.occurred_at.timestamp() * 1000):012x}{digest[:20]}"
    return Delivery(
        version=RECORD_VERSION,
        id=new_id(Kind.DELIVERY, stem),
        webhook_id=webhook_id,
        event=event,
        state=DeliveryState.PENDING,
        n_attempts=0,
        next_attempt_at=min(event.occurred_at, datetime.now(UTC)),  # another host may have said when
    )


def try_out(webhooks: WebhookStore, webhook_id: str, stem: str | None = None) -> Delivery:
    """Owe a webhook an event that says nothing.

    Raises WebhookNotFound, WebhookDisabled, TooManyPending, StoreUnavailable.
    """
    _check_enabled(find(webhooks, webhook_id))
    event = Event(EventType.WEBHOOK_TEST, stem or new_stem(), datetime.now(UTC), {"webhook_id": webhook_id})
    if stem is not None:  # a repetition of the call finds the same, though it is later
        moment = datetime.fromtimestamp(int(stem[:12], 16) / 1000, UTC)
        event = replace(event, occurred_at=moment)
    delivery = delivery_of(webhook_id, event)
    if not webhooks.has_delivery(webhook_id, delivery.id):
        _check_tests(webhooks, webhook_id)
    webhooks.owe(delivery)
    return find_delivery(webhooks, webhook_id, delivery.id)


def find_delivery(webhooks: WebhookStore, webhook_id: str, delivery_id: str) -> Delivery:
    """A delivery.  Raises WebhookNotFound, DeliveryNotFound."""
    find(webhooks, webhook_id)
    delivery = webhooks.find_delivery(webhook_id, delivery_id) if is_id(delivery_id, Kind.DELIVERY) else None
    if delivery is None:
        raise DeliveryNotFound("The webhook has no delivery with this id. Check the id, or list its deliveries.")
    return delivery


def list_deliveries(webhooks: WebhookStore, webhook_id: str, cursor: str | None, limit: int) -> Page[Delivery]:
    """A page of a webhook's deliveries, newest first.  Raises WebhookNotFound, InvalidCursor."""
    find(webhooks, webhook_id)

    def ids_before(before: str | None, at_most: int) -> Sequence[str]:
        return webhooks.delivery_ids(webhook_id, before, at_most)

    def look(delivery_ids: Sequence[str]) -> Sequence[Delivery | None]:
        return webhooks.find_deliveries(webhook_id, delivery_ids)

    return page_of(ids_before, look, Kind.DELIVERY, cursor, limit)


def replay(webhooks: WebhookStore, webhook_id: str, delivery_id: str) -> Delivery:
    """Owe a delivery again, at once and with all its attempts; one that is pending becomes due.

    Raises WebhookNotFound, WebhookDisabled, DeliveryNotFound, TooManyPending, StoreUnavailable.
    """
    _check_enabled(find(webhooks, webhook_id))
    before = find_delivery(webhooks, webhook_id, delivery_id)
    if before.state is not DeliveryState.PENDING and len(webhooks.pending_ids(webhook_id)) >= MOST_PENDING:
        raise TooManyPending(
            f"{MOST_PENDING} deliveries of this webhook wait already. Have this one sent again when they are through.",
            retry_after_s=PENDING_RETRY_S,
        )
    again = replace(before, state=DeliveryState.PENDING, n_attempts=0, next_attempt_at=datetime.now(UTC))
    webhooks.update(before, again)
    log.info("delivery_replayed", webhook_id=webhook_id, delivery_id=delivery_id)
    return again


def sweep_deliveries(webhooks: WebhookStore, now: datetime, retention: timedelta) -> None:
    """Remove the deliveries of events that happened `retention` ago or earlier, and the oldest of too many.

    What fails with one keeps none of the others.
    """
    first = first_id(Kind.DELIVERY, now - retention)
    for webhook_id in webhooks.ids():
        ids = webhooks.delivery_ids(webhook_id)
        for delivery_id in [an_id for place, an_id in enumerate(ids) if an_id < first or place >= MOST_DELIVERIES]:
            try:
                webhooks.remove_delivery(webhook_id, delivery_id)
            except (OSError, StoreUnavailable):
                log.exception("delivery_not_removed", delivery_id=delivery_id)


def _is_told(webhook: Webhook, event: Event) -> bool:
    return event.type in webhook.events and webhook.disabled_at is None and event.occurred_at >= webhook.created_at


def _check_tests(webhooks: WebhookStore, webhook_id: str) -> None:
    """Tests are the newest of what is pending: looking at some is enough."""
    newest = webhooks.pending_ids(webhook_id)[:MOST_PENDING]
    pending = [one for one in webhooks.find_deliveries(webhook_id, newest) if one is not None]
    if sum(one.event.type is EventType.WEBHOOK_TEST for one in pending) >= MOST_PENDING_TESTS:
        raise TooManyPending(
            f"{MOST_PENDING_TESTS} tests of this webhook wait already. See how they go in its deliveries first.",
            retry_after_s=PENDING_RETRY_S,
        )


def _unknown() -> WebhookNotFound:
    return WebhookNotFound("There is no webhook with this id. Check the id.")


def _check_enabled(webhook: Webhook) -> None:
    if webhook.disabled_at is not None:
        raise WebhookDisabled(
            "The webhook's address has answered 410 Gone and is told nothing any more. Delete it, and create one for "
            "the address that is right."
        )


def _new_secret(stem: str) -> Secret:
    text = base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode("ascii")
    return Secret(f"{SECRET_PREFIX}{text}", stem)
