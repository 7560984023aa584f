"""Waiting for the outcome of an analysis without polling for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import redis.asyncio
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from service.storage.keys import announcement_channel

FALLBACK_INTERVAL_S = 1.0
"""How often a waiter looks for itself: an announcement may be lost with its connection."""

SUBSCRIPTION_S = 2.0  # longest wait for a server to take a subscription
RECONNECTION_S = 0.5
CLOSING_S = 1.0


async def wait_for_announcement(
    redis_url: str, analysis_id: str, timeout_s: float, is_done: Callable[[], bool]
) -> bool:
    """Wait until `is_done()`, woken by the announcement; returns `is_done()` after at most about `timeout_s` seconds.

    It subscribes before it asks `is_done` for the first time, so that no announcement falls in between.  A lost or
    absent server does not raise: the waiter then looks once a second.  `is_done` is called in a thread; what it raises
    is raised.
    """
    deadline = time.monotonic() + timeout_s
    connection = redis.asyncio.Redis.from_url(
        redis_url, socket_connect_timeout=2.0, socket_timeout=5.0, retry=Retry(NoBackoff(), 0)
    )
    subscription = connection.pubsub(ignore_subscribe_messages=True)
    try:
        await _subscribe(subscription, analysis_id, min(timeout_s, SUBSCRIPTION_S))
        while not await asyncio.to_thread(is_done):
            remaining_s = deadline - time.monotonic()
            if remaining_s <= 0:
                return False
            await _next_announcement(subscription, min(remaining_s, FALLBACK_INTERVAL_S))
        return True
    finally:
        await _close(subscription, connection)


async def _subscribe(subscription: PubSub, analysis_id: str, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await subscription.subscribe(announcement_channel(analysis_id))
            # The subscription holds once the server has confirmed it, not once it is sent.
            await subscription.get_message(ignore_subscribe_messages=False, timeout=timeout_s)
    except (RedisError, OSError):  # a TimeoutError is an OSError
        return


async def _next_announcement(subscription: PubSub, timeout_s: float) -> None:
    """Return at an announcement, or after the timeout; a failing connection only shortens nothing."""
    until = time.monotonic() + timeout_s
    try:
        # The timeout of get_message is for an answer; a connection that is lost is made anew first.
        async with asyncio.timeout(timeout_s + RECONNECTION_S):
            if await subscription.get_message(timeout=timeout_s) is not None:
                return
    except (RedisError, OSError, RuntimeError):  # RuntimeError: the subscription never came about
        pass
    await asyncio.sleep(max(0.0, until - time.monotonic()))


async def _close(subscription: PubSub, connection: redis.asyncio.Redis) -> None:
    try:
        async with asyncio.timeout(CLOSING_S):
            await subscription.aclose()  # type: ignore[no-untyped-call]
            await connection.aclose()
    except (RedisError, OSError):
        return
