"""What a child that works on files of strangers does to itself, and how it says what became of the work."""

from __future__ import annotations

import errno
import resource
from collections.abc import Callable
from pathlib import Path

from service.analyses.errors import StoreUnavailable, UploadError
from service.analyses.format_errors import TooCostlyToRead
from service.storage.formats.order import Refusal

SPARE_BYTES = 1024**2  # that a file may be longer than the data in it
SHOWN_CHARACTERS = 1000
TOO_COSTLY = (errno.ENOMEM, errno.EFBIG)
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


def refusal_of(work: Callable[[], None], too_costly: str) -> Refusal | None:
    """Do the work; what it has met, if it could not be done.  Arguments: too_costly, what is said of its cost."""
    try:
        work()
    except UploadError as error:
        cause = "" if error.__cause__ is None else repr(error.__cause__)[:SHOWN_CHARACTERS]
        return Refusal(error.code, error.message, cause, error.part)
    except (MemoryError, OSError) as error:
        cause = repr(error)[:SHOWN_CHARACTERS]
        if isinstance(error, OSError) and error.errno in DISK_FULL:
            return Refusal(StoreUnavailable.code, "", cause)
        if isinstance(error, OSError) and error.errno not in TOO_COSTLY:
            raise
        return Refusal(TooCostlyToRead.code, too_costly, cause)
    return None


def limit_before(max_bytes: int, time_s: int) -> None:
    """What may be limited before the libraries are there; where memory runs out, this process is to be the victim."""
    Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _lower(resource.RLIMIT_CPU, time_s)
    _lower(resource.RLIMIT_FSIZE, max_bytes + SPARE_BYTES)


def limit_memory(memory_bytes: int) -> None:
    """So much more than the libraries have taken."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    taken = next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmData:"))
    _lower(resource.RLIMIT_DATA, taken + memory_bytes)


def _lower(what: int, limit: int) -> None:
    _, hard = resource.getrlimit(what)
    limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    resource.setrlimit(what, (limit, limit))
