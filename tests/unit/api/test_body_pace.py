"""How slowly a body may come.  Pauses go by a clock that is set; silence alone is real, and short."""

from __future__ import annotations

import asyncio

import pytest

from service.analyses.errors import SlowBody
from service.api.body_pace import LEAST_BYTES_PER_S, BodyPace

SILENCE_S = 0.2
NEVER = float("inf")
SCOPE = {"type": "http", "method": "PUT", "path": "/v1/datasets/ds-1/x", "headers": []}


def read(pieces: list[tuple[float, bytes]]) -> int:
    """Bytes taken of a body whose pieces come after pauses (seconds)."""
    waiting, taken, now_s = list(pieces), 0, 0.0

    async def receive():
        nonlocal now_s
        pause_s, piece = waiting.pop(0)
        if pause_s == NEVER:
            await asyncio.Event().wait()
        now_s += pause_s
        return {"type": "http.request", "body": piece, "more_body": bool(waiting)}

    async def reads_everything(scope, receive, send):
        nonlocal taken
        while True:
            message = await receive()
            taken += len(message["body"])
            if not message["more_body"]:
                return

    asyncio.run(BodyPace(reads_everything, SILENCE_S, lambda: now_s)(SCOPE, receive, None))
    return taken


def test_silence_ends_a_body():
    with pytest.raises(SlowBody, match=r"Nothing of the body has come for 0\.2 s"):
        read([(0, b"first"), (NEVER, b"")])


def test_a_byte_now_and_then_ends_a_body():
    with pytest.raises(SlowBody, match=f"less than {LEAST_BYTES_PER_S} bytes a second"):
        read([(0.05, b"x")] * 1000)


def test_fast_pieces_earn_no_right_to_slow_ones():
    with pytest.raises(SlowBody, match="bytes a second"):
        read([(0.15, bytes(10_000_000))] * 2 + [(0.05, b"x")] * 1000)


def test_a_body_that_comes_at_a_modest_pace_is_taken():
    assert read([(0.05, bytes(4096))] * 12) == 12 * 4096


def test_a_short_body_may_come_in_few_slow_pieces():
    assert read([(0.08, b"{}")] * 2) == 4


def test_nothing_is_awaited_after_the_end_of_a_body():
    """A route that waits for its client to go away waits as long as it likes."""

    async def receive():
        await asyncio.sleep(0 if not calls else 2 * SILENCE_S)
        calls.append(1)
        return {"type": "http.request" if len(calls) == 1 else "http.disconnect", "more_body": False}

    async def waits(scope, receive, send):
        await receive()
        assert (await receive())["type"] == "http.disconnect"

    calls: list[int] = []
    asyncio.run(BodyPace(waits, SILENCE_S)(SCOPE, receive, None))
    assert len(calls) == 2
