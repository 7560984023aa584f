from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
from redis import Redis
from rq.command import send_command
from rq.exceptions import DequeueTimeout
from rq.queue import Queue as RqQueue
from rq.serializers import JSONSerializer
from structlog.testing import capture_logs

from service.analyses.ports import LossReason, QueueState
from service.analyses.submission import submit_upload
from service.analyses.tenancy import DEFAULT_TENANT
from service.estimation.options import Options
from service.storage import keys
from service.storage.redis_queue import RedisQueue
from service.worker.analysis_queue import AnalysisQueue
from tests.places import DiskPlace
from tests.unit.storage.samples import npy

from .conftest import Valkey
from .waiting import is_alive, lines, wait_until

ROOT = Path(__file__).parents[2]
StartWorker = Callable[..., subprocess.Popen[bytes]]


def new_id() -> str:
    return f"an-{uuid4().hex}"


@pytest.fixture
def queue(connection: Redis) -> RedisQueue:
    return RedisQueue(connection, time_limit_s=60)


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "journal"


@pytest.fixture
def start_worker(valkey_url: str, journal: Path) -> Iterator[StartWorker]:
    started: list[subprocess.Popen[bytes]] = []

    def start(behaviour: str, time_limit_s: int = 60) -> subprocess.Popen[bytes]:
        environment = os.environ | {
            "PHASEGATE_REDIS_URL": valkey_url,
            "PHASEGATE_ANALYSIS_TIME_LIMIT_S": str(time_limit_s),
            "OPENBLAS_NUM_THREADS": "1",
        }
        command = [sys.executable, "-m", "tests.integration.worker_stand_in", behaviour, str(journal)]
        worker = subprocess.Popen(command, env=environment, cwd=ROOT, start_new_session=True)
        started.append(worker)
        return worker

    yield start
    for worker in started:
        if worker.poll() is None:
            worker.kill()
        worker.wait()


def child_pids(journal: Path) -> list[int]:
    return [int(line.split()[1]) for line in lines(journal)]


def wait_for_child(journal: Path, number: int = 1, timeout_s: float = 15) -> int:
    return wait_until(lambda: child_pids(journal)[number - 1 : number], timeout_s)[0]


def signal_of(queue: RedisQueue, analysis_id: str) -> str | None:
    entry = queue.find(analysis_id)
    return entry.signal if entry else None


def wait_for_loss(queue: RedisQueue, analysis_id: str, timeout_s: float = 20) -> LossReason | None:
    def lost() -> LossReason | None:
        entry = queue.find(analysis_id)
        return entry.loss if entry else None

    return wait_until(lost, timeout_s)


def test_an_analysis_runs_once_and_leaves_no_trace(
    start_worker: StartWorker, queue: RedisQueue, connection: Redis, journal: Path
) -> None:
    start_worker("return")
    wait_until(lambda: queue.workers_alive() == 1, 15)
    ids = [new_id() for _ in range(3)]
    for analysis_id in ids:
        queue.enqueue(analysis_id)
        queue.enqueue(analysis_id)
    wait_until(lambda: len(lines(journal)) == 3 and not list(connection.scan_iter("rq:job:*")), 10)
    assert [line.split()[0] for line in lines(journal)] == ids
    assert len(set(child_pids(journal))) == 3, "a child for each"
    assert connection.zcard(keys.STARTED) == connection.llen(keys.INTERMEDIATE) == 0


def test_two_workers_never_share_an_analysis(
    start_worker: StartWorker, queue: RedisQueue, connection: Redis, journal: Path
) -> None:
    start_worker("return")
    start_worker("return")
    ids = [new_id() for _ in range(30)]
    for analysis_id in ids:
        queue.enqueue(analysis_id)
        connection.rpush(keys.QUEUE, analysis_id)  # as if pushed twice
    wait_until(lambda: not list(connection.scan_iter("rq:job:*")), 20)
    assert sorted(line.split()[0] for line in lines(journal)) == sorted(ids)


