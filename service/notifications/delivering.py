"""What is owed is delivered: at least once, by one of the processes that could, and no webhook waits for another."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from secrets import token_hex
from typing import Protocol, TypeVar
from urllib.parse import urlsplit

import anyio.to_thread
import structlog
from anyio import CapacityLimiter

from service.analyses.errors import QueueUnavailable, StoreUnavailable
from service.analyses.ports import Stores, WebhookStore
from service.analyses.webhook import LONGEST_PENDING, Delivery, DeliveryState, EventType, Owed, Webhook, is_due
from service.analyses.webhooks import disable
from service.notifications.schedule import GONE, abandoned, after_attempt
from service.notifications.sending import Answered
from service.notifications.turns import Turns

INTERVAL_S = 2.0  # how soon what is due is seen
THREADS = 4  # in which the store is asked
LEASE_S = 60  # longer than an attempt takes, with its records
LEFT_ALONE_S = 300.0  # what has a record that cannot be read: the log says so, and not every other second

Found = TypeVar("Found")

log = structlog.get_logger("phasegate.webhooks")


class Leases(Protocol):
    """Of several processes one makes an attempt.  Every call raises QueueUnavailable."""

    def take(self, name: str, holder: str) -> bool:
        """Whether the lease is this holder's now."""

    def let_go(self, name: str, holder: str) -> None:
        """End a lease, if it is this holder's still."""


class Sends(Protocol):
    """Makes one attempt."""

    async def send(self, webhook: Webhook, delivery: Delivery) -> Answered:
        """Try once; raises nothing."""


@dataclass(frozen=True)
class Due:
    """A delivery to be tried now, and all that is needed for it."""

    webhooks: WebhookStore
    webhook: Webhook
    delivery: Delivery


