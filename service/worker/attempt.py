"""One attempt at an analysis: a forked child, and how it ends."""

from __future__ import annotations

import faulthandler
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import structlog

from service.analyses.errors import StoreUnavailable

log = structlog.get_logger("phasegate.worker")

CHILD_LIMIT_MARGIN_S = 2
"""The child stops itself this long after the time limit, in case its parent cannot."""

STORE_AWAY_EXIT_CODE = os.EX_TEMPFAIL
"""The child could not reach the store: no fault of the analysis, and no attempt at it."""

_WATCHDOG_EXIT_CODE = 1  # what faulthandler exits with
OUT_OF_MEMORY_EXIT_CODE = os.EX_OSERR
"""The child was refused memory, and could not even store that."""

_CRASH_EXIT_CODE = os.EX_SOFTWARE


@dataclass
class Attempt:
    """A running child, seen from its parent."""

    execution: str
    pid: int
    pidfd: int
    started: float = field(default_factory=time.monotonic)

    def elapsed_s(self) -> float:
        """How long the child has been running."""
        return time.monotonic() - self.started

    def wait(self, timeout_s: float) -> int | None:
        """The child's exit code (minus the signal that killed it), or None if it runs on after the timeout."""
        ready, _, _ = select.select([self.pidfd], [], [], max(0.0, timeout_s))
        if not ready:
            return None
        _, status = os.waitpid(self.pid, 0)
        os.close(self.pidfd)
        self.pidfd = -1
        return os.waitstatus_to_exitcode(status)

    def kill(self) -> None:
        """SIGKILL to the child and what it has started; nothing if it is gone, never to anything else."""
        if self.pidfd < 0:
            return
        # RQ's kill_horse asks for the process group of a pid that may be 0 or not yet a leader: then it kills itself.
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def was_stopped_by_watchdog(self, exit_code: int, time_limit_s: int) -> bool:
        """Whether the child stopped itself because the time limit was over."""
        return exit_code == _WATCHDOG_EXIT_CODE and self.elapsed_s() > time_limit_s


def signal_name(exit_code: int) -> str:
    """Name of the signal that ended a process with this exit code; empty if none did."""
    if exit_code >= 0:
        return ""
    try:
        return signal.Signals(-exit_code).name
    except ValueError:
        return f"SIG{-exit_code}"  # a real-time signal


def fork_attempt(
    execution: str,
    function: Callable[[str], None],
    analysis_id: str,
    time_limit_s: int,
    die_with_parent: Callable[[], None],
) -> Attempt:
    """Start one child that calls the function and exits: 0 when it returned, otherwise not."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        _run_child(function, analysis_id, time_limit_s, die_with_parent)
    return Attempt(execution, pid, os.pidfd_open(pid))


def _run_child(
    function: Callable[[str], None], analysis_id: str, time_limit_s: int, die_with_parent: Callable[[], None]
) -> None:
    exit_code = _CRASH_EXIT_CODE
    try:
        die_with_parent()
        # A group of its own: Ctrl-C in the terminal goes to the parent, which decides.
        os.setpgid(0, 0)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        # No SIGALRM: Python runs its handler only between byte codes, so it waits for a long LAPACK call to return,
        # and inside the analysis its exception can be caught.  The parent's SIGKILL at the limit needs neither; this
        # watchdog is a C thread that needs no interpreter lock, for a parent that hangs.
        faulthandler.dump_traceback_later(time_limit_s + CHILD_LIMIT_MARGIN_S, exit=True)
        function(analysis_id)
        exit_code = 0
    except StoreUnavailable:
        log.warning("store_unavailable", analysis_id=analysis_id)
        exit_code = STORE_AWAY_EXIT_CODE
    except MemoryError:
        exit_code = OUT_OF_MEMORY_EXIT_CODE
        log.warning("analysis_out_of_memory", analysis_id=analysis_id)
    except BaseException:  # whatever it is, the child must end here and not return into its parent's loop
        log.exception("analysis_crashed", analysis_id=analysis_id)
    finally:
        with suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(exit_code)
