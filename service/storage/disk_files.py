"""Files that survive a crash: synced before they have their name, folders synced after."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import structlog
from pydantic import TypeAdapter, ValidationError

from service.analyses.errors import StoreUnavailable

NOT_STORED = "The upload could not be stored: the disk may be full. Try again later."
Record = TypeVar("Record")

log = structlog.get_logger("phasegate.store")


def read_record(path: Path, adapter: TypeAdapter[Record]) -> Record | None:
    """The record in a JSON file, None if there is none.  One that cannot be read is logged, and as good as none."""
    try:
        return adapter.validate_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValidationError as error:
        log.error("record_unreadable", record=f"{path.parent.name}/{path.name}", errors=error.error_count())
        return None


def write_file(path: Path, content: bytes) -> None:
    """Write a file, synced."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def replace_file(path: Path, content: bytes) -> None:
    """Write a file complete before it has its name."""
    draft = path.with_name(f".{path.name}")
    write_file(draft, content)
    os.rename(draft, path)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder last."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def stored() -> Iterator[None]:
    """What the disk refuses while something is being stored becomes StoreUnavailable."""
    try:
        yield
    except OSError as error:
        raise StoreUnavailable(NOT_STORED) from error
