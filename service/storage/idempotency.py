"""Keys of calls in Redis: one hash for each, changed in one step.

    fingerprint     digest of what was sent
    stem            of the ids that the call gives
    holder          the attempt that is being answered
    leased_until    until when it is taken to be alive, by the server's clock
    answer          the answer as JSON, deflated, once there is one
    tenant          whose it is

A set for each stem leads back to the hashes, so that answers go with what they name.  The server must not run full of
answers: a sorted set for each tenant has its hashes by their time, and `keys.MOST_CALLS` are kept of all together.  One
more costs the oldest of whoever has most, so that nobody's many calls push out the few of another.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from dataclasses import replace
from typing import Any, cast

from redis import Redis

from service.analyses.claims import CALL_LEASE_S, Answer, Claim, KeyedCall
from service.analyses.errors import IdempotencyKeyInUse, IdempotencyKeyReused
from service.storage import keys
from service.storage.reaching import Absence

LONGEST_ANSWER_BYTES = 4096
"""Deflated.  A call with a longer one is made again, and finds what it has made by its ids."""

_NOW = """
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local record = KEYS[1]
"""

_CLAIM = (
    _NOW
    + """
local fingerprint, stem, holder, lease_s, ttl_s, of = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5], ARGV[6]
local calls_of, tenant, most = ARGV[7], ARGV[8], tonumber(ARGV[9])
local held = redis.call('HMGET', record, 'fingerprint', 'stem', 'holder', 'leased_until', 'answer')
if held[1] then
    if held[1] ~= fingerprint then return {'other'} end
    if held[5] then return {'answered', held[2], held[5]} end
    local left_s = tonumber(held[4]) - now
    -- A lease that ends later than one that began now was given before the clock was set back.
    if held[3] ~= holder and left_s > 0 and left_s <= lease_s then return {'in_use'} end
    stem = held[2]
end
redis.call('HSET', record, 'fingerprint', fingerprint, 'stem', stem, 'holder', holder, 'leased_until', now + lease_s,
    'tenant', tenant)
redis.call('EXPIRE', record, ttl_s)
redis.call('SADD', of .. stem, record)
redis.call('EXPIRE', of .. stem, ttl_s)
redis.call('ZADD', calls_of .. tenant, now, record)
redis.call('EXPIRE', calls_of .. tenant, ttl_s)
redis.call('SADD', KEYS[2], tenant)
redis.call('EXPIRE', KEYS[2], ttl_s)
local total, greediest, its = 0, tenant, 0
for _, each in ipairs(redis.call('SMEMBERS', KEYS[2])) do
    redis.call('ZREMRANGEBYSCORE', calls_of .. each, '-inf', now - tonumber(ttl_s))
    local count = redis.call('ZCARD', calls_of .. each)
    if count == 0 then redis.call('SREM', KEYS[2], each) end
    if count > its or count == its and each == tenant then greediest, its = each, count end
    total = total + count
end
if total > most then
    for _, old in ipairs(redis.call('ZRANGE', calls_of .. greediest, 0, total - most - 1)) do
        redis.call('DEL', old)
        redis.call('ZREM', calls_of .. greediest, old)
    end
end
return {'taken', stem}
"""
)

_RENEW = (
    _NOW
    + """
if redis.call('HGET', record, 'holder') ~= ARGV[1] then return 0 end
redis.call('HSET', record, 'leased_until', now + tonumber(ARGV[2]))
return 1
"""
)

_KEEP = """
if redis.call('HGET', KEYS[1], 'holder') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'answer', ARGV[2])
return 1
"""

_FORGOTTEN = """
local function forgotten(record, calls_of, callers)
    local tenant = redis.call('HGET', record, 'tenant')
    if not tenant then return end
    redis.call('ZREM', calls_of .. tenant, record)
    if redis.call('EXISTS', calls_of .. tenant) == 0 then redis.call('SREM', callers, tenant) end
end
"""

_LET_GO = (
    _FORGOTTEN
    + """
