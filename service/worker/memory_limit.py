"""The memory that an analysis may take, held in the process that runs it."""

from __future__ import annotations

import resource
from pathlib import Path

from service.estimation.memory import take_what_stays


def limit_memory(limit_bytes: int) -> None:
    """Let this process take so many bytes more than it has now; what it asks for beyond is refused to it.

    RLIMIT_DATA counts private memory that can be written to, and no mapped files.  To be called in the process of one
    analysis: the limit is never raised again.
    """
    take_what_stays()
    limit = _data_bytes() + limit_bytes
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))


def _data_bytes() -> int:
    """What RLIMIT_DATA counts of this process (VmData, proc_pid_status(5))."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmData:"))
