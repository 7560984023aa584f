"""Webhooks and their deliveries on the wire."""

from __future__ import annotations

from service.analyses.webhook import Delivery, Webhook
from service.schemas.webhooks import (
    AttemptView,
    DeliveryView,
    NewWebhookView,
    RotatedSecretView,
    WebhookLinks,
    WebhookView,
)


def webhook_address(webhook_id: str) -> str:
    """Where a webhook is."""
    return f"/v1/webhooks/{webhook_id}"


def view_webhook(webhook: Webhook) -> WebhookView:
    """A webhook on the wire, without its secret."""
    address = webhook_address(webhook.id)
    return WebhookView.model_validate(
        {
            "id": webhook.id,
            "url": webhook.url,
            "events": list(webhook.events),
            "description": webhook.description,
            "created_at": webhook.created_at,
            "disabled_at": webhook.disabled_at,
            "links": WebhookLinks(self=address, deliveries=f"{address}/deliveries"),
        }
    )


def view_new_webhook(webhook: Webhook) -> NewWebhookView:
    """A webhook on the wire, with its secret."""
    return NewWebhookView(**dict(view_webhook(webhook)), secret=webhook.secrets[0].text)


def view_rotated(webhook: Webhook) -> RotatedSecretView:
    """The latest secret of a webhook on the wire."""
    latest, *before = webhook.secrets
    return RotatedSecretView(id=webhook.id, secret=latest.text, previous_until=before[0].until if before else None)


def view_delivery(delivery: Delivery) -> DeliveryView:
    """A delivery on the wire."""
    last = delivery.last_attempt
    return DeliveryView(
        id=delivery.id,
        webhook_id=delivery.webhook_id,
        type=delivery.event.type,
        subject_id=delivery.event.subject_id,
        occurred_at=delivery.event.occurred_at,
        state=delivery.state,
        attempts=delivery.n_attempts,
        next_attempt_at=delivery.next_attempt_at,
        last_attempt=AttemptView(at=last.at, status=last.status, error=last.error) if last else None,
    )
