"""One process tree per data directory."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

RELEASE_WAIT_S = 3.0


class DataDirectoryInUse(Exception):
    """Another process tree works on the data directory."""

    def __init__(self, data_dir: Path, pid: int | None) -> None:
        self.data_dir = data_dir
        self.pid = pid
        owner = f"process {pid}" if pid else "another process"
        super().__init__(
            f"The data directory {data_dir} is in use by {owner}. "
            "Stop that one first, or choose another directory with --data-dir or PHASEGATE_DATA_DIR."
        )


@contextmanager
def hold_data_dir(data_dir: Path) -> Iterator[int]:
    """Hold the lock of the data directory, creating the directory with mode 0700; yields the lock's descriptor.

    The lock lasts as long as any process has the descriptor.  The embedded server inherits it, so that no second
    server opens the append-only file of one that is still dying.  Raises DataDirectoryInUse.
    """
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(data_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _take(descriptor, data_dir)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield descriptor
    finally:
        os.close(descriptor)


def _take(descriptor: int, data_dir: Path) -> None:
    deadline = time.monotonic() + RELEASE_WAIT_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            pid = _read_pid(descriptor)
            # A killed tree is gone a moment before its server is: that one moment is worth waiting for.
            if time.monotonic() > deadline or (pid and _is_alive(pid)):
                raise DataDirectoryInUse(data_dir, pid) from error
            time.sleep(0.05)
        else:
            return


def _read_pid(descriptor: int) -> int | None:
    text = os.pread(descriptor, 32, 0).strip()
    return int(text) if text.isdigit() else None


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
