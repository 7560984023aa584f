"""The memory that an analysis may take, held in the process that runs it."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service.estimation.memory import take_what_stays


@contextmanager
def limited_memory(limit_bytes: int) -> Iterator[None]:
    """Let this process take so many bytes more than it has now; what it asks for beyond is refused to it.

    RLIMIT_DATA counts private memory that can be written to, and no mapped files.  To be entered in the process of one
    analysis, and only while that computes: libraries that talk to a bucket end a process that is refused memory.
    """
    take_what_stays()
    before, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = _data_bytes() + limit_bytes
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (before, hard))


def _data_bytes() -> int:
    """What RLIMIT_DATA counts of this process (VmData, proc_pid_status(5))."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmData:"))
