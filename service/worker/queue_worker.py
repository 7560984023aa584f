"""The RQ worker with what its defaults get wrong put right.

From RQ come the loop, the registration, the commands from outside (`stop-job`) and the key layout.  Not from RQ:

- popping (`AnalysisQueue`), because RQ trusts the job it loads;
- the attempt (`execute_job`), because RQ's child reports its own end in several steps that can be interrupted, its
  time limit waits for C code, and it lets a child outlive its worker;
- the clean-up (`clean_registries`), because RQ's calls failure callbacks by imported name, takes a lock that a dead
  worker holds for 15 minutes, and leaves a stuck job for a minute.
"""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import FrameType
from typing import Any
from uuid import uuid4

import structlog
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError
from rq.command import handle_command
from rq.exceptions import StopRequested
from rq.executions import Execution
from rq.job import Job
from rq.queue import Queue
from rq.serializers import JSONSerializer
from rq.worker import Worker
from rq.worker.base import WorkerStatus

from service.analyses.ports import LossReason
from service.storage import keys, queue_scripts
from service.storage.kernel_kills import KernelKills, kernel_kills
from service.storage.queue_jobs import FUNCTION_NAME
from service.storage.queue_scripts import EXHAUSTED, Ending
from service.storage.redis_queue import timestamp
from service.worker.analysis_queue import AnalysisQueue
from service.worker.attempt import OUT_OF_MEMORY_EXIT_CODE, STORE_AWAY_EXIT_CODE, Attempt, fork_attempt, signal_name
from service.worker.parent_death import parent_death_guard

log = structlog.get_logger("phasegate.worker")

STORE_PAUSE_S = 3.0
"""A worker waits this long before it tries a store again that was away."""

SETTLE_TIMEOUT_S = 3
"""So long a worker tries to settle what the queue has given up on, before it goes on."""

_LOOK_INTERVAL_S = 0.5  # a signal or a stop command is noticed within this time; the child's end at once
_LEASE_MARGIN_S = 1.0


@dataclass(frozen=True)
class Ended:
    """How an attempt ended."""

    ending: Ending
    reason: LossReason = LossReason.WORKER_LOST
    signal: str = ""  # name of the signal that killed its process, if nobody of us has sent it
    pause: bool = False  # whether what was in its way needs time to come back