class Deliverer:
    """Looks for what is due, and tries it; where an attempt ends the next begins.

    Arguments: count, told how every attempt came out: delivered, retried, failed or gone; drawn, at random from 0 to 1.
    """

    def __init__(
        self,
        stores: Stores,
        leases: Leases,
        sender: Sends,
        count: Callable[[str], None],
        drawn: Callable[[], float] = random.random,
    ) -> None:
        self._stores, self._leases, self._sender = stores, leases, sender
        self._count, self._drawn = count, drawn
        self._threads = CapacityLimiter(THREADS)
        self._turns = Turns()
        self._attempts: set[asyncio.Task[None]] = set()
        self._is_over = False
        self._left_alone: dict[str, float] = {}  # by delivery: until when, on the monotonic clock

    async def run(self) -> None:
        """Deliver until cancelled; attempts that are cut short are made again by whoever comes next."""
        try:
            while True:
                await self.round()
                await asyncio.sleep(INTERVAL_S)
        finally:
            self._is_over = True
            for attempt in self._attempts:
                attempt.cancel()

    async def round(self) -> None:
        """Begin what is due and has room; what is under way goes on."""
        self._turns.look()
        try:
            owed = await self._in_thread(lambda: list(self._stores.owed(datetime.now(UTC))))
        except (OSError, StoreUnavailable):
            log.warning("store_unavailable", step="webhooks")
            return
        except Exception:
            log.exception("webhooks_failed")
            return
        now_s = time.monotonic()
        self._left_alone = {an_id: until_s for an_id, until_s in self._left_alone.items() if now_s < until_s}
        self._turns.fill(one for one in owed if one.delivery_id not in self._left_alone)
        self._begin()

    async def settled(self) -> None:
        """Wait for the attempts that are under way, and for those that begin where these end."""
        while self._attempts:
            await asyncio.wait(self._attempts)

    def _begin(self) -> None:
        while not self._is_over and (owed := self._turns.begin()) is not None:
            attempt = asyncio.create_task(self._attempt(owed))
            self._attempts.add(attempt)
            attempt.add_done_callback(self._attempts.discard)

    async def _attempt(self, owed: Owed) -> None:
        try:
            await self._leased(owed)
        except (OSError, StoreUnavailable):
            log.warning("store_unavailable", step="webhooks", delivery_id=owed.delivery_id)
        except Exception:
            log.exception("delivery_failed", delivery_id=owed.delivery_id)
        finally:
            self._turns.end(owed)
            self._begin()

    async def _leased(self, owed: Owed) -> None:
        holder = token_hex(8)
        try:
            if not await self._in_thread(lambda: self._leases.take(owed.delivery_id, holder)):
                return
        except QueueUnavailable:
            # Nobody can tell who else tries: told twice is better than not at all, and the id is the same.
            await self._try(owed)
            return
        try:
            await self._try(owed)
        finally:
            await self._let_go(owed, holder)

    async def _let_go(self, owed: Owed, holder: str) -> None:
        try:
            await self._in_thread(lambda: self._leases.let_go(owed.delivery_id, holder))
        except QueueUnavailable:
            log.debug("queue_unavailable", step="webhooks")  # it ends by itself

    async def _try(self, owed: Owed) -> None:
        due = await self._in_thread(lambda: self._due(owed))
        if due is None:
            return
        answered = await self._sender.send(due.webhook, due.delivery)
        attempt = answered.attempt
        after = after_attempt(due.delivery, attempt, datetime.now(UTC), answered.retry_after_s, self._drawn())

        def record() -> None:
            due.webhooks.update(due.delivery, after)
            if attempt.status == GONE:
                disable(due.webhooks, due.webhook.id, attempt.at)

        await self._in_thread(record)
        came_out = "gone" if attempt.status == GONE else _outcome(after)
        self._count(came_out)
        log.info(
            "delivery_attempted",
            tenant=owed.tenant,
            webhook_id=owed.webhook_id,
            delivery_id=owed.delivery_id,
            type=due.delivery.event.type.value,
            subject=due.delivery.event.subject_id,
            host=urlsplit(due.webhook.url).hostname,
            attempt=after.n_attempts,
            status=attempt.status,
            outcome=came_out,
        )

    def _due(self, owed: Owed) -> Due | None:
        """What a mark stands for, read anew; a mark that stands for nothing is dropped."""
        store = self._stores.of(owed.tenant)
        webhooks, now = store.webhooks, datetime.now(UTC)
        webhook = webhooks.find(owed.webhook_id)
        if webhook is None:
            if webhooks.has(owed.webhook_id):
                self._leave_alone(owed)
                return None
            webhooks.remove_delivery(owed.webhook_id, owed.delivery_id)
            webhooks.drop(owed)
            return None
        delivery = webhooks.find_delivery(owed.webhook_id, owed.delivery_id)
        if delivery is None:
            if webhooks.has_delivery(owed.webhook_id, owed.delivery_id):
                self._leave_alone(owed)
                return None
            webhooks.drop(owed)
            return None
        if delivery.next_attempt_at is None or not is_due(delivery.next_attempt_at, now):
            webhooks.owe(delivery)  # whose own mark may be what is wanting
            webhooks.drop(owed)
            return None
        if webhook.disabled_at is not None:
            webhooks.update(delivery, abandoned(delivery))
            return None
        if delivery.event.type is EventType.DECISION_MADE and store.decisions.find(delivery.event.subject_id) is None:
            # It is owed before it is kept.  Whoever died in between leaves it to the next who asks.
            if now - delivery.created_at > LONGEST_PENDING:
                webhooks.update(delivery, abandoned(delivery))
            return None
        return Due(webhooks, webhook, delivery)

    def _leave_alone(self, owed: Owed) -> None:
        log.error("record_left_alone", tenant=owed.tenant, webhook_id=owed.webhook_id, delivery_id=owed.delivery_id)
        self._left_alone[owed.delivery_id] = time.monotonic() + LEFT_ALONE_S

    async def _in_thread(self, step: Callable[[], Found]) -> Found:
        return await anyio.to_thread.run_sync(step, limiter=self._threads)


def _outcome(delivery: Delivery) -> str:
    match delivery.state:
        case DeliveryState.DELIVERED:
            return "delivered"
        case DeliveryState.PENDING:
            return "retried"
    return "failed"
