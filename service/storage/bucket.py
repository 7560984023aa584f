"""Objects in an S3-compatible bucket: read, written, created once, replaced if unchanged, listed.

The client library keeps threads of its own, which do not survive a fork: a process that has used it must not fork
children that use it.  The connection is made at first use, by the process that uses it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import obstore
from obstore.exceptions import AlreadyExistsError, PreconditionError
from obstore.store import S3Store

from service.analyses.errors import StoreUnavailable
from service.storage.bucket_address import BucketAddress
from service.storage.bucket_admission import admit
from service.storage.bucket_reaching import AWAY, reached
from service.storage.reaching import Absence

AT_ONCE = 16  # small requests under way at the same time
LISTED_AT_ONCE = 1000  # what a bucket answers with at most
SMALL_BYTES = 1024 * 1024  # what is written within REQUEST_TIMEOUT
PIECE_BYTES = 8 * 1024 * 1024
PIECES_AT_ONCE = 4  # of one file: their memory is all that a transfer needs
MAX_PIECES = 9000  # a bucket takes 10,000 parts
CONNECT_TIMEOUT = timedelta(seconds=3)
REQUEST_TIMEOUT, RETRY_TIMEOUT = timedelta(seconds=5), timedelta(seconds=6)
PIECE_TIMEOUT, PIECE_RETRY_TIMEOUT = timedelta(seconds=60), timedelta(seconds=20)
RETRIES = 2

Item = TypeVar("Item")
Result = TypeVar("Result")

_used_by: int | None = None
"""The process that has used the client library: a child of its would wait for ever."""


@dataclass(frozen=True)
class Listed:
    """An object as a listing shows it; `modified_at` by the clock of the bucket."""

    key: str
    size_bytes: int
    modified_at: datetime


@dataclass(frozen=True)
class Tagged:
    """An object with the tag of this version of it."""

    content: bytes
    tag: str


class Bucket:
    """The objects under one prefix of one bucket.

    Every call raises StoreUnavailable when the bucket cannot be reached or refuses it.  With `absence_s`, one that did
    not answer is not asked again for so many seconds, see `reaching`.
    """

    def __init__(self, address: BucketAddress, absence_s: float = 0.0) -> None:
        self.address = address
        self._opened: dict[timedelta, S3Store] = {}
        self._asked = Absence(absence_s, reached, lambda: StoreUnavailable(AWAY)).asked

    def read(self, key: str) -> bytes | None:
        """An object, or None."""
        tagged = self.read_tagged(key)
        return None if tagged is None else tagged.content

    def read_tagged(self, key: str) -> Tagged | None:
        """An object with its tag, or None."""
        try:
            with self._asked():
                result = obstore.get(self._store, key)
                return Tagged(bytes(result.bytes()), result.meta["e_tag"] or "")
        except FileNotFoundError:
            return None

    def at_once(self, function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
        """What a function makes of each item, some at a time: requests mostly wait.  Not to be called by a function."""
        todo = list(items)
        if len(todo) < 2:
            return [function(item) for item in todo]
        return list(_threads_of(os.getpid()).map(function, todo))

    def exists(self, key: str) -> bool:
        """Whether there is such an object."""
        try:
            with self._asked():
                obstore.head(self._store, key)
        except FileNotFoundError:
            return False
        return True

    def write(self, key: str, content: bytes) -> None:
        """Write an object, in place of one that was there."""
        store = self._store if len(content) <= SMALL_BYTES else self._store_for_files
        with self._asked():
            obstore.put(store, key, content, use_multipart=False)

    def create(self, key: str, content: bytes) -> bool:
        """Write an object unless there is one; returns whether the one that is there now is this."""
        try:
            with self._asked():
                obstore.put(self._store, key, content, mode="create")
        except (AlreadyExistsError, PreconditionError):
            # An answer that was lost is asked for again: what is there may be ours.
            return self.read(key) == content
        return True

    def replace(self, key: str, content: bytes, tag: str) -> str | None:
        """Write an object in place of the version with this tag; returns the new tag, or None if there is another.

        No two contents of one key may ever be the same.
        """
        try:
            with self._asked():
                return obstore.put(self._store, key, content, mode={"e_tag": tag})["e_tag"]
        except (AlreadyExistsError, PreconditionError, FileNotFoundError):
            found = self.read_tagged(key)
            return found.tag if found is not None and found.content == content else None

    def upload(self, key: str, path: Path) -> None:
        """Write a file of any size, piece by piece; it is not there before it is complete."""
        size = path.stat().st_size
        with self._asked():
            if size <= PIECE_BYTES:
                obstore.put(self._store_for_files, key, path.read_bytes(), use_multipart=False)
                return
            piece = max(PIECE_BYTES, -(-size // MAX_PIECES))
            obstore.put(self._store_for_files, key, path, chunk_size=piece, max_concurrency=PIECES_AT_ONCE)

    def pieces(self, key: str, size_bytes: int) -> Iterator[bytes]:
        """The content of an object in order, some pieces ahead of the caller.  Raises FileNotFoundError."""
        store = self._store_for_files

        def piece(start: int) -> bytes:
            with self._asked():
                return bytes(obstore.get_range(store, key, start=start, end=min(start + PIECE_BYTES, size_bytes)))

        with ThreadPoolExecutor(PIECES_AT_ONCE) as pool:
            coming: list[Future[bytes]] = []
            try:
                for start in range(0, size_bytes, PIECE_BYTES):
                    coming.append(pool.submit(piece, start))
                    if len(coming) == PIECES_AT_ONCE:
                        yield coming.pop(0).result()
                while coming:
                    yield coming.pop(0).result()
            finally:
                for left in coming:
                    left.cancel()

    def remove(self, keys: Sequence[str]) -> None:
        """Remove objects, whether they are there or not."""
        with self._asked():
            if keys:
                store = self._store if len(keys) <= AT_ONCE else self._store_for_files
                obstore.delete(store, list(keys))

    def listed(self, folder: str, after: str | None = None) -> Iterator[Listed]:
        """The objects below a folder in the order of their keys; only those after a key.  Read as far as wanted."""
        with self._asked():
            found = iter(obstore.list(self._store, folder, offset=after, chunk_size=LISTED_AT_ONCE))
        while True:
            with self._asked():
                chunk = next(found, None)
            if chunk is None:
                return
            for item in chunk:
                yield Listed(item["path"], item["size"], item["last_modified"])

    def folders(self, folder: str) -> list[str]:
        """Names of the folders in a folder."""
        with self._asked():
            found = obstore.list_with_delimiter(self._store, folder)
        return [prefix.rstrip("/").rpartition("/")[2] for prefix in found["common_prefixes"]]

    def now(self, key: str) -> datetime:
        """The time by the clock of the bucket, from an object that is written for it."""
        self.write(key, os.urandom(8))
        with self._asked():
            return obstore.head(self._store, key)["last_modified"]

    def admit(self, folder: str) -> None:
        """Do once, with an object in this folder, all that a store does.

        Raises BucketRefused if that is not allowed, StoreUnavailable if the bucket is away.
        """
        admit(self._store, self.address, folder)

    @property
    def _store(self) -> S3Store:
        """For what is small, and for callers who wait."""
        return self._client(REQUEST_TIMEOUT, RETRY_TIMEOUT)

    @property
    def _store_for_files(self) -> S3Store:
        return self._client(PIECE_TIMEOUT, PIECE_RETRY_TIMEOUT)

    def _client(self, timeout: timedelta, retry_timeout: timedelta) -> S3Store:
        global _used_by
        if _used_by not in (None, os.getpid()):
            raise RuntimeError("a process that uses the bucket has forked this one: it would wait for ever")
        _used_by = os.getpid()
        if timeout not in self._opened:
            self._opened[timeout] = _open(self.address, timeout, retry_timeout)
        return self._opened[timeout]


def _open(address: BucketAddress, timeout: timedelta, retry_timeout: timedelta) -> S3Store:
    config: dict[str, Any] = {"checksum_algorithm": "SHA256"}
    if address.endpoint is not None:
        config["endpoint"] = address.endpoint
    if address.region is not None:
        config["region"] = address.region
    if address.credentials is not None:
        config["access_key_id"] = address.credentials.access_key_id
        config["secret_access_key"] = address.credentials.secret_access_key
    return S3Store(
        address.bucket,
        prefix=address.prefix,
        config=config,  # type: ignore[arg-type]  # a TypedDict that is put together here
        client_options={"allow_http": address.allow_http, "connect_timeout": CONNECT_TIMEOUT, "timeout": timeout},
        retry_config={"max_retries": RETRIES, "retry_timeout": retry_timeout},
    )


@lru_cache(maxsize=1)
def _threads_of(pid: int) -> ThreadPoolExecutor:
    """The threads in which a process asks for many things; made at first use, for threads do not survive a fork."""
    return ThreadPoolExecutor(AT_ONCE, thread_name_prefix="bucket")
