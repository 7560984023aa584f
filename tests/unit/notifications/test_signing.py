"""Deliveries are signed as the Standard Webhooks library verifies them, and say what the API's description says."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import TypeAdapter
from standardwebhooks import Webhook, WebhookVerificationError

from service.analyses.webhook import Event, EventType, Secret
from service.api.views import analysis_address, decision_address
from service.api.webhook_views import webhook_address
from service.notifications.payloads import body_of
from service.notifications.signing import signed_headers
from service.schemas.webhooks import AnalysisEvent, DecisionEvent, TrialEvent

from .samples import ANALYSIS_ID, a_delivery, a_secret, a_webhook

EVENT = TypeAdapter(AnalysisEvent | DecisionEvent | TrialEvent)


def test_the_librarys_verification_takes_what_is_signed() -> None:
    now_s = int(time.time())  # the library takes nothing that is older than five minutes
    delivery = a_delivery(a_webhook())
    body = body_of(delivery.event)
    headers = signed_headers(delivery.id, body, [a_secret(1)], now_s)
    assert headers["webhook-id"] == delivery.id
    told = Webhook(a_secret(1).text).verify(body, headers)
    assert told["data"]["analysis_id"] == ANALYSIS_ID
    with pytest.raises(WebhookVerificationError):
        Webhook(a_secret(2).text).verify(body, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(a_secret(1).text).verify(body + b" ", headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(a_secret(1).text).verify(body, headers | {"webhook-id": "wd-other"})
    with pytest.raises(WebhookVerificationError):
        Webhook(a_secret(1).text).verify(body, headers | {"webhook-timestamp": str(now_s + 1)})


def test_the_published_example_has_the_published_signature() -> None:
    """The vector of the specification's reference implementation."""
    secret = Secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "")
    headers = signed_headers("msg_p5jXN8AQM9LWM0D4loKWxJek", b'{"test": 2432232314}', [secret], 1614265330)
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_while_two_secrets_count_either_verifies() -> None:
    now = datetime.now(UTC)
    now_s = int(now.timestamp())
    webhook = a_webhook("https://x.example", a_secret(2), a_secret(1, now + timedelta(hours=1)))
    body = body_of(a_delivery(webhook).event)
    both = signed_headers("wd-1", body, webhook.secrets_at(now), now_s)
    assert both["webhook-signature"].count("v1,") == 2
    for seed in (1, 2):
        Webhook(a_secret(seed).text).verify(body, both)
    one = signed_headers("wd-1", body, webhook.secrets_at(now + timedelta(hours=1)), now_s)
    Webhook(a_secret(2).text).verify(body, one)
    with pytest.raises(WebhookVerificationError):
        Webhook(a_secret(1).text).verify(body, one)


@pytest.mark.parametrize(
    ("event", "links"),
    [
        (a_delivery(a_webhook()).event, {"self": analysis_address(ANALYSIS_ID)}),
        (
            Event(
                EventType.DECISION_MADE,
                "de-1",
                datetime.now(UTC),
                {
                    "decision_id": "de-1",
                    "analysis_id": ANALYSIS_ID,
                    "decision": "pass",
                    "policy_name": "alignment",
                    "policy_version": 1,
                    "policy_sha256": "0" * 64,
                    "summary": "It may start: größer.",
                },
            ),
            {"self": decision_address("de-1"), "analysis": analysis_address(ANALYSIS_ID)},
        ),
        (
            Event(EventType.WEBHOOK_TEST, "x", datetime.now(UTC), {"webhook_id": "wh-1"}),
            {"self": webhook_address("wh-1")},
        ),
    ],
)
def test_what_is_sent_is_what_is_described(event: Event, links: dict[str, str]) -> None:
    body = body_of(event)
    told = EVENT.validate_json(body)
    assert told.type == event.type
    assert told.timestamp == event.occurred_at
    assert told.data.links.model_dump(exclude_none=True).items() >= links.items()
    assert body_of(event) == body, "a repetition has the same signature"
