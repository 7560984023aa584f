"""API keys on a local directory: {data_dir}/keys/{id}.json, readable by the owner of the data directory alone.

A key is written once; when it is revoked, a record that says so takes the place of the first in one step.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from pydantic import TypeAdapter

from service.access.errors import InvalidKey
from service.access.keys import KEY_ID, Key
from service.analyses.errors import StoreUnavailable
from service.storage.disk_files import read_record, sync_folder, write_file

KEY = TypeAdapter(Key)
NOT_READ = "The keys cannot be read or written. Tell the operator."


class DiskKeys:
    """The keys under one data directory."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._folder = data_dir / "keys"

    def add(self, key: Key) -> None:
        """Keep a new key.  Raises InvalidKey for an id that is there already, StoreUnavailable."""
        with _usable():
            self._data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)  # the first key may come before the store
            self._folder.mkdir(mode=0o700, exist_ok=True)
        with self._draft(key) as draft:
            try:
                os.link(draft, self._path(key.id))  # unlike a rename, a link replaces nothing
            except FileExistsError as error:
                raise InvalidKey(f"There is a key {key.id} already. Make another.") from error

    def find(self, key_id: str) -> Key | None:
        """A key, or None for an unknown id.  Raises StoreUnavailable."""
        if not KEY_ID.fullmatch(key_id) or not self._folder.exists():
            return None
        path = self._path(key_id)
        with _usable():
            if path.is_dir():  # no key that is unknown, but a folder of keys that is not in order
                raise IsADirectoryError(path)
            return read_record(path, KEY)

    def all(self) -> Sequence[Key]:
        """All keys, oldest first.  Raises StoreUnavailable."""
        with _usable():
            names = os.listdir(self._folder) if self._folder.exists() else []
        found = [self.find(name.removesuffix(".json")) for name in names]
        return sorted((key for key in found if key is not None), key=lambda key: (key.created_at, key.id))

    def revoke(self, key_id: str, at: datetime) -> Key | None:
        """Make a key count for nothing; the key, or None for an unknown id.  Raises StoreUnavailable."""
        key = self.find(key_id)
        if key is None or key.revoked_at is not None:
            return key
        revoked = replace(key, revoked_at=at)
        with self._draft(revoked) as draft:
            os.rename(draft, self._path(key_id))
        return revoked

    def _path(self, key_id: str) -> Path:
        return self._folder / f"{key_id}.json"

    @contextmanager
    def _draft(self, key: Key) -> Iterator[Path]:
        """A record that is written but has no name yet; when the context ends, the name that it was given lasts."""
        draft = self._folder / f".{key.id}-{secrets.token_hex(4)}"
        with _usable():
            try:
                write_file(draft, KEY.dump_json(key))
                draft.chmod(0o600)
                yield draft
            finally:
                draft.unlink(missing_ok=True)
            sync_folder(self._folder)


@contextmanager
def _usable() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreUnavailable(NOT_READ) from error