def hostile_hashes(marker: Path) -> dict[str, dict[str, bytes | str]]:
    """Hashes that make a plain RQ worker create the marker or crash; {id} stands for the job's own id."""
    touch = f"touch {marker}"

    def call(*parts: object) -> bytes:
        return zlib.compress(json.dumps(parts).encode())

    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.system, (touch,)

    good = call("run_analysis", None, ["{id}"], {})
    return {
        "os.system": {"data": call("os.system", None, [touch], {})},
        "another function": {"data": call("os.system", None, ["{id}"], {})},
        "eval": {"data": call("eval", None, [f"__import__('os').system({touch!r})"], {})},
        "pickle": {"data": zlib.compress(pickle.dumps(Bomb()))},
        "raw pickle": {"data": pickle.dumps(Bomb())},
        "pickled meta": {"data": good, "meta": pickle.dumps(Bomb()), "group_id": "g"},
        "instance": {"data": call("run_analysis", "instance", ["{id}"], {})},
        "kwargs": {"data": call("run_analysis", None, ["{id}"], {"x": 1})},
        "no args": {"data": call("run_analysis", None, [], {})},
        "path as id": {"data": call("run_analysis", None, ["../../etc/passwd"], {})},
        "other id": {"data": call("run_analysis", None, [new_id()], {})},
        "list as id": {"data": call("run_analysis", None, [["{id}"]], {})},
        "func is no name": {"data": call({"a": 1}, None, ["{id}"], {})},
        "success callback": {"data": good, "success_callback_name": "os.abort"},
        "failure callback": {"data": good, "failure_callback_name": "os.abort"},
        "stopped callback": {"data": good, "stopped_callback_name": "os.abort"},
        "webhooks": {"data": good, "webhooks": '[{"url": "http://127.0.0.1:9/", "job_status": "finished"}]'},
        "dependency": {"data": good, "dependency_ids": '["x"]', "dependency_id": "x"},
        "repeat": {"data": good, "repeats_left": "3", "repeat_intervals": "[1]"},
        "rate limit": {"data": good, "rate_limit_key": "k", "rate_limit_concurrency": "1"},
        "garbage": {"data": b"\x00\xff garbage"},
        "no data": {"origin": "x"},
        "zip bomb": {"data": zlib.compress(b"[" * 3_000_000)},
        "deep nesting": {"data": zlib.compress(b"[" * 4000)},
        "unreadable dates": {"data": good, "created_at": "yesterday", "surprise": "x"},
    }


def fill_in(data: bytes | str, analysis_id: str) -> bytes | str:
    try:
        return zlib.compress(zlib.decompress(data).replace(b"{id}", analysis_id.encode()))  # type: ignore[arg-type]
    except (zlib.error, TypeError):
        return data


