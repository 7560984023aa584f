"""Every change of an analysis's place in the queue, each one atomic.

A running attempt holds a lease: the member <id>:<execution> of the started set, with the end of the lease by the
server's own clock as its score (so that skewed clocks of workers do not matter).  Whoever ends an attempt must hold its
lease; a worker that has lost it changes nothing.  That, and starting only what is in the intermediate list, is why an
analysis cannot run twice at once.

An attempt that is lost is repeated after a pause, which the analysis spends in the delayed set.  The server's clock may
be set while all this goes on.  Set forwards, it ends leases whose holders live: `recover`, which comes every few
seconds, notes when it was here, and after a leap lets every lease that has run out last SPARE_S longer, once.  Set
back, it would make leases and pauses last: those that lie further ahead than they can are cut.

RQ makes these changes in several steps, on the loaded job: an interrupted step loses the job, and its clean-up of
abandoned jobs imports and calls their failure callbacks.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, cast

from redis import Redis

from service.analyses.ports import LossReason
from service.storage import keys
from service.storage.kernel_kills import UNKNOWN, KernelKills
from service.storage.queue_jobs import MAX_RETRIES

EXHAUSTED = "exhausted"  # what `end` returns when no attempt is left

_COMMON = (
    """
local QUEUE, INTERMEDIATE, STARTED, FAILED, DEQUEUED = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local DELAYED, RECOVERED = KEYS[6], KEYS[7]
local BACKOFF_S = {"""
    + ", ".join(str(pause) for pause in keys.BACKOFF_S)
    + """}
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local function job_key(id) return '"""
    + keys.JOB_PREFIX
    + """' .. id end
local function field(id, name)
    if redis.call('TYPE', job_key(id)).ok ~= 'hash' then return false end
    return redis.call('HGET', job_key(id), name)
end
local function leave_all_places(id)
    redis.call('LREM', QUEUE, 0, id)
    redis.call('LREM', INTERMEDIATE, 0, id)
    redis.call('ZREM', DELAYED, id)
    redis.call('ZREM', FAILED, id)
    redis.call('ZREM', DEQUEUED, id)
    local execution = field(id, 'execution')
    if execution then redis.call('ZREM', STARTED, id .. ':' .. execution) end
    redis.call('DEL', job_key(id))
end
local function wait_again(id)
    redis.call('HSET', job_key(id), 'status', 'queued')
    redis.call('HDEL', job_key(id), 'execution', 'worker_name', 'started_at', 'meta', 'spared', 'kernel_kills')
end
local function give_up(id, reason, signal)
    redis.call('HSET', job_key(id), 'status', 'failed', 'loss', reason, 'signal', signal)
    redis.call('ZADD', FAILED, -1, id)
end
local function lose_attempt(id, max_retries, reason, signal)
    local left = math.min(tonumber(field(id, 'retries_left') or 0) or 0, max_retries)
    if left < 1 then
        give_up(id, reason, signal)
        return 'exhausted'
    end
    left = math.floor(left)
    redis.call('HSET', job_key(id), 'retries_left', left - 1)
    wait_again(id)
    redis.call('ZADD', DELAYED, now + (BACKOFF_S[max_retries - left + 1] or BACKOFF_S[#BACKOFF_S]), id)
    return 'waiting'
end
"""
)

_ENQUEUE = """
local id = ARGV[1]
if redis.call('ZSCORE', FAILED, id) then return 0 end
local execution = field(id, 'execution')
if execution and redis.call('ZSCORE', STARTED, id .. ':' .. execution) then return 0 end
local is_waiting = redis.call('LPOS', QUEUE, id) or redis.call('LPOS', INTERMEDIATE, id)
    or redis.call('ZSCORE', DELAYED, id)
if field(id, 'status') and is_waiting then return 0 end
leave_all_places(id)
redis.call('HSET', job_key(id), unpack(ARGV, 3))
redis.call('RPUSH', QUEUE, id)
redis.call('SADD', ARGV[2], QUEUE)
return 1
"""

_START = """
local id, execution, lease_s, started_at, worker_name = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5]
local kernel_kills = ARGV[6]
if field(id, 'execution') == execution then return 1 end -- sent again after a lost answer
if redis.call('LREM', INTERMEDIATE, 1, id) == 0 or field(id, 'status') ~= 'queued' then return 0 end
redis.call('ZREM', DEQUEUED, id)
redis.call('ZREM', DELAYED, id)
redis.call('HSET', job_key(id), 'status', 'started', 'started_at', started_at, 'worker_name', worker_name,
    'execution', execution, 'kernel_kills', kernel_kills)
redis.call('ZADD', STARTED, now + lease_s, id .. ':' .. execution)
return 1
"""

