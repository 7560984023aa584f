from __future__ import annotations

import asyncio
import os
import threading
import time
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from rq.job import Job
from rq.queue import Queue as RqQueue
from rq.registry import FailedJobRegistry, StartedJobRegistry
from rq.serializers import JSONSerializer

from service.analyses.analysis import Progress
from service.analyses.ports import LossReason, QueueState
from service.storage import keys, queue_scripts
from service.storage.announcements import Announcements
from service.storage.kernel_kills import UNKNOWN, KernelKills
from service.storage.measures import read_measures
from service.storage.queue_scripts import Ending
from service.storage.redis_queue import (
    RedisQueue,
    open_connection,
    publish_progress,
    timestamp,
)

from .conftest import Valkey


def new_id() -> str:
    return f"an-{uuid4().hex}"


@pytest.fixture
def queue(connection: Redis) -> RedisQueue:
    return RedisQueue(connection, time_limit_s=60)


def pop(connection: Redis) -> str:
    popped = connection.lmove(keys.QUEUE, keys.INTERMEDIATE)
    assert popped is not None
    return popped.decode()


def start_next(connection: Redis, execution: str) -> str:
    analysis_id = pop(connection)
    assert queue_scripts.start(connection, analysis_id, execution, timestamp(datetime.now(UTC)), "w")
    return analysis_id


def expire_leases(connection: Redis) -> None:
    for member in connection.zrange(keys.STARTED, 0, -1):
        connection.zadd(keys.STARTED, {member: 1})


def end_pauses(connection: Redis, queue: RedisQueue) -> None:
    for member in connection.zrange(keys.DELAYED, 0, -1):
        connection.zadd(keys.DELAYED, {member: 1})
    queue.requeue_lost()


def pauses_s(connection: Redis) -> list[float]:
    """How long those that wait after a lost attempt still have to, by the server's clock."""
    seconds, microseconds = connection.time()
    return [due - seconds - microseconds / 1e6 for _, due in connection.zrange(keys.DELAYED, 0, -1, withscores=True)]


def leases_s(connection: Redis) -> list[float]:
    """How long the leases still last, by the server's clock."""
    seconds, microseconds = connection.time()
    return [end - seconds - microseconds / 1e6 for _, end in connection.zrange(keys.STARTED, 0, -1, withscores=True)]


def set_clock(connection: Redis, seconds: float) -> None:
    """As if the server's clock had been set forwards by so many seconds; back if they are negative.

    The clock of a process is not to be set from outside: every time that is kept is moved the other way.
    """
    for key in (keys.STARTED, keys.DELAYED, keys.DEQUEUED):
        for member, score in connection.zrange(key, 0, -1, withscores=True):
            connection.zadd(key, {member: score - seconds})
    recovered = connection.get(keys.RECOVERED)
    if recovered is not None:
        connection.set(keys.RECOVERED, float(recovered) - seconds)
    for key in connection.smembers(keys.WORKERS):
        ttl_ms = connection.pttl(key)
        if ttl_ms > 0:
            connection.pexpire(key, max(1, int(ttl_ms - 1000 * seconds)))


def test_keys_are_those_of_rq(connection: Redis) -> None:
    theirs = RqQueue(keys.QUEUE_NAME, connection=connection)
    assert (theirs.key, theirs.intermediate_queue_key) == (keys.QUEUE, keys.INTERMEDIATE)
    assert StartedJobRegistry(queue=theirs).key == keys.STARTED
    assert FailedJobRegistry(queue=theirs).key == keys.FAILED
    assert keys.job_key("x") == Job.key_for("x")
    assert RqQueue.redis_queues_keys == keys.QUEUES


def test_an_entry_is_a_job_that_rq_can_read(connection: Redis, queue: RedisQueue) -> None:
    analysis_id = new_id()
    queue.enqueue(analysis_id)
    job = Job.fetch(analysis_id, connection=connection, serializer=JSONSerializer)
    assert (job.func_name, job.args, job.kwargs, job.timeout) == ("run_analysis", [analysis_id], {}, 60)
    assert (job.retries_left, job.failure_ttl, job.get_status()) == (2, -1, "queued")


