"""Webhooks and deliveries as tests of notifications have them."""

from __future__ import annotations

import base64
import secrets
from datetime import UTC, datetime

from service.analyses.analysis import RECORD_VERSION, Failure, Outcome
from service.analyses.happenings import analysis_ended
from service.analyses.identity import Kind, new_id
from service.analyses.webhook import SUBSCRIBED, Delivery, Secret, Webhook
from service.analyses.webhooks import delivery_of

ENDED_AT = datetime(2025, 11, 26, 7, 30, 0, 250_000, tzinfo=UTC)
FAILED = Outcome(RECORD_VERSION, None, ENDED_AT, Failure("rank_deficient", "x has rank 2. Send more features.", "x"))
ANALYSIS_ID = "an-01a20b62cd2890aa51d3c7e2b6f48013"


def a_secret(seed: int, until: datetime | None = None) -> Secret:
    text = base64.b64encode(bytes([seed]) * 32).decode()
    return Secret(f"whsec_{text}", f"{seed}", until)


def a_webhook(url: str = "https://hooks.example.org/x", *its_secrets: Secret) -> Webhook:
    """A webhook that was made before anything happened that tests tell it."""
    made_at = f"{int(ENDED_AT.timestamp() * 1000) - 1:012x}"
    webhook_id = new_id(Kind.WEBHOOK, f"{made_at}{secrets.token_hex(10)}")
    return Webhook(RECORD_VERSION, webhook_id, url, SUBSCRIBED, "", its_secrets or (a_secret(1),))


def a_delivery(webhook: Webhook) -> Delivery:
    return delivery_of(webhook.id, analysis_ended(ANALYSIS_ID, FAILED))