if redis.call('HGET', KEYS[1], 'holder') ~= ARGV[1] or redis.call('HEXISTS', KEYS[1], 'answer') == 1 then return 0 end
if ARGV[2] == '1' then
    redis.call('SREM', ARGV[3] .. redis.call('HGET', KEYS[1], 'stem'), KEYS[1])
    forgotten(KEYS[1], ARGV[4], KEYS[2])
    return redis.call('DEL', KEYS[1])
end
return redis.call('HSET', KEYS[1], 'leased_until', 0)
"""
)

_FORGET = (
    _FORGOTTEN
    + """
for _, record in ipairs(redis.call('SMEMBERS', KEYS[1])) do
    forgotten(record, ARGV[1], KEYS[2])
    redis.call('DEL', record)
end
return redis.call('DEL', KEYS[1])
"""
)


class RedisClaims:
    """`service.analyses.claims.Claims`; `ttl_s` says how long a key is kept (seconds), `most` how many."""

    def __init__(self, connection: Redis, *, ttl_s: int, most: int = keys.MOST_CALLS, absence_s: float = 0.0) -> None:
        self._connection = connection
        self._ttl_s, self._most = ttl_s, most
        self._reachable = Absence(absence_s).asked

    def claim(self, call: KeyedCall, stem: str) -> Claim:
        """The answer under the call's key, or the key itself.  Raises IdempotencyKeyReused, IdempotencyKeyInUse."""
        sent = (call.fingerprint, stem, call.holder, CALL_LEASE_S, self._ttl_s, keys.CALLS_OF_PREFIX)
        match cast(list[bytes], self._run(_CLAIM, call, *sent, keys.CALLS_PREFIX, call.tenant, self._most)):
            case [b"taken", taken]:
                return Claim(taken.decode(), None)
            case [b"answered", taken, answer]:
                return Claim(taken.decode(), Answer(**json.loads(zlib.decompress(answer))))
            case [b"in_use"]:
                raise IdempotencyKeyInUse(
                    "The first call with this Idempotency-Key is still being answered. Repeat this one after the time "
                    "in Retry-After."
                )
        raise IdempotencyKeyReused(
            "This Idempotency-Key belongs to a call that sent something else. Choose a new key for a new call; only "
            "a repetition, with the same body, has the key of the call before."
        )

    def renew(self, call: KeyedCall) -> None:
        """Begin the lease anew, if it is this attempt's still."""
        self._run(_RENEW, call, call.holder, CALL_LEASE_S)

    def keep(self, call: KeyedCall, answer: Answer) -> None:
        """Keep the answer, if the key is this attempt's still; of one that is too long, that there is one."""
        packed = _packed(answer)
        if len(packed) > LONGEST_ANSWER_BYTES:
            packed = _packed(replace(answer, body=None))
        self._run(_KEEP, call, call.holder, packed)

    def let_go(self, call: KeyedCall, *, forget: bool) -> None:
        """End the lease; with `forget` remove the key.  An answer that is kept stays."""
        self._run(_LET_GO, call, call.holder, int(forget), keys.CALLS_OF_PREFIX, keys.CALLS_PREFIX)

    def is_known(self, scope: str, key: str) -> bool:
        """Whether there is anything under a key."""
        with self._reachable():
            return bool(self._connection.exists(keys.call_key(_digest(scope, key))))

    def _run(self, script: str, call: KeyedCall, *args: str | bytes | int) -> Any:
        with self._reachable():
            places = keys.call_key(_digest(call.scope, call.key)), keys.CALLERS
            return self._connection.eval(script, len(places), *places, *args)


def forget_calls(connection: Redis, stem: str) -> None:
    """Remove the answers that name what has this stem in its id."""
    connection.eval(_FORGET, 2, keys.CALLS_OF_PREFIX + stem, keys.CALLERS, keys.CALLS_PREFIX)


def _packed(answer: Answer) -> bytes:
    said = {"status": answer.status, "headers": dict(answer.headers), "body": answer.body}
    return zlib.compress(json.dumps(said).encode())


def _digest(scope: str, key: str) -> str:
    return hashlib.sha256(f"{scope}\n{key}".encode()).hexdigest()