def test_hostile_jobs_run_nothing_and_the_worker_lives_on(
    start_worker: StartWorker, queue: RedisQueue, connection: Redis, journal: Path, tmp_path: Path
) -> None:
    marker = tmp_path / "marker"
    ids = {}
    for name, fields in hostile_hashes(marker).items():
        ids[name] = new_id()
        filled = {key: fill_in(value, ids[name]) for key, value in fields.items()}
        connection.hset(keys.job_key(ids[name]), mapping={"status": "queued", **filled})
        connection.rpush(keys.QUEUE, ids[name])
    string_id, no_status_id = new_id(), new_id()
    connection.set(keys.job_key(string_id), "not a hash")
    connection.hset(keys.job_key(no_status_id), "data", "x")
    connection.rpush(keys.QUEUE, string_id, no_status_id, b"\xff\xfe", "", "an-1", "x" * 5000, new_id())
    stock = RqQueue(keys.QUEUE_NAME, connection=connection, serializer=JSONSerializer)
    stock.enqueue("os.system", f"touch {marker}")
    RqQueue(keys.QUEUE_NAME, connection=connection).enqueue("os.system", f"touch {marker}")
    good_id = new_id()
    queue.enqueue(good_id)

    worker = start_worker("return")
    wait_until(lambda: lines(journal), 20)
    assert [line.split()[0] for line in lines(journal)] == [good_id]
    assert not marker.exists()
    assert worker.poll() is None
    refused = {entry.analysis_id: entry.loss for entry in queue.exhausted()}
    assert refused == dict.fromkeys([*ids.values(), string_id, no_status_id], LossReason.REFUSED)
    assert connection.llen(keys.INTERMEDIATE) == 0
    assert len(list(connection.scan_iter("rq:job:*"))) <= len(refused) + 1, "jobs without an analysis id are deleted"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("another function", "unknown function"),
        ("os.system", "wrong arguments"),
        ("pickle", "unreadable data"),
        ("raw pickle", "unreadable data"),
        ("success callback", "unexpected field 'success_callback_name'"),
        ("pickled meta", "unexpected field 'group_id'"),
    ],
)
def test_another_function_or_another_serializer_is_refused_and_logged_with_the_reason(
    queue: RedisQueue, connection: Redis, tmp_path: Path, name: str, reason: str
) -> None:
    marker, job_id = tmp_path / "marker", new_id()
    fields = {key: fill_in(value, job_id) for key, value in hostile_hashes(marker)[name].items()}
    connection.hset(keys.job_key(job_id), mapping={"status": "queued", **fields})
    connection.rpush(keys.QUEUE, job_id)
    bound = type("Bound", (AnalysisQueue,), {"functions": {"run_analysis": None}, "time_limit_s": 60})
    taken = bound(keys.QUEUE_NAME, connection=connection, serializer=JSONSerializer)
    with capture_logs() as logged, pytest.raises(DequeueTimeout):
        bound.dequeue_any([taken], 1, connection=connection)
    assert logged == [{"event": "job_refused", "job_id": job_id, "reason": reason, "log_level": "warning"}]
    assert [(entry.analysis_id, entry.loss) for entry in queue.exhausted()] == [(job_id, LossReason.REFUSED)]
    assert not marker.exists()


def test_callbacks_of_abandoned_jobs_are_not_called(
    start_worker: StartWorker, queue: RedisQueue, connection: Redis, journal: Path, tmp_path: Path
) -> None:
    module = tmp_path / "phasegate_hostile.py"
    marker = tmp_path / "marker"
    module.write_text(f"open({str(marker)!r}, 'w')\ndef callback(*a): pass\n")
    sys.path.insert(0, str(tmp_path))
    os.environ["PYTHONPATH"] = str(tmp_path)
    try:
        hostile_id, execution = new_id(), uuid4().hex
        queue.enqueue(hostile_id)
        connection.delete(keys.QUEUE)
        fields = {"status": "started", "execution": execution, "failure_callback_name": "phasegate_hostile.callback"}
        connection.hset(keys.job_key(hostile_id), mapping=fields)
        connection.zadd(keys.STARTED, {f"{hostile_id}:{execution}": 1})
        queue.requeue_lost()
        assert connection.zrange(keys.DELAYED, 0, -1) == [hostile_id.encode()]
        second_id = new_id()
        connection.hset(keys.job_key(second_id), mapping=fields | {"data": b"x", "origin": keys.QUEUE_NAME})
        connection.zadd(keys.STARTED, {f"{second_id}:{execution}": 1})
        worker = start_worker("return")
        assert wait_for_loss(queue, hostile_id) is LossReason.REFUSED
        wait_until(lambda: queue.find(second_id) and queue.find(second_id).state is QueueState.EXHAUSTED, 10)  # type: ignore[union-attr]
        assert worker.poll() is None
    finally:
        sys.path.remove(str(tmp_path))
        del os.environ["PYTHONPATH"]
    assert not marker.exists()
    assert "phasegate_hostile" not in sys.modules
    assert lines(journal) == []


