"""One file that is being received: bounded, digested as it comes, synced when it is complete.

What is no plain .npy file, or CSV where a table is wanted, is converted then, and the original goes.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

import structlog

from service.analyses.dataset import FEATURES, FileFormat, Received, StoredFile
from service.analyses.errors import LabelsTooLarge, UploadError
from service.analyses.upload_errors import EmptyArray, EmptyTable
from service.storage.disk_files import stored
from service.storage.formats.reading import converted
from service.storage.formats.recognition import check_said, recognise

COPY_BYTES = 1024 * 1024
NAMED_DIGITS = 16  # of the digest that a file is named after
MAX_ARRAY_BYTES = 2 * 1024**3

log = structlog.get_logger("phasegate.store")


@dataclass(frozen=True)
class Bounds:
    """How large parts may be: `label_bytes` for every part that is read whole, `array_bytes` for what x and y become
    when they are unpacked.
    """

    label_bytes: int
    array_bytes: int = MAX_ARRAY_BYTES


@dataclass(frozen=True)
class Place:
    """Where files are received, with what their names end before their kind, and what their column of ids is called."""

    folder: Path
    suffix: str
    id_column: str


class ReceivedFile:
    """A part that is being received; `files` is where it is entered when it is complete, and the ids of its rows."""

    def __init__(
        self, place: Place, part: str, bounds: Bounds, files: dict[str, StoredFile], media_type: str | None
    ) -> None:
        self._place, self._part, self._bounds, self._files = place, part, bounds, files
        self._media_type = media_type
        self._limit = None if part in FEATURES else bounds.label_bytes
        self._digest, self._size = hashlib.sha256(), 0
        self._path = place.folder / f"{part}-{secrets.token_hex(4)}.part"
        with stored():
            self._file = self._path.open("wb", buffering=COPY_BYTES)

    def write(self, chunk: bytes) -> None:
        """Take further bytes.  Raises LabelsTooLarge, StoreUnavailable."""
        self._size += len(chunk)
        if self._limit is not None and self._size > self._limit:
            raise LabelsTooLarge(
                f"{self._part} is larger than {self._limit} bytes. Send fewer rows or columns.", part=self._part
            )
        self._digest.update(chunk)
        with stored():
            self._file.write(chunk)

    def finish(self) -> StoredFile:
        """The part is complete: understood, synced, and named by its kind.

        Raises: UploadError for one that is empty, of no format that is read, or of another than its sender says;
        ReadersBusy; StoreUnavailable.
        """
        if self._size == 0:
            error = EmptyArray if self._limit is None else EmptyTable
            raise error(f"{self._part} is empty. Send a file with data.", part=self._part)
        with stored():
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            found = recognise(self._path, self._part)
            check_said(self._media_type, found, self._part)
            if found is FileFormat.NPY or (found is FileFormat.CSV and self._limit is not None):
                digest = self._digest.hexdigest()
                self._files[self._part] = _rename(self._path, self._part, found, self._place, self._size, digest)
            else:
                self._convert(found)
        return self._files[self._part]

    def close(self) -> None:
        """Close a file that was not finished; what the disk refuses of it no longer matters."""
        try:
            self._file.close()
        except OSError:
            return

    def _convert(self, found: FileFormat) -> None:
        """Put what is made of the file in its place, and the ids of its rows beside it."""
        target, ids = self._path.with_suffix(".made"), self._path.with_suffix(".ids")
        largest = self._bounds.array_bytes if self._limit is None else self._limit
        try:
            understood = converted(self._path, self._part, found, target, ids, self._place.id_column, largest)
        except UploadError as error:
            if error.__cause__ is not None:
                log.warning("reader_failed", part=self._part, format=found, code=error.code, cause=str(error.__cause__))
            raise
        received = Received(self._size, self._digest.hexdigest(), understood)
        self._path.unlink()
        made = FileFormat.NPY if self._limit is None else FileFormat.CSV
        self._files[self._part] = name_file(target, self._part, made, self._place, received)
        if ids.exists():
            self._files[f"{self._part}_ids"] = name_file(ids, f"{self._part}_ids", FileFormat.NPY, self._place)


def name_file(path: Path, part: str, kind: FileFormat, place: Place, received: Received | None = None) -> StoredFile:
    """Sync a file that was made here, and give it the name of a part."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        os.fsync(file.fileno())
        size = file.seek(0, os.SEEK_END)
    return _rename(path, part, kind, place, size, digest, received)


def _rename(
    path: Path,
    part: str,
    kind: FileFormat,
    place: Place,
    size: int,
    digest: str,
    received: Received | None = None,
) -> StoredFile:
    # Named after its content: a part that is sent again never takes the place of the one that is on record.
    name = f"{part}-{digest[:NAMED_DIGITS]}{place.suffix}.{kind}"
    os.rename(path, place.folder / name)
    return StoredFile(name, size, digest, received=received)