_RENEW = """
local member = ARGV[1] .. ':' .. ARGV[2]
if not redis.call('ZSCORE', STARTED, member) then return 0 end
redis.call('ZADD', STARTED, now + tonumber(ARGV[3]), member)
if field(ARGV[1], 'spared') then redis.call('HDEL', job_key(ARGV[1]), 'spared') end
return 1
"""

_END = """
local id, execution, ending, max_retries, reason = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]
local signal = ARGV[6]
if redis.call('ZREM', STARTED, id .. ':' .. execution) == 0 then return 'lost' end
if field(id, 'execution') ~= execution then return 'lost' end
if ending == 'done' then
    leave_all_places(id)
    return 'gone'
elseif ending == 'hand_back' then
    wait_again(id)
    redis.call('LPUSH', QUEUE, id)
    return 'waiting'
elseif ending == 'give_up' then
    give_up(id, reason, signal)
    return 'exhausted'
end
return lose_attempt(id, max_retries, reason, signal)
"""

_RECOVER = """
local max_retries, reason, handover_s = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])
local lease_s, leap_s, spare_s = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local worker_ttl_ms = 1000 * tonumber(ARGV[7])
local kills_here, killed_reason = ARGV[8], ARGV[9]
local was_here_at = tonumber(redis.call('GET', RECOVERED) or nil)
local has_leapt = was_here_at and now - was_here_at > leap_s
redis.call('SET', RECOVERED, string.format('%.6f', now))
for place = 10, #ARGV do
    for _, worker in ipairs(redis.call('SMEMBERS', ARGV[place])) do
        local ttl_ms = redis.call('PTTL', worker)
        if ttl_ms == -2 then
            redis.call('SREM', ARGV[place], worker)
        elseif ttl_ms > worker_ttl_ms then
            redis.call('PEXPIRE', worker, worker_ttl_ms)
        end
    end
end
local function is_id(id) return #id == 35 and string.match(id, '^an%-%x+$') end
local function cut(set, furthest)
    for _, member in ipairs(redis.call('ZRANGEBYSCORE', set, '(' .. string.format('%.6f', furthest), '+inf')) do
        redis.call('ZADD', set, furthest, member)
    end
end
cut(STARTED, now + lease_s)
cut(DELAYED, now + math.max(unpack(BACKOFF_S)))
local function kernel_killed(id) -- somebody of the same memory group, since the attempt began
    local group, kills = string.match(field(id, 'kernel_kills') or '', '^(%S+) (%d+)$')
    local group_here, count_here = string.match(kills_here, '^(%S+) (%d+)$')
    return group and group == group_here and tonumber(kills) < tonumber(count_here)
end
for _, member in ipairs(redis.call('ZRANGEBYSCORE', STARTED, '-inf', now, 'LIMIT', 0, 1000)) do
    local id, execution = string.match(member, '^([^:]+):([^:]+)$')
    local is_held = id and is_id(id) and field(id, 'status') == 'started' and field(id, 'execution') == execution
    if is_held and has_leapt and field(id, 'spared') ~= execution then
        redis.call('HSET', job_key(id), 'spared', execution)
        redis.call('ZADD', STARTED, now + spare_s, member)
    else
        redis.call('ZREM', STARTED, member)
        if is_held then lose_attempt(id, max_retries, kernel_killed(id) and killed_reason or reason, '') end
    end
end
local due = redis.call('ZRANGEBYSCORE', DELAYED, '-inf', now, 'LIMIT', 0, 1000)
for place = #due, 1, -1 do -- to the head of the queue, for they have waited for their turn before; the first one last
    local id = due[place]
    redis.call('ZREM', DELAYED, id)
    if is_id(id) and field(id, 'status') == 'queued' then redis.call('LPUSH', QUEUE, id) end
end
for _, id in ipairs(redis.call('LRANGE', INTERMEDIATE, 0, 999)) do
    local seen_at = redis.call('ZSCORE', DEQUEUED, id)
    if not seen_at or tonumber(seen_at) > now then
        redis.call('ZADD', DEQUEUED, now, id)
    elseif now - tonumber(seen_at) > handover_s then
        redis.call('ZREM', DEQUEUED, id)
        redis.call('LREM', INTERMEDIATE, 0, id)
        if is_id(id) and field(id, 'status') == 'queued' then redis.call('LPUSH', QUEUE, id) end
    end
end
for _, id in ipairs(redis.call('ZRANGE', DEQUEUED, 0, 999)) do
    if not redis.call('LPOS', INTERMEDIATE, id) then redis.call('ZREM', DEQUEUED, id) end
end
"""

_FORGET = """
local worker_name = field(ARGV[1], 'status') == 'started' and field(ARGV[1], 'worker_name')
leave_all_places(ARGV[1])
return worker_name
"""