class QueueWorker(Worker):
    """Runs analyses one at a time, each in a forked child, until SIGTERM or SIGINT.

    `functions` is the table of what it may run, with exactly one entry; a job that names anything else is refused.
    `lease_connection` must give up within a second or two: while it waits, the lease runs out.  A running analysis may
    finish for `stop_grace_s` after SIGTERM; then it is killed and handed back.  `memory_is_limited` says whether its
    process may be refused memory; `settle_exhausted`, which is run in a child too, settles what the queue gives up on.
    """

    max_connection_wait_time = 2.0  # seconds between attempts to reach a lost server; RQ's default backs off to 60

    def __init__(
        self,
        functions: Mapping[str, Callable[[str], None]],
        *,
        connection: Redis,
        lease_connection: Redis,
        time_limit_s: int,
        stop_grace_s: float,
        memory_is_limited: bool = False,
        settle_exhausted: Callable[[str], None] | None = None,
    ) -> None:
        if set(functions) != {FUNCTION_NAME}:
            raise ValueError(f"a worker runs {FUNCTION_NAME!r} and nothing else, not {sorted(functions)}")
        # A class of its own per worker, because RQ pops through the class and not through an instance.
        queue_class = type("BoundQueue", (AnalysisQueue,), {"functions": dict(functions), "time_limit_s": time_limit_s})
        super().__init__(
            [queue_class(keys.QUEUE_NAME, connection=connection, serializer=JSONSerializer)],
            connection=connection,
            queue_class=queue_class,
            serializer=JSONSerializer,
            worker_ttl=keys.WORKER_TTL_S,
            maintenance_interval=2,
            job_monitoring_interval=keys.HEARTBEAT_INTERVAL_S,
            log_job_description=False,
        )
        self._functions = dict(functions)
        self._lease_connection = lease_connection
        self._time_limit_s = time_limit_s
        self._stop_grace_s = stop_grace_s
        self._memory_is_limited = memory_is_limited
        self._settle_exhausted = settle_exhausted
        self._cleaned: float | None = None
        self._die_with_parent = parent_death_guard()
        self._attempt: Attempt | None = None
        self._stop_by: float | None = None
        self._is_waiting = False

    @property
    def stop_was_requested(self) -> bool:
        """Whether the worker stops because it was told to."""
        return self._stop_by is not None

    @property
    def dequeue_timeout(self) -> int:
        """Seconds of one blocking pop; between two of them come heartbeat and recovery."""
        return 2

    def _set_ip_address(self, connection: Redis) -> None:
        """RQ asks CLIENT INFO, whose answer redis-py cannot read when the socket's path has a space or `=` in it."""
        self.ip_address = "unknown"

    # stopping

    def bootstrap(self, *args: Any, **options: Any) -> None:
        """Take signals before the worker is registered, and not only after, as RQ does."""
        self._install_signal_handlers()  # type: ignore[no-untyped-call]
        super().bootstrap(*args, **options)

    def request_stop(self, signum: int, frame: FrameType | None) -> None:
        """Signal handler: the first signal leaves a running analysis its grace, a second one none.

        RQ's handler writes to Redis from within the signal handler, and would wait for the analysis without end.
        """
        self._stop_by = time.monotonic() + (self._stop_grace_s if self._stop_by is None else 0.0)
        self._stop_requested = True
        if self._is_waiting:
            raise StopRequested

    def dequeue_job_and_maintain_ttl(
        self, timeout: int | None, max_idle_time: int | None = None
    ) -> tuple[Job, Queue] | None:
        """The next analysis; a stop request interrupts only this wait, nothing else that the worker does."""
        try:
            self._is_waiting = True
            if self._stop_requested:
                raise StopRequested
            return super().dequeue_job_and_maintain_ttl(timeout, max_idle_time)
        finally:
            self._is_waiting = False

    def kill_horse(self, sig: signal.Signals = signal.SIGKILL) -> None:
        """Kill the running child, if there is one (RQ's `stop-job` command ends here, in a thread of its own)."""
        if attempt := self._attempt:
            attempt.kill()

    def handle_payload(self, message: dict[str, Any]) -> None:
        """A command from outside; one that cannot be read is dropped, where RQ's thread would end with it."""
        try:
            payload = json.loads(message["data"])
            if isinstance(payload, dict) and isinstance(payload.get("command"), str):
                handle_command(self, payload)
        except (ValueError, TypeError, KeyError, RecursionError, RedisError) as error:
            log.warning("command_refused", reason=type(error).__name__)

    # upkeep

    def heartbeat(self, timeout: int | None = None, pipeline: Any = None) -> None:
        """Stay registered for WORKER_TTL_S more seconds (RQ adds a minute, during which a dead worker counts).

        Registered anew each time, which RQ is at its start alone: a server that has lost its data, or whose clock was
        set forwards, knows no workers any more.
        """
        connection = self.connection if pipeline is None else pipeline
        connection.hset(self.key, mapping=self.serialize())
        connection.sadd(keys.ALL_WORKERS, self.key)
        connection.sadd(keys.WORKERS, self.key)
        super().heartbeat(timeout or self.worker_ttl, pipeline)

    @property
    def should_run_maintenance_tasks(self) -> bool:
        """Whether the last time is longer ago than the interval, by a clock that nobody sets; RQ goes by the time."""
        return self._cleaned is None or time.monotonic() - self._cleaned > self.maintenance_interval

    def run_maintenance_tasks(self) -> None:
        """Recover what dead workers have left; never RQ's scheduler, groups or rate limits, which are not in use."""
        self.clean_registries()

    def clean_registries(self) -> None:
        """Recover what dead workers have left, without running any code a job names."""
        self._cleaned = time.monotonic()
        try:
            queue_scripts.recover(self.connection, kernel_kills())
        except ResponseError as error:  # a stranger has put a key of another type in the way: not worth dying for
            log.warning("recovery_failed", reason=str(error))

    # running

    def execute_job(self, job: Job, queue: Queue) -> None:
        """One attempt, from taking the lease to giving it up."""
        execution = uuid4().hex
        kills = kernel_kills()
        started_at = timestamp(datetime.now(UTC))
        if not queue_scripts.start(self.connection, job.id, execution, started_at, self.name, kills):
            return
        self.set_state(WorkerStatus.BUSY)
        function = self._functions[FUNCTION_NAME]
        attempt = fork_attempt(execution, function, job.id, self._time_limit_s, self._die_with_parent)
        self._attempt = attempt
        # RQ's stop commands look up here what this worker is running.
        self.executions[execution] = Execution(execution, job.id, self.connection, self.name)
        log.info("attempt_started", analysis_id=job.id, pid=attempt.pid)
        try:
            ended = self._watch(attempt, job.id, kills)
        finally:
            attempt.kill()
            self._attempt = None
            self.executions.pop(execution, None)
        if ended.pause:
            self._pause()
        place = self._end(job.id, execution, ended)
        seconds = round(attempt.elapsed_s(), 3)
        log.info("attempt_ended", analysis_id=job.id, ending=ended.ending, place=place, seconds=seconds)
        if place == EXHAUSTED and self._settle_exhausted is not None:
            self._settle(self._settle_exhausted, job.id)
        self.set_state(WorkerStatus.IDLE)

    def _end(self, analysis_id: str, execution: str, ended: Ended) -> str:
        """Tell the queue how an attempt ended, as soon as it can be told.

        Its server may have been away for longer than the connection waits: what runs out meanwhile would cost an
        attempt that nothing was wrong with.
        """
        while True:
            try:
                return queue_scripts.end(
                    self.connection, analysis_id, execution, ended.ending, ended.reason, ended.signal
                )
            except (RedisConnectionError, RedisTimeoutError):
                if self._stop_requested:
                    raise
                log.warning("queue_unavailable", analysis_id=analysis_id)

    def _settle(self, settle_exhausted: Callable[[str], None], analysis_id: str) -> None:
        """Let it be known at once that there will be no report; should it fail, an API sees to it in its next round."""
        child = fork_attempt(uuid4().hex, settle_exhausted, analysis_id, SETTLE_TIMEOUT_S, self._die_with_parent)
        if child.wait(SETTLE_TIMEOUT_S) is None:
            child.kill()
            child.wait(SETTLE_TIMEOUT_S)

    def _watch(self, attempt: Attempt, analysis_id: str, kills: KernelKills) -> Ended:
        """Wait for the child's end, renewing the lease, and kill it when its time, its lease or this worker ends."""
        killed_for: Ended | None = None
        lease_end = attempt.started + keys.LEASE_S
        next_heartbeat = attempt.started + keys.HEARTBEAT_INTERVAL_S
        next_check = attempt.started + keys.LEASE_CHECK_S
        while True:
            time_left_s = self._time_limit_s - attempt.elapsed_s()
            exit_code = attempt.wait(min(_LOOK_INTERVAL_S, max(0.01, time_left_s)))
            if exit_code is not None:
                break
            now = time.monotonic()
            if killed_for is None and now >= next_heartbeat:
                next_heartbeat = now + keys.HEARTBEAT_INTERVAL_S
                is_ours = self._renew_lease(attempt, analysis_id)
                if is_ours is not None:
                    lease_end = now + keys.LEASE_S if is_ours else now
            elif killed_for is None and now >= next_check:
                next_check = now + keys.LEASE_CHECK_S
                if not self._may_hold_lease(attempt, analysis_id):
                    lease_end = now
            if killed_for is not None:
                continue
            if attempt.elapsed_s() >= self._time_limit_s:
                killed_for = Ended(Ending.GIVE_UP, LossReason.TIME_LIMIT)
            elif time.monotonic() >= lease_end - _LEASE_MARGIN_S:
                # Another worker may start this analysis any moment: never two at once.
                # Handing back does nothing to one that is no longer ours, and costs no attempt if it still is.
                killed_for = Ended(Ending.HAND_BACK)
            elif self._stop_by is not None and now >= self._stop_by:
                killed_for = Ended(Ending.HAND_BACK)
            if killed_for is not None:
                attempt.kill()
        return self._classify(attempt, analysis_id, exit_code, killed_for, kills)

    def _classify(
        self, attempt: Attempt, analysis_id: str, exit_code: int, killed_for: Ended | None, kills: KernelKills
    ) -> Ended:
        stopped, self._stopped_job_id = self._stopped_job_id == analysis_id, None
        if exit_code == 0:
            return Ended(Ending.DONE)
        if stopped:
            return Ended(Ending.GIVE_UP, LossReason.STOPPED)
        if exit_code == STORE_AWAY_EXIT_CODE:
            return Ended(Ending.HAND_BACK, pause=True)
        if exit_code == OUT_OF_MEMORY_EXIT_CODE:
            return Ended(Ending.GIVE_UP, LossReason.OUT_OF_MEMORY)
        if killed_for is not None:
            return killed_for
        if attempt.was_stopped_by_watchdog(exit_code, self._time_limit_s):
            return Ended(Ending.GIVE_UP, LossReason.TIME_LIMIT)
        # Native code that is refused memory often knows no better than to abort.
        for_memory = (exit_code == -signal.SIGKILL and kernel_kills().rose_since(kills)) or (
            exit_code == -signal.SIGABRT and self._memory_is_limited
        )
        name = signal_name(exit_code)
        log.warning("attempt_lost", analysis_id=analysis_id, exit_code=exit_code, signal=name, for_memory=for_memory)
        return Ended(Ending.LOST, LossReason.OUT_OF_MEMORY if for_memory else LossReason.WORKER_LOST, name)

    def _pause(self) -> None:
        """Give a store that was away time to come back, for less than the lease; none when this worker stops."""
        until = time.monotonic() + STORE_PAUSE_S
        while time.monotonic() < until and not self._stop_requested:
            time.sleep(_LOOK_INTERVAL_S)

    def _may_hold_lease(self, attempt: Attempt, analysis_id: str) -> bool:
        """False when the lease has been taken away; a server that cannot be asked takes nothing away."""
        try:
            return queue_scripts.holds(self._lease_connection, analysis_id, attempt.execution)
        except RedisError:
            return True

    def _renew_lease(self, attempt: Attempt, analysis_id: str) -> bool | None:
        """Whether the lease is still ours; None if the server cannot be asked."""
        try:
            is_ours = queue_scripts.renew(self._lease_connection, analysis_id, attempt.execution)
            with self._lease_connection.pipeline() as pipeline:
                self.heartbeat(pipeline=pipeline)
                pipeline.execute()
        except RedisError as error:
            log.warning("heartbeat_failed", analysis_id=analysis_id, reason=str(error))
            return None
        return is_ours
