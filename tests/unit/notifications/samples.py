"""Webhooks and deliveries as tests of notifications have them."""

from __future__ import annotations

import base64
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


def a_webhook(url: str = "https://hooks.example.org/x", *secrets: Secret) -> Webhook:
    return Webhook(RECORD_VERSION, new_id(Kind.WEBHOOK), url, SUBSCRIBED, "", secrets or (a_secret(1),))


def a_delivery(webhook: Webhook) -> Delivery:
    return delivery_of(webhook.id, analysis_ended(ANALYSIS_ID, FAILED))
