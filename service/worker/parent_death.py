"""Children that die with their parent, however it dies (Linux)."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1


def parent_death_guard() -> Callable[[], None]:
    """A function for a freshly forked child of this process: from then on, the child is killed when this process dies.

    Everything that takes a lock or memory is done here, before the fork; in the child remain two system calls.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    prctl = libc.prctl
    prctl.argtypes = [ctypes.c_int, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong]
    prctl.restype = ctypes.c_int
    parent_pid = os.getpid()

    def die_with_parent() -> None:
        if prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
            os._exit(os.EX_OSERR)
        # The parent may have died between the fork and prctl: then the signal will never come.
        if os.getppid() != parent_pid:
            os.kill(os.getpid(), signal.SIGKILL)

    return die_with_parent
