"""What is owed is delivered: at least once, by one of the processes that could, and no target waits for another."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from secrets import token_hex
from typing import Protocol, TypeVar

import anyio.to_thread
import structlog
from anyio import CapacityLimiter

from service.analyses.errors import QueueUnavailable, StoreUnavailable
from service.analyses.ports import Stores, WebhookStore
from service.analyses.webhook import Delivery, DeliveryState, Owed, Webhook
from service.analyses.webhooks import disable
from service.notifications.schedule import GONE, abandoned, after_attempt
from service.notifications.sending import Answered

INTERVAL_S = 2.0  # how soon what is due is seen
AT_ONCE = 32  # attempts at the same time
AT_ONCE_EACH = 2  # of them to the same webhook: a slow target keeps no other waiting
THREADS = 4  # in which the store is asked
LEASE_S = 60  # longer than an attempt takes, with its records

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
    """Looks for what is due, and tries it.

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
        self._attempts: dict[str, asyncio.Task[None]] = {}
        self._under_way: Counter[str] = Counter()

    async def run(self) -> None:
        """Deliver until cancelled; attempts that are cut short are made again by whoever comes next."""
        try:
            while True:
                await self.round()
                await asyncio.sleep(INTERVAL_S)
        finally:
            for attempt in self._attempts.values():
                attempt.cancel()

    async def round(self) -> None:
        """Begin what is due and has room; what is under way goes on."""
        try:
            owed = await self._in_thread(lambda: list(self._stores.owed(datetime.now(UTC))))
        except (OSError, StoreUnavailable):
            log.warning("store_unavailable", step="webhooks")
            return
        except Exception:
            log.exception("webhooks_failed")
            return
        for one in owed:
            if len(self._attempts) >= AT_ONCE:
                return
            if one.delivery_id not in self._attempts and self._under_way[one.webhook_id] < AT_ONCE_EACH:
                self._under_way[one.webhook_id] += 1
                self._attempts[one.delivery_id] = asyncio.create_task(self._attempt(one))

    async def settled(self) -> None:
        """Wait for the attempts that are under way."""
        await asyncio.gather(*self._attempts.values())

    async def _attempt(self, owed: Owed) -> None:
        try:
            await self._leased(owed)
        except (OSError, StoreUnavailable):
            log.warning("store_unavailable", step="webhooks", delivery_id=owed.delivery_id)
        except Exception:
            log.exception("delivery_failed", delivery_id=owed.delivery_id)
        finally:
            del self._attempts[owed.delivery_id]
            self._under_way[owed.webhook_id] -= 1
            if not self._under_way[owed.webhook_id]:
                del self._under_way[owed.webhook_id]

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
        after = after_attempt(due.delivery, attempt, answered.retry_after_s, self._drawn())

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
            attempt=after.n_attempts,
            status=attempt.status,
            outcome=came_out,
        )

    def _due(self, owed: Owed) -> Due | None:
        """What a mark stands for, read anew; a mark that stands for nothing is dropped."""
        webhooks = self._stores.of(owed.tenant).webhooks
        webhook = webhooks.find(owed.webhook_id)
        delivery = webhooks.find_delivery(owed.webhook_id, owed.delivery_id)
        if delivery is None:
            webhooks.drop(owed)
            return None
        if webhook is None:
            webhooks.remove_delivery(owed.webhook_id, owed.delivery_id)
            webhooks.drop(owed)
            return None
        if delivery.next_attempt_at is None or delivery.next_attempt_at > datetime.now(UTC):
            webhooks.update(delivery, delivery)  # whose own mark may be what is wanting
            webhooks.drop(owed)
            return None
        if webhook.disabled_at is not None:
            webhooks.update(delivery, abandoned(delivery))
            return None
        return Due(webhooks, webhook, delivery)

    async def _in_thread(self, step: Callable[[], Found]) -> Found:
        return await anyio.to_thread.run_sync(step, limiter=self._threads)


def _outcome(delivery: Delivery) -> str:
    match delivery.state:
        case DeliveryState.DELIVERED:
            return "delivered"
        case DeliveryState.PENDING:
            return "retried"
    return "failed"