def test_a_killed_child_is_repeated_twice_and_then_given_up(
    start_worker: StartWorker, queue: RedisQueue, journal: Path
) -> None:
    worker = start_worker("sleep")
    analysis_id = new_id()
    queue.enqueue(analysis_id)
    for attempt in range(1, 4):
        os.kill(wait_for_child(journal, attempt), signal.SIGKILL)
    assert wait_for_loss(queue, analysis_id) is LossReason.WORKER_LOST
    assert signal_of(queue, analysis_id) == "SIGKILL"
    assert len(lines(journal)) == 3
    assert worker.poll() is None


def test_a_child_that_crashes_in_native_code_is_told_by_its_signal(
    start_worker: StartWorker, queue: RedisQueue, journal: Path
) -> None:
    worker = start_worker("segfault")
    analysis_id = new_id()
    queue.enqueue(analysis_id)
    assert wait_for_loss(queue, analysis_id) is LossReason.WORKER_LOST
    assert signal_of(queue, analysis_id) == "SIGSEGV"
    assert len(lines(journal)) == 3
    assert worker.poll() is None


def test_a_child_that_aborts_under_a_limit_of_memory_ran_out_of_it(
    start_worker: StartWorker, queue: RedisQueue, journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PHASEGATE_ANALYSIS_MEMORY_LIMIT_BYTES", str(2**30))
    start_worker("abort")
    analysis_id = new_id()
    queue.enqueue(analysis_id)
    assert wait_for_loss(queue, analysis_id) is LossReason.OUT_OF_MEMORY
    assert len(lines(journal)) == 3


@pytest.fixture
def memory_group() -> Iterator[Path]:
    """A memory group of 300 MB of this test's own, which takes the rights to make one."""
    groups = Path("/sys/fs/cgroup")
    is_version_1 = (groups / "memory").is_dir()
    group = (groups / "memory" if is_version_1 else groups) / f"phasegate-test-{uuid4().hex}"
    limit = group / ("memory.limit_in_bytes" if is_version_1 else "memory.max")
    try:
        group.mkdir()
        limit.write_text(str(300 * 2**20))
    except OSError as error:
        if group.exists():
            group.rmdir()
        pytest.skip(f"no memory group can be made here: {error}")
    yield group
    wait_until(lambda: not (group / "cgroup.procs").read_text(), 5)
    group.rmdir()


def test_a_child_that_the_kernel_kills_for_lack_of_memory_is_told_apart(
    start_worker: StartWorker, queue: RedisQueue, journal: Path, memory_group: Path
) -> None:
    worker = start_worker("devour")
    (memory_group / "cgroup.procs").write_text(str(worker.pid))
    analysis_id = new_id()
    queue.enqueue(analysis_id)
    assert wait_for_loss(queue, analysis_id) is LossReason.OUT_OF_MEMORY
    assert len(lines(journal)) == 3
    assert worker.poll() is None
    worker.kill()


def test_a_server_that_was_away_costs_no_attempt(
    start_worker: StartWorker, valkey: Valkey, queue: RedisQueue, connection: Redis, journal: Path
) -> None:
    """Stopped for longer than the lease: the worker ends what it can no longer be sure of, and hands it back."""
    start_worker("sleep_first")
    analysis_id = new_id()
    queue.enqueue(analysis_id)
    child = wait_for_child(journal)
    queue.requeue_lost()
    os.kill(valkey.process.pid, signal.SIGSTOP)
    try:
        wait_until(lambda: not is_alive(child), keys.LEASE_S + 1)
    finally:
        os.kill(valkey.process.pid, signal.SIGCONT)
    wait_until(lambda: queue.requeue_lost() or len(child_pids(journal)) == 2, 15)
    wait_until(lambda: queue.find(analysis_id) is None, 5)


def test_a_worker_is_known_again_to_a_server_that_has_lost_its_data(
    start_worker: StartWorker, queue: RedisQueue, connection: Redis, journal: Path
) -> None:
    start_worker("return")
    wait_until(lambda: queue.workers_alive() == 1, 15)
    connection.flushall()
    wait_until(lambda: queue.workers_alive() == 1, 5)
    analysis_id = new_id()
    queue.enqueue(analysis_id)
    wait_for_child(journal)


def test_an_escaped_exception_counts_as_a_dead_child(
    start_worker: StartWorker, queue: RedisQueue, journal: Path
) -> None:
    start_worker("raise")
    analysis_id = new_id()
    queue.enqueue(analysis_id)
    assert wait_for_loss(queue, analysis_id) is LossReason.WORKER_LOST
    assert len(lines(journal)) == 3


def test_an_analysis_whose_worker_is_killed_runs_again_and_never_twice_at_once(
    start_worker: StartWorker, queue: RedisQueue, connection: Redis, journal: Path
) -> None:
    first = start_worker("sleep_first")
    analysis_id = new_id()
    queue.enqueue(analysis_id)
    child = wait_for_child(journal)
    start_worker("sleep_first")
    wait_until(lambda: queue.workers_alive() == 2, 15)
    first.kill()  # the worker alone: its child must die with it
    killed = time.monotonic()
    wait_until(lambda: not is_alive(child), 1)
    wait_for_child(journal, 2, timeout_s=15)
    sys.stderr.write(f"\nran again after {time.monotonic() - killed:.1f} s\n")
    wait_until(lambda: queue.find(analysis_id) is None, 5)
    assert len(lines(journal)) == 2
    ttls = [connection.ttl(key) for key in connection.smembers(keys.WORKERS)]
    assert max(ttls) <= keys.WORKER_TTL_S, "the dead worker counts as alive no longer than that"


def test_recovery_needs_no_worker(start_worker: StartWorker, queue: RedisQueue, journal: Path) -> None:
    worker = start_worker("sleep")
    analysis_id = new_id()
    queue.enqueue(analysis_id)
    wait_for_child(journal)
    worker.kill()

    def waits_again() -> bool:
        queue.requeue_lost()
        entry = queue.find(analysis_id)
        return entry is not None and entry.state is QueueState.WAITING

    wait_until(waits_again, keys.LEASE_S + 1)


def test_the_time_limit_holds_inside_one_long_c_call(
    start_worker: StartWorker, queue: RedisQueue, journal: Path
) -> None:
    worker = start_worker("svd", time_limit_s=2)
    analysis_id = new_id()
    queue.enqueue(analysis_id)
    child = wait_for_child(journal)
    began = time.monotonic()
    assert wait_for_loss(queue, analysis_id) is LossReason.TIME_LIMIT
    took_s = time.monotonic() - began
    sys.stderr.write(f"\nlimit of 2 s held after {took_s:.2f} s\n")
    assert took_s < 2 + 2
    assert not is_alive(child)
    assert len(lines(journal)) == 1, "no second attempt"
    assert worker.poll() is None


def test_the_child_stops_itself_when_its_worker_hangs(
    start_worker: StartWorker, queue: RedisQueue, journal: Path
) -> None:
    worker = start_worker("svd", time_limit_s=1)
    analysis_id = new_id()
    queue.enqueue(analysis_id)
    child = wait_for_child(journal)
    began = time.monotonic()
    worker.send_signal(signal.SIGSTOP)
    wait_until(lambda: not is_alive(child), 1 + 3)
    assert time.monotonic() - began > 1, "not before the limit"
    worker.send_signal(signal.SIGCONT)
    assert wait_for_loss(queue, analysis_id) is LossReason.TIME_LIMIT


def test_sigterm_hands_a_running_analysis_back(
    start_worker: StartWorker, queue: RedisQueue, connection: Redis, journal: Path
) -> None:
    worker = start_worker("sleep")
    analysis_id, behind = new_id(), new_id()
    queue.enqueue(analysis_id)
    queue.enqueue(behind)
    child = wait_for_child(journal)
    began = time.monotonic()
    worker.terminate()
    assert worker.wait(timeout=7) == 0
    sys.stderr.write(f"\nbusy worker stopped after {time.monotonic() - began:.1f} s\n")
    assert not is_alive(child)
    entry = queue.find(analysis_id)
    assert entry is not None
    assert (entry.state, entry.position) == (QueueState.WAITING, 0), "in front again"
    retries_left = connection.hget(keys.job_key(analysis_id), "retries_left")
    assert retries_left == b"2", "a stop costs no attempt"
    assert queue.workers_alive() == 0


def test_an_idle_worker_stops_at_once(start_worker: StartWorker, queue: RedisQueue) -> None:
    worker = start_worker("return")
    wait_until(lambda: queue.workers_alive() == 1, 15)
    worker.send_signal(signal.SIGINT)
    assert worker.wait(timeout=2) == 0


def test_forgetting_a_running_analysis_stops_it(start_worker: StartWorker, queue: RedisQueue, journal: Path) -> None:
    worker = start_worker("sleep")
    analysis_id = new_id()
    queue.enqueue(analysis_id)
    child = wait_for_child(journal)
    queue.forget(analysis_id)
    wait_until(lambda: not is_alive(child), keys.HEARTBEAT_INTERVAL_S + 2)
    assert queue.find(analysis_id) is None
    assert worker.poll() is None


def test_the_stop_command_works_and_garbage_commands_do_not_end_it(
    start_worker: StartWorker, queue: RedisQueue, connection: Redis, journal: Path
) -> None:
    worker = start_worker("sleep")
    analysis_id = new_id()
    queue.enqueue(analysis_id)
    child = wait_for_child(journal)
    name = (connection.hget(keys.job_key(analysis_id), "worker_name") or b"").decode()
    for garbage in (b"\xff", b"[]", b'{"command": 1}', b"null", b"[" * 100_000):
        connection.publish(f"rq:pubsub:{name}", garbage)
    send_command(connection, name, "stop-job", job_id=analysis_id)
    wait_until(lambda: not is_alive(child), 2)
    wait_until(lambda: [entry.loss for entry in queue.exhausted()] == [LossReason.STOPPED], 3)
    assert worker.poll() is None
    assert child_pids(journal) == [child]  # it does not run again


def test_a_store_that_is_away_costs_no_attempt(
    start_worker: StartWorker, queue: RedisQueue, connection: Redis, journal: Path
) -> None:
    analysis_id = new_id()
    queue.enqueue(analysis_id)
    before = connection.hget(keys.job_key(analysis_id), "retries_left")
    start_worker("store_away_twice")
    wait_until(lambda: len(child_pids(journal)) == 2, 20)
    assert connection.hget(keys.job_key(analysis_id), "retries_left") == before
    wait_until(lambda: queue.find(analysis_id) is None, 20)
    assert len(child_pids(journal)) == 3


def test_a_worker_tells_the_time_limit_without_an_api(valkey_url: str, queue: RedisQueue, tmp_path: Path) -> None:
    stores = DiskPlace(tmp_path / "data", max_label_bytes=1_000_000).open()
    store = stores.of(DEFAULT_TENANT)
    rng = np.random.default_rng(0)
    sent = {"x": (20_000, 300), "y": (20_000, 200), "labels": (20_000, 2)}
    parts = {part: npy(rng.standard_normal(shape)) for part, shape in sent.items()}
    analysis = submit_upload(store, queue, parts, Options(), None, retention=timedelta(days=1))
    settings = {
        "PHASEGATE_REDIS_URL": valkey_url,
        "PHASEGATE_ANALYSIS_TIME_LIMIT_S": "1",
        "PHASEGATE_DATA_DIR": str(tmp_path / "data"),
        "OPENBLAS_NUM_THREADS": "1",
    }
    worker = subprocess.Popen([sys.executable, "-m", "service.cli", "worker"], env=os.environ | settings, cwd=ROOT)
    try:
        outcome = wait_until(lambda: store.analyses.outcome(analysis.submission.id), 30)
        assert outcome.failure.code == "time_limit_exceeded"
        wait_until(lambda: queue.find(analysis.submission.id) is None, 10)
    finally:
        worker.kill()
        worker.wait()
