"""Files that survive a crash: synced before they have their name, folders synced after."""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import structlog
from pydantic import TypeAdapter

from service.analyses.errors import StoreUnavailable
from service.storage.records import decode_record

NOT_STORED = "The upload could not be stored: the disk may be full. Try again later."
KEPT_LOCKED = "Another process has kept the same for long. Try again later, or tell the operator."
PROBE_BYTES = 64 * 1024  # a file system that is full still makes empty files
LOCK = "lock"
LOCK_PATIENCE_S = 5.0
LOCK_INTERVAL_S = 0.01
Record = TypeVar("Record")
Item = TypeVar("Item")

log = structlog.get_logger("phasegate.store")


def read_record(path: Path, adapter: TypeAdapter[Record]) -> Record | None:
    """The record in a JSON file, None if there is none.  One that cannot be read is logged, and as good as none.

    Raises StoreUnavailable if the folder is gone in which the record's own would be.
    """
    name = f"{path.parent.name}/{path.name}"
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        check_there(path.parent.parent)
        return None
    except IsADirectoryError:
        log.error("record_unreadable", record=name)
        return None
    return decode_record(content, adapter, name)


def read_each(read: Callable[[str], Item], ids: Sequence[str], unreadable: Callable[[str], Item]) -> list[Item]:
    """What is read of each id; what the disk refuses to read is logged, and `unreadable` in its place."""
    found = []
    for an_id in ids:
        try:
            found.append(read(an_id))
        except OSError:
            log.exception("record_unreadable", record=an_id)
            found.append(unreadable(an_id))
    return found


def check_there(folder: Path) -> None:
    """Raise StoreUnavailable without a folder of the store: what is not in it is not gone, but out of reach."""
    if not folder.is_dir():
        raise StoreUnavailable("The array store is not where it should be. Try again later, or tell the operator.")


def write_file(path: Path, content: bytes) -> None:
    """Write a file, synced."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def replace_file(path: Path, content: bytes) -> None:
    """Write a file complete before it has its name; what cannot be written leaves nothing."""
    draft = path.with_name(f".{path.name}")
    try:
        write_file(draft, content)
        os.rename(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def create_file(path: Path, content: bytes, tmp: Path) -> bool:
    """Write a file, in `tmp` until it is complete, unless there is one of its name; returns whether it is this."""
    draft = tmp / f"new-{secrets.token_hex(8)}"
    try:
        write_file(draft, content)
        os.link(draft, path)
    except FileExistsError:
        return False
    finally:
        draft.unlink(missing_ok=True)
    sync_folder(path.parent)
    return True


def sync_folder(folder: Path) -> None:
    """Make the names in a folder last."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def locked(folder: Path, *, alone: bool) -> Iterator[None]:
    """Hold the lock of a folder, shared or alone, as soon as it can be had.

    Raises FileNotFoundError without one, and TimeoutError if somebody else keeps it for LOCK_PATIENCE_S: he may have
    been stopped.

    The lock is on a file that is open for writing: NFS 4 locks such files between hosts, and folders on each host by
    itself.  It goes with the process that holds it.
    """
    descriptor = _open_lock(folder)
    try:
        _lock(descriptor, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def locked_if_unused(folder: Path) -> Iterator[bool]:
    """Hold the lock of a folder alone if nobody else holds it; yields whether that is so."""
    descriptor = _open_lock(folder)
    try:
        yield _is_unused(descriptor)
    finally:
        os.close(descriptor)


def _lock(descriptor: int, kind: int) -> None:
    until = time.monotonic() + LOCK_PATIENCE_S
    while True:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                raise TimeoutError("somebody else keeps the lock") from None
            time.sleep(LOCK_INTERVAL_S)
        else:
            return


def _open_lock(folder: Path) -> int:
    return os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)


def _is_unused(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def check_writable(folder: Path) -> None:
    """Raise StoreUnavailable unless a file with some content can be written into a folder."""
    probe = folder / f"probe-{secrets.token_hex(8)}"
    try:
        write_file(probe, bytes(PROBE_BYTES))
    except OSError as error:
        raise StoreUnavailable("The array store cannot be written. Tell the operator.") from error
    finally:
        probe.unlink(missing_ok=True)


@contextmanager
def unlocked_in_time() -> Iterator[None]:
    """A lock that is not to be had becomes StoreUnavailable."""
    try:
        yield
    except TimeoutError as error:
        raise StoreUnavailable(KEPT_LOCKED) from error


@contextmanager
def stored() -> Iterator[None]:
    """What the disk refuses while something is being stored becomes StoreUnavailable."""
    try:
        with unlocked_in_time():
            yield
    except OSError as error:
        raise StoreUnavailable(NOT_STORED) from error
