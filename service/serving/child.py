"""One child of the process tree: started, started again when it dies, stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import structlog

log = structlog.get_logger("phasegate.serve")

MAX_BACKOFF_S = 5.0
FIRST_BACKOFF_S = 0.25
HEALTHY_AFTER_S = 10.0
"""A child that has lived this long starts again with a clean record."""


@dataclass(frozen=True)
class ChildSpec:
    """What to run: a name for the log, the command, its whole environment, descriptors it inherits."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    inherited: Sequence[int] = ()


class Child:
    """A process that is kept running until it is stopped."""

    def __init__(
        self, spec: ChildSpec, in_child: Callable[[], None], before_start: Callable[[], object] = lambda: None
    ) -> None:
        """Arguments: in_child, called in the process before its command; before_start, here before each start, which
        is put off when it fails.
        """
        self.spec = spec
        self.restart_at: float | None = None
        self.deaths_in_a_row = 0
        self._in_child = in_child
        self._before_start = before_start
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0

    def start(self) -> None:
        """Start the process, in a session of its own: Ctrl-C in the terminal reaches the tree's root alone."""
        self.restart_at = None
        self._started = time.monotonic()
        try:
            self._before_start()
        except Exception:
            delay_s = self._plan_restart()
            log.exception("child_not_started", child=self.spec.name, restart_in_s=delay_s)
            return
        self._process = subprocess.Popen(  # noqa: S603 - the commands come from this package  # nosec B603
            list(self.spec.command),
            env=dict(self.spec.environment),
            pass_fds=tuple(self.spec.inherited),
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=self._in_child,  # safe: the root of the tree has one thread
        )
        log.info("child_started", child=self.spec.name, pid=self._process.pid)

    def reap(self) -> bool:
        """Notice a death; True if the process died since it was last asked.  Plans the restart.

        The first restart is immediate; a child that keeps dying waits 0.25 s, 0.5 s, ... up to MAX_BACKOFF_S.
        """
        if self._process is None or (exit_code := self._process.poll()) is None:
            return False
        self._kill_rest()
        lived_s = time.monotonic() - self._started
        delay_s = self._plan_restart()
        log.warning(
            "child_died",
            child=self.spec.name,
            pid=self._process.pid,
            exit_code=exit_code,
            lived_s=round(lived_s, 3),
            restart_in_s=delay_s,
        )
        self._process = None
        return True

    def _plan_restart(self) -> float:
        """Seconds until the next start."""
        now = time.monotonic()
        self.deaths_in_a_row = 1 if now - self._started >= HEALTHY_AFTER_S else self.deaths_in_a_row + 1
        repeats = self.deaths_in_a_row - 1
        delay_s = min(MAX_BACKOFF_S, FIRST_BACKOFF_S * 2 ** (min(repeats, 10) - 1)) if repeats else 0.0
        self.restart_at = now + delay_s
        return delay_s

    def send(self, signum: signal.Signals) -> None:
        """Send a signal to the process, if it runs."""
        if self._process is not None:
            self._process.send_signal(signum)

    def kill(self) -> None:
        """SIGKILL to the process and its session's leading group."""
        if self._process is not None:
            self._kill_rest()
            self._process.kill()

    def has_exited(self) -> bool:
        """Whether a process that was told to stop is gone."""
        if self._process is None:
            return True
        if self._process.poll() is None:
            return False
        self._kill_rest()
        log.info("child_stopped", child=self.spec.name, exit_code=self._process.returncode)
        self._process = None
        return True

    def _kill_rest(self) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