def test_positions_and_unknown_ids(queue: RedisQueue) -> None:
    first, second = new_id(), new_id()
    queue.enqueue(first)
    queue.enqueue(second)
    positions = [entry.position for entry in (queue.find(first), queue.find(second)) if entry]
    assert positions == [0, 1]
    assert queue.find(new_id()) is None
    with pytest.raises(ValueError, match="not an analysis id"):
        queue.enqueue("an-../../etc/passwd")


def test_racing_enqueues_put_one_entry(valkey_url: str, connection: Redis) -> None:
    analysis_id = new_id()
    barrier = threading.Barrier(8)

    def race() -> None:
        own = open_connection(valkey_url)
        barrier.wait()
        for _ in range(20):
            RedisQueue(own, time_limit_s=60).enqueue(analysis_id)
        own.close()

    threads = [threading.Thread(target=race) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert connection.lrange(keys.QUEUE, 0, -1) == [analysis_id.encode()]


def test_enqueue_leaves_an_entry_alone_in_every_place(connection: Redis, queue: RedisQueue) -> None:
    analysis_id = new_id()
    queue.enqueue(analysis_id)
    pop(connection)
    queue.enqueue(analysis_id)  # between queue and start
    assert connection.llen(keys.QUEUE) == 0
    assert queue_scripts.start(connection, analysis_id, "e", timestamp(datetime.now(UTC)), "w")
    queue.enqueue(analysis_id)  # started
    assert connection.llen(keys.QUEUE) == 0
    assert queue_scripts.end(connection, analysis_id, "e", Ending.GIVE_UP, LossReason.TIME_LIMIT) == "exhausted"
    queue.enqueue(analysis_id)  # given up
    assert connection.llen(keys.QUEUE) == 0
    entry = queue.find(analysis_id)
    assert entry is not None
    assert (entry.state, entry.loss) == (QueueState.EXHAUSTED, LossReason.TIME_LIMIT)
    queue.forget(analysis_id)
    queue.enqueue(analysis_id)
    assert connection.llen(keys.QUEUE) == 1


def test_enqueue_mends_an_entry_that_is_in_no_place(connection: Redis, queue: RedisQueue) -> None:
    analysis_id = new_id()
    queue.enqueue(analysis_id)
    connection.delete(keys.QUEUE)
    assert queue.find(analysis_id) is None
    queue.enqueue(analysis_id)
    assert queue.find(analysis_id) is not None


def test_only_one_start_of_a_popped_analysis(connection: Redis, queue: RedisQueue) -> None:
    analysis_id = new_id()
    queue.enqueue(analysis_id)
    pop(connection)
    now = timestamp(datetime.now(UTC))
    assert queue_scripts.start(connection, analysis_id, "one", now, "w1")
    assert queue_scripts.start(connection, analysis_id, "one", now, "w1"), "the same start, sent again"
    assert not queue_scripts.start(connection, analysis_id, "two", now, "w2")


def test_progress_of_a_started_analysis_and_of_no_other(connection: Redis, queue: RedisQueue) -> None:
    analysis_id = new_id()
    queue.enqueue(analysis_id)
    publish_progress(connection, analysis_id, Progress("early", 0.1))
    start_next(connection, "e")
    before = datetime.now(UTC)
    publish_progress(connection, analysis_id, Progress("moments", 0.25))
    entry = queue.find(analysis_id)
    assert entry is not None
    assert (entry.state, entry.progress, entry.loss) == (QueueState.STARTED, Progress("moments", 0.25), None)
    assert entry.started_at is not None
    assert abs((before - entry.started_at).total_seconds()) < 5
    stranger = new_id()
    publish_progress(connection, stranger, Progress("moments", 0.25))
    assert not connection.exists(keys.job_key(stranger))


def test_progress_without_a_server_does_not_raise(tmp_path: os.PathLike[str]) -> None:
    nowhere = open_connection(f"unix://{tmp_path}/no.sock", timeout_s=0.5, retries=0)
    began = time.monotonic()
    publish_progress(nowhere, new_id(), Progress("moments", 0.5))
    assert time.monotonic() - began < 1
    with pytest.raises(RedisConnectionError):
        nowhere.ping()


def test_lost_attempts_are_repeated_twice_and_then_given_up(connection: Redis, queue: RedisQueue) -> None:
    analysis_id = new_id()
    queue.enqueue(analysis_id)
    for attempt in range(3):
        assert start_next(connection, f"e{attempt}") == analysis_id
        queue.requeue_lost()
        assert connection.llen(keys.QUEUE) == 0, "a live lease is left alone"
        expire_leases(connection)
        queue.requeue_lost()
        for pause_s, most_s in zip(pauses_s(connection), keys.BACKOFF_S[attempt:], strict=False):
            assert most_s - 0.5 < pause_s <= most_s
        assert len(pauses_s(connection)) == (attempt < 2)
        end_pauses(connection, queue)
    (entry,) = queue.exhausted()
    assert (entry.analysis_id, entry.loss) == (analysis_id, LossReason.WORKER_LOST)
    assert connection.llen(keys.QUEUE) == 0
    queue.forget(analysis_id)
    assert queue.exhausted() == []
    assert not list(connection.scan_iter(f"*{analysis_id}*"))


def test_a_worker_that_lost_its_lease_changes_nothing(connection: Redis, queue: RedisQueue) -> None:
    analysis_id = new_id()
    queue.enqueue(analysis_id)
    start_next(connection, "old")
    expire_leases(connection)
    queue.requeue_lost()
    end_pauses(connection, queue)
    start_next(connection, "new")
    assert not queue_scripts.renew(connection, analysis_id, "old")
    assert queue_scripts.end(connection, analysis_id, "old", Ending.DONE) == "lost"
    assert queue_scripts.renew(connection, analysis_id, "new")


def lose(connection: Redis, queue: RedisQueue, execution: str = "e") -> str:
    analysis_id = start_next(connection, execution)
    assert queue_scripts.end(connection, analysis_id, execution, Ending.LOST) == "waiting"
    return analysis_id


def test_an_analysis_that_waits_after_a_lost_attempt_is_waiting_for_everybody(
    connection: Redis, queue: RedisQueue
) -> None:
    analysis_id, behind = new_id(), new_id()
    queue.enqueue(analysis_id)
    queue.enqueue(behind)
    lose(connection, queue)
    entry = queue.find(analysis_id)
    assert entry is not None
    assert (entry.state, entry.position, entry.started_at) == (QueueState.WAITING, 0, None)
    assert read_measures(connection).waiting == 2
    assert read_measures(connection).oldest_made_at_s is not None
    queue.enqueue(analysis_id)
    queue.requeue_lost()
    assert connection.lrange(keys.QUEUE, 0, -1) == [behind.encode()], "not before it is due, however often it is asked"
    end_pauses(connection, queue)
    assert connection.lrange(keys.QUEUE, 0, -1) == [analysis_id.encode(), behind.encode()], "in front: it waited before"
    assert connection.zcard(keys.DELAYED) == 0
    lose(connection, queue)
    queue.forget(analysis_id)
    assert queue.find(analysis_id) is None
    assert not list(connection.scan_iter(f"*{analysis_id}*"))
    assert connection.zcard(keys.DELAYED) == 0


def test_those_that_are_due_together_come_back_in_the_order_in_which_they_are_due(
    connection: Redis, queue: RedisQueue
) -> None:
    ids = [new_id() for _ in range(3)]
    for analysis_id in ids:
        queue.enqueue(analysis_id)
    for number in range(3):
        lose(connection, queue, f"e{number}")
    for place, analysis_id in enumerate(ids):
        connection.zadd(keys.DELAYED, {analysis_id: 1 + place})
    queue.requeue_lost()
    assert connection.lrange(keys.QUEUE, 0, -1) == [analysis_id.encode() for analysis_id in ids]


def test_the_signal_that_ended_the_last_attempt_is_kept(connection: Redis, queue: RedisQueue) -> None:
    analysis_id = new_id()
    queue.enqueue(analysis_id)
    for attempt, signal in enumerate(("SIGKILL", "SIGBUS", "SIGSEGV")):
        start_next(connection, f"e{attempt}")
        queue_scripts.end(connection, analysis_id, f"e{attempt}", Ending.LOST, LossReason.WORKER_LOST, signal)
        end_pauses(connection, queue)
    (entry,) = queue.exhausted()
    assert (entry.loss, entry.signal) == (LossReason.WORKER_LOST, "SIGSEGV")
    connection.hset(keys.job_key(analysis_id), "signal", "<script>")
    (entry,) = queue.exhausted()
    assert entry.signal is None


@pytest.mark.parametrize(
    ("kills_now", "reason"),
    [
        (KernelKills("group", 5), LossReason.OUT_OF_MEMORY),
        (KernelKills("group", 4), LossReason.WORKER_LOST),
        (KernelKills("another group", 5), LossReason.WORKER_LOST),
        (UNKNOWN, LossReason.WORKER_LOST),
    ],
)
def test_an_attempt_that_died_with_its_worker_was_killed_for_memory_if_the_kernel_has_killed_meanwhile(
    connection: Redis, queue: RedisQueue, kills_now: KernelKills, reason: LossReason
) -> None:
    analysis_id = new_id()
    queue.enqueue(analysis_id)
    for attempt in range(3):
        pop(connection)
        now = timestamp(datetime.now(UTC))
        assert queue_scripts.start(connection, analysis_id, f"e{attempt}", now, "w", KernelKills("group", 4))
        expire_leases(connection)
        queue_scripts.recover(connection, kills_now)
        for member in connection.zrange(keys.DELAYED, 0, -1):
            connection.zadd(keys.DELAYED, {member: 1})
        queue_scripts.recover(connection, kills_now)
    (entry,) = queue.exhausted()
    assert entry.loss is reason


def test_a_clock_set_forwards_ends_no_lease_that_is_renewed_and_ends_the_others_soon(
    connection: Redis, queue: RedisQueue
) -> None:
    alive, dead = new_id(), new_id()
    for analysis_id in (alive, dead):
        queue.enqueue(analysis_id)
        start_next(connection, analysis_id)
    queue.requeue_lost()
    set_clock(connection, 3600)
    queue.requeue_lost()
    assert [entry.state for entry in queue.find_many([alive, dead]) if entry] == [QueueState.STARTED] * 2
    assert all(0 < left_s <= keys.SPARE_S for left_s in leases_s(connection))
    assert queue_scripts.renew(connection, alive, alive)
    set_clock(connection, keys.SPARE_S)
    queue.requeue_lost()
    assert [entry.state for entry in queue.find_many([alive, dead]) if entry] == [
        QueueState.STARTED,
        QueueState.WAITING,
    ]
    assert connection.hget(keys.job_key(alive), "retries_left") == b"2"
    set_clock(connection, 3600)
    queue.requeue_lost()
    entry = queue.find(alive)
    assert entry is not None
    assert entry.state is QueueState.STARTED, "a lease that was renewed is spared again"


def test_a_lease_is_spared_once_however_seldom_somebody_looks(connection: Redis, queue: RedisQueue) -> None:
    analysis_id = new_id()
    queue.enqueue(analysis_id)
    start_next(connection, "e")
    queue.requeue_lost()
    for state in (QueueState.STARTED, QueueState.WAITING):
        set_clock(connection, keys.LEASE_S + keys.LEAP_S)
        queue.requeue_lost()
        entry = queue.find(analysis_id)
        assert entry is not None
        assert entry.state is state


def test_a_clock_set_back_lets_no_lease_pause_handover_or_worker_last(connection: Redis, queue: RedisQueue) -> None:
    running, paused, popped = new_id(), new_id(), new_id()
    queue.enqueue(paused)
    lose(connection, queue)
    queue.enqueue(running)
    start_next(connection, "e")
    queue.enqueue(popped)
    pop(connection)
    connection.hset("rq:worker:w", "state", "busy")
    connection.expire("rq:worker:w", keys.WORKER_TTL_S)
    connection.sadd(keys.WORKERS, "rq:worker:w")
    queue.requeue_lost()
    set_clock(connection, -3600)
    queue.requeue_lost()
    assert [left_s <= keys.LEASE_S for left_s in leases_s(connection)] == [True]
    assert [left_s <= max(keys.BACKOFF_S) for left_s in pauses_s(connection)] == [True]
    assert connection.ttl("rq:worker:w") <= keys.WORKER_TTL_S
    for _ in range(4):  # in steps in which somebody comes to look: together longer than all of these may take
        set_clock(connection, keys.HEARTBEAT_INTERVAL_S)
        queue.requeue_lost()
    states = [entry.state for entry in queue.find_many([running, paused, popped]) if entry]
    assert states == [QueueState.WAITING] * 3
    assert {paused.encode(), popped.encode()} <= set(connection.lrange(keys.QUEUE, 0, -1))


def test_popped_but_never_started_comes_back(
    connection: Redis, queue: RedisQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    analysis_id = new_id()
    queue.enqueue(analysis_id)
    pop(connection)
    queue.requeue_lost()
    assert connection.llen(keys.QUEUE) == 0, "a worker gets time to start it"
    monkeypatch.setattr(keys, "HANDOVER_S", 0)
    queue.requeue_lost()
    entry = queue.find(analysis_id)
    assert entry is not None
    assert (entry.state, entry.position) == (QueueState.WAITING, 0)
    assert start_next(connection, "e") == analysis_id


def test_recovery_survives_garbage(connection: Redis, queue: RedisQueue) -> None:
    connection.zadd(keys.STARTED, {b"\xff\xfe": 1, "no-colon": 1, "a:b:c": 1, f"{new_id()}:e": 1})
    connection.rpush(keys.INTERMEDIATE, b"\xff\xfe", "x" * 1000)
    string_id = new_id()
    connection.set(keys.job_key(string_id), "not a hash")
    connection.zadd(keys.STARTED, {f"{string_id}:e": 1})
    connection.zadd(keys.FAILED, {b"\xff": 1, string_id: 1})
    connection.zadd(keys.DELAYED, {b"\xff": 1, string_id: 1, "no id": 1, new_id(): 1})
    connection.set(keys.RECOVERED, "garbage")
    connection.sadd(keys.WORKERS, b"\xff", "rq:worker:gone")
    queue.requeue_lost()
    assert connection.zcard(keys.STARTED) == connection.scard(keys.WORKERS) == queue.workers_alive() == 0
    assert connection.zcard(keys.DELAYED) == connection.llen(keys.QUEUE) == 0
    assert queue.exhausted() == []
    assert queue.find(string_id) is None


def test_what_is_announced_is_heard_by_whoever_listens(valkey_url: str, queue: RedisQueue) -> None:
    ids = {new_id(), new_id()}

    async def listen() -> frozenset[str]:
        announcements = Announcements(valkey_url)
        assert not await announcements.heard(0.01), "nothing was announced"
        for analysis_id in ids:
            queue.announce(analysis_id)
        heard: frozenset[str] = frozenset()
        while heard != ids:
            heard |= await announcements.heard(30)
        await announcements.close()
        return heard

    assert asyncio.run(asyncio.wait_for(listen(), 20)) == ids


def test_whoever_listens_hears_again_when_the_server_is_back(valkey: Valkey, queue: RedisQueue) -> None:
    analysis_id = new_id()

    async def listen() -> frozenset[str]:
        announcements = Announcements(valkey.url)
        await announcements.heard(0.01)
        queue._connection.client_kill_filter(_type="pubsub")
        heard: frozenset[str] = frozenset()
        while not heard:
            queue.announce(analysis_id)
            heard = await announcements.heard(0.05)
        await announcements.close()
        return heard

    assert asyncio.run(asyncio.wait_for(listen(), 20)) == {analysis_id}


def test_nothing_is_heard_of_a_server_that_is_away_and_nothing_is_raised(tmp_path: os.PathLike[str]) -> None:
    announcements = Announcements(f"unix://{tmp_path}/no.sock")
    assert asyncio.run(announcements.heard(0.01)) == frozenset()