_REFUSE = """
local id = ARGV[1]
leave_all_places(id)
if #ARGV > 2 then
    redis.call('HSET', job_key(id), unpack(ARGV, 3))
    give_up(id, ARGV[2], '')
end
"""

_PUBLISH_PROGRESS = """
if field(ARGV[1], 'status') == 'started' then redis.call('HSET', job_key(ARGV[1]), 'meta', ARGV[2]) end
"""


class Ending(StrEnum):
    """How an attempt ended, as its worker saw it."""

    DONE = "done"  # the outcome is on the store
    HAND_BACK = "hand_back"  # the worker stops: the attempt does not count
    LOST = "lost_attempt"  # the child died: another attempt after a pause, if one is left
    GIVE_UP = "give_up"  # no further attempt


def enqueue(connection: Redis, analysis_id: str, fields: Mapping[str, str | bytes | int]) -> bool:
    """Put an analysis at the end of the queue, unless the queue has it in any place; True if it was put there."""
    flat = [part for item in fields.items() for part in item]
    return bool(_run(connection, _ENQUEUE, analysis_id, keys.QUEUES, *flat))


def start(
    connection: Redis, analysis_id: str, execution: str, started_at: str, worker_name: str, kills: KernelKills = UNKNOWN
) -> bool:
    """Take the lease of a popped analysis; False if it is not this worker's to start."""
    arguments = (analysis_id, execution, keys.LEASE_S, started_at, worker_name, str(kills))
    return bool(_run(connection, _START, *arguments))


def renew(connection: Redis, analysis_id: str, execution: str) -> bool:
    """Renew the lease of a running attempt; False if it is lost."""
    return bool(_run(connection, _RENEW, analysis_id, execution, keys.LEASE_S))


def holds(connection: Redis, analysis_id: str, execution: str) -> bool:
    """Whether the lease of a running attempt is there still; writes nothing."""
    return connection.zscore(keys.STARTED, f"{analysis_id}:{execution}") is not None


def end(
    connection: Redis,
    analysis_id: str,
    execution: str,
    ending: Ending,
    reason: LossReason = LossReason.WORKER_LOST,
    signal: str = "",
) -> str:
    """End an attempt; returns where the analysis is now: gone, waiting, exhausted, or lost (nothing was changed).

    `signal` is the name of the signal that killed its process, if one did.
    """
    place = _run(connection, _END, analysis_id, execution, ending.value, MAX_RETRIES, reason.value, signal)
    return cast(bytes, place).decode()


def recover(connection: Redis, kills: KernelKills = UNKNOWN) -> None:
    """Put back what is due: attempts whose lease has run out, pauses that are over, what a worker popped and never
    started; strike off the workers that no longer send heartbeats.

    `kills` is what the kernel has killed in this memory group: an attempt of the same group that was lost together
    with its worker, while the number rose, was killed for lack of memory.
    """
    numbers = (keys.HANDOVER_S, keys.LEASE_S, keys.LEAP_S, keys.SPARE_S, keys.WORKER_TTL_S)
    reasons = (str(kills), LossReason.OUT_OF_MEMORY.value)
    places = (keys.WORKERS, keys.ALL_WORKERS)
    _run(connection, _RECOVER, MAX_RETRIES, LossReason.WORKER_LOST.value, *numbers, *reasons, *places)


def forget(connection: Redis, analysis_id: str) -> str | None:
    """Remove every trace of an analysis; a worker that runs it loses the lease and stops.  Returns its name."""
    worker_name = cast(bytes | None, _run(connection, _FORGET, analysis_id))
    return worker_name.decode("utf-8", "replace") if worker_name else None


def refuse(connection: Redis, job_id: bytes, fields: Mapping[str, str | bytes | int] | None) -> None:
    """Remove a job from the queue; with `fields`, leave a clean entry that says it was refused."""
    flat = [part for item in (fields or {}).items() for part in item]
    _run(connection, _REFUSE, job_id, LossReason.REFUSED.value, *flat)


def store_progress(connection: Redis, analysis_id: str, meta: str) -> None:
    """Store the progress of an analysis that is running, and of no other."""
    _run(connection, _PUBLISH_PROGRESS, analysis_id, meta)


def _run(connection: Redis, script: str, *args: str | bytes | int) -> Any:
    places = (keys.QUEUE, keys.INTERMEDIATE, keys.STARTED, keys.FAILED, keys.DEQUEUED, keys.DELAYED, keys.RECOVERED)
    # EVAL, not EVALSHA: one round trip, and nothing to load again after the server has restarted.
    return connection.eval(_COMMON + script, len(places), *places, *args)
