# Translated from service/client/asynchronous/webhooks.py by `make client-sync`: edit that.
"""Webhooks: who is told when an analysis has ended or a decision was made."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from service.analyses.webhook import EventType
from service.client.addresses import step
from service.client.blocking.connection import Connection
from service.schemas.webhooks import (
    DeliveryPage,
    DeliveryView,
    NewWebhookView,
    RotatedSecretView,
    WebhookList,
    WebhookView,
)

WEBHOOKS = "/v1/webhooks"


class Webhooks:
    """The webhooks of a service: `client.webhooks`.  Calls raise what those of the client raise."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def create(self, url: str, events: Collection[EventType], description: str = "") -> NewWebhookView:
        """Have events sent to an address that the operator allows; the answer alone has the secret that signs them."""
        body = {"url": url, "events": list(events), "description": description}
        return self._connection.read(NewWebhookView, "POST", WEBHOOKS, json=body)

    def every(self) -> list[WebhookView]:
        """All webhooks, newest first."""
        return (self._connection.read(WebhookList, "GET", WEBHOOKS)).items

    def find(self, webhook_id: str) -> WebhookView:
        """The webhook."""
        return self._connection.read(WebhookView, "GET", f"{WEBHOOKS}/{step(webhook_id)}")

    def delete(self, webhook_id: str) -> None:
        """Remove a webhook with its deliveries; what it was still owed is not sent."""
        self._connection.delete(f"{WEBHOOKS}/{step(webhook_id)}")

    def rotate(self, webhook_id: str) -> RotatedSecretView:
        """Give it a new secret; for a day both sign."""
        return self._connection.read(RotatedSecretView, "POST", f"{WEBHOOKS}/{step(webhook_id)}/rotate")

    def try_out(self, webhook_id: str) -> DeliveryView:
        """Send it a test event; its deliveries show how that went."""
        return self._connection.read(DeliveryView, "POST", f"{WEBHOOKS}/{step(webhook_id)}/test")

    def deliveries(self, webhook_id: str, page_size: int | None = None) -> Iterator[DeliveryView]:
        """What it was or is to be told, newest first."""
        return self._connection.items(DeliveryPage, f"{WEBHOOKS}/{step(webhook_id)}/deliveries", {"limit": page_size})

    def replay(self, webhook_id: str, delivery_id: str) -> DeliveryView:
        """Tell it once more, under the same id."""
        path = f"{WEBHOOKS}/{step(webhook_id)}/deliveries/{step(delivery_id)}/replay"
        return self._connection.read(DeliveryView, "POST", path)
