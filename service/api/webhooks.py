"""Webhooks over HTTP: make and remove them, see what they were told, and have it told again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from secrets import token_hex
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request, Response
from fastapi.concurrency import run_in_threadpool

from service.access.targets import destination_of, read_targets
from service.analyses import webhooks
from service.analyses.errors import DeliveryUnderWay, QueueUnavailable
from service.analyses.webhook import DeliveryState, EventType
from service.api.access import ServicesDep, StoreDep
from service.api.bodies import json_body
from service.api.datasets import Cursor, Limit
from service.api.describing import ID_EXAMPLES, LOCATION, RETRY_AFTER, json_content, problem, request_body
from service.api.once import IN_USE, OnceDep, StemDep, begun
from service.api.webhook_views import view_delivery, view_new_webhook, view_rotated, view_webhook, webhook_address
from service.schemas.limits import DEFAULT_PAGE
from service.schemas.webhooks import (
    DeliveryPage,
    DeliveryView,
    NewWebhookView,
    RotatedSecretView,
    WebhookList,
    WebhookRequest,
    WebhookView,
)
from service.wiring import Services

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"])

WebhookId = Annotated[str, Path(description="Id of the webhook.", examples=[ID_EXAMPLES["webhook_id"]])]
DeliveryId = Annotated[str, Path(description="Id of the delivery.", examples=[ID_EXAMPLES["delivery_id"]])]
UNKNOWN = problem("Unknown id.")
DISABLED = problem("The webhook is told nothing any more, or the call is still being answered.", IN_USE["headers"])
NOT_NOW = problem(
    "The webhook is told nothing any more, the delivery is being sent (`delivery_under_way`), or the call is still "
    "being answered.",
    IN_USE["headers"],
)
PENDING = problem("As many of its deliveries wait as may be asked for by hand (`too_many_pending`).", RETRY_AFTER)


ROTATED = problem(
    "Another call has rotated after the one with this Idempotency-Key (`rotated_meanwhile`), or that is still being "
    "answered.",
    IN_USE["headers"],
)


@router.post(
    "",
    status_code=201,
    summary="Make a webhook",
    responses={
        201: {"description": "It is told of what happens from here on.", "headers": LOCATION},
        409: problem(
            "No host may be reached, there are too many, or the call is still being answered.", IN_USE["headers"]
        ),
        413: problem("Too large."),
        415: problem("Not JSON."),
        422: problem("The address is not one that webhooks may reach, or no such event is told."),
    },
    openapi_extra=request_body(
        json_content(
            WebhookRequest,
            every={
                "url": "https://hooks.example.org/phasegate",
                "events": ["analysis.succeeded", "analysis.failed", "analysis.cancelled", "decision.made"],
                "description": "Starts the training run",
            },
        )
    ),
)
async def create(
    services: ServicesDep,
    store: StoreDep,
    once: OnceDep,
    request: Request,
    response: Response,
    asked: Annotated[WebhookRequest, Depends(json_body(WebhookRequest))],
) -> NewWebhookView:
    """Have events sent to an address, signed after the Standard Webhooks specification with the secret in the answer.

    Every delivery is tried until the address answers 2xx, up to 8 times within 29 hours, and may come more than once,
    with the same `webhook-id`. Redirects are not followed.
    """
    settings = services.settings
    destination_of(asked.url, read_targets(settings.webhook_hosts), allow_http=settings.webhook_allow_http)
    # The answer holds the secret: it is not kept for a repetition, but made again from what is stored.
    stem = await once.begin(await request.body(), repeatable=201)
    events = [EventType(kind) for kind in asked.events]
    made = await run_in_threadpool(webhooks.create, store.webhooks, asked.url, events, asked.description, stem)
    response.headers["Location"] = webhook_address(made.id)
    return view_new_webhook(made)


@router.get("", summary="List webhooks", responses={200: {"description": "All of them, newest first."}})
def list_webhooks(store: StoreDep) -> WebhookList:
    """Every webhook, without its secret."""
    return WebhookList(items=[view_webhook(webhook) for webhook in webhooks.every(store.webhooks)])


@router.get("/{webhook_id}", summary="Look at a webhook", responses={404: UNKNOWN})
def look(store: StoreDep, webhook_id: WebhookId) -> WebhookView:
    """A webhook, without its secret."""
    return view_webhook(webhooks.find(store.webhooks, webhook_id))


@router.delete(
    "/{webhook_id}",
    status_code=204,
    summary="Delete a webhook",
    responses={204: {"description": "Gone."}, 404: UNKNOWN},
)
def delete(services: ServicesDep, store: StoreDep, webhook_id: WebhookId) -> None:
    """Remove it with its deliveries; what it was still owed is not sent."""
    webhooks.delete(store.webhooks, webhook_id)
    with suppress(QueueUnavailable):
        services.queue.erase(webhook_id)


@router.post("/{webhook_id}/rotate", summary="Give a webhook a new secret", responses={404: UNKNOWN, 409: ROTATED})
def rotate(store: StoreDep, webhook_id: WebhookId, stem: StemDep) -> RotatedSecretView:
    """For 24 hours deliveries carry two signatures, with the new secret and with the one before it."""
    return view_rotated(webhooks.rotate(store.webhooks, webhook_id, stem))


@router.post(
    "/{webhook_id}/test",
    status_code=202,
    summary="Try a webhook",
    responses={202: {"description": "The delivery, which is due at once."}, 404: UNKNOWN, 409: DISABLED, 429: PENDING},
)
def try_out(store: StoreDep, webhook_id: WebhookId, stem: StemDep) -> DeliveryView:
    """Send it a `webhook.test` event. Look at its deliveries to see how that went."""
    return view_delivery(webhooks.try_out(store.webhooks, webhook_id, stem))


@router.get(
    "/{webhook_id}/deliveries",
    summary="List what a webhook was told",
    responses={200: {"description": "A page, newest first."}, 404: UNKNOWN},
)
def list_deliveries(
    store: StoreDep, webhook_id: WebhookId, cursor: Cursor = None, limit: Limit = DEFAULT_PAGE
) -> DeliveryPage:
    """Every event that it was or is to be told, how that went, and when it is tried next. Kept as long as analyses."""
    page = webhooks.list_deliveries(store.webhooks, webhook_id, cursor, limit)
    return DeliveryPage(items=[view_delivery(delivery) for delivery in page.items], next_cursor=page.next_cursor)


@router.post(
    "/{webhook_id}/deliveries/{delivery_id}/replay",
    status_code=202,
    summary="Tell a webhook again",
    responses={202: {"description": "The delivery, which is due at once."}, 404: UNKNOWN, 409: NOT_NOW, 429: PENDING},
    dependencies=[Depends(begun)],
)
def replay(services: ServicesDep, store: StoreDep, webhook_id: WebhookId, delivery_id: DeliveryId) -> DeliveryView:
    """Send an event once more under the same id, whether it was delivered or not, with all its attempts before it."""
    before = webhooks.find_delivery(store.webhooks, webhook_id, delivery_id)
    with _unsent(services, delivery_id) if before.state is DeliveryState.PENDING else nullcontext():
        return view_delivery(webhooks.replay(store.webhooks, webhook_id, delivery_id))


@contextmanager
def _unsent(services: Services, delivery_id: str) -> Iterator[None]:
    """While no attempt is made, which would write what comes of it over what is written here.

    Without the queue nobody can tell: then it is written all the same.  Raises DeliveryUnderWay.
    """
    holder, leases = token_hex(8), services.leases
    try:
        is_free = leases.take(delivery_id, holder)
    except QueueUnavailable:
        is_free = True
    if not is_free:
        raise DeliveryUnderWay("The delivery is being sent in this moment. See how that ends, then ask again.")
    try:
        yield
    finally:
        with suppress(QueueUnavailable):
            leases.let_go(delivery_id, holder)
