"""One file that is being received: bounded, digested as it comes, synced when it is complete."""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path

from service.analyses.dataset import StoredFile
from service.analyses.errors import LabelsTooLarge
from service.analyses.upload_errors import EmptyArray, EmptyTable
from service.storage.disk_files import stored
from service.storage.npy import is_npy

COPY_BYTES = 1024 * 1024
NAMED_DIGITS = 16  # of the digest that a file is named after


class ReceivedFile:
    """A part that is being received into a folder; `limit` in bytes, None for features, which are arrays."""

    def __init__(self, folder: Path, part: str, limit: int | None, files: dict[str, StoredFile], suffix: str) -> None:
        self._folder, self._part, self._limit, self._files, self._suffix = folder, part, limit, files, suffix
        self._digest, self._size = hashlib.sha256(), 0
        self._path = folder / f"{part}-{secrets.token_hex(4)}.part"
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
        """The part is complete: synced, and named by its kind.

        Raises: UploadError for an empty one, StoreUnavailable.
        """
        if self._size == 0:
            error = EmptyArray if self._limit is None else EmptyTable
            raise error(f"{self._part} is empty. Send a file with data.", part=self._part)
        with stored():
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            digest = self._digest.hexdigest()
            kind = "npy" if self._limit is None or is_npy(self._path) else "csv"
            # Named after its content: a part that is sent again never takes the place of the one that is on record.
            name = f"{self._part}-{digest[:NAMED_DIGITS]}{self._suffix}.{kind}"
            os.rename(self._path, self._folder / name)
        self._files[self._part] = StoredFile(name, self._size, digest)
        return self._files[self._part]

    def close(self) -> None:
        """Close a file that was not finished; what the disk refuses of it no longer matters."""
        try:
            self._file.close()
        except OSError:
            return
