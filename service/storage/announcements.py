"""Hearing of outcomes without polling for them: one connection for all who wait in a process."""

from __future__ import annotations

import asyncio
import time

import redis.asyncio
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from service.storage.keys import ANNOUNCED

CONNECTION_S = 2.0  # longest wait for a server to answer
CLOSING_S = 1.0


class Announcements:
    """What is announced from the first call of `heard` on.  Never raises for the server's sake.

    An announcement may be lost with its connection, or because the server is away: whoever waits looks for himself now
    and then.
    """

    def __init__(self, redis_url: str) -> None:
        self._url = redis_url
        self._connection: redis.asyncio.Redis | None = None
        self._subscription: PubSub | None = None

    async def heard(self, timeout_s: float) -> frozenset[str]:
        """Ids of analyses whose outcome has been announced: as soon as there is one, or none after the timeout."""
        until = time.monotonic() + timeout_s
        try:
            async with asyncio.timeout(timeout_s + CONNECTION_S):
                return await self._next(timeout_s)
        except (RedisError, OSError, RuntimeError):  # a TimeoutError is an OSError
            await self.close()
        await asyncio.sleep(max(0.0, until - time.monotonic()))
        return frozenset()

    async def close(self) -> None:
        """Give the connection back; the next `heard` opens another."""
        subscription, connection = self._subscription, self._connection
        self._subscription = self._connection = None
        try:
            async with asyncio.timeout(CLOSING_S):
                if subscription is not None:
                    await subscription.aclose()  # type: ignore[no-untyped-call]
                if connection is not None:
                    await connection.aclose()
        except (RedisError, OSError):
            return

    async def _next(self, timeout_s: float) -> frozenset[str]:
        subscription = self._subscription or await self._subscribe()
        ids: set[str] = set()
        message = await subscription.get_message(timeout=timeout_s)
        while message is not None:  # what has come together is told together
            ids.add(message["data"].decode("utf-8", "replace"))
            message = await subscription.get_message(timeout=0.0)
        return frozenset(ids)

    async def _subscribe(self) -> PubSub:
        self._connection = redis.asyncio.Redis.from_url(
            self._url, socket_connect_timeout=CONNECTION_S, socket_timeout=CONNECTION_S, retry=Retry(NoBackoff(), 0)
        )
        subscription = self._connection.pubsub(ignore_subscribe_messages=True)
        await subscription.subscribe(ANNOUNCED)
        # The subscription holds once the server has confirmed it, not once it is sent.
        await subscription.get_message(ignore_subscribe_messages=False, timeout=CONNECTION_S)
        self._subscription = subscription
        return subscription
