"""Objects in an S3-compatible bucket: read, written, created once, replaced if unchanged, listed.

The client library keeps threads of its own, which do not survive a fork: a process that has used it must not fork
children that use it.  The connection is made at first use, by the process that uses it.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import obstore
import structlog
from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError
from obstore.store import S3Store

from service.analyses.errors import StoreUnavailable
from service.storage.bucket_address import BucketAddress, BucketRefused

AT_ONCE = 16  # requests under way at the same time for one caller
LISTED_AT_ONCE = 1000  # what a bucket answers with at most
PIECE_BYTES = 8 * 1024 * 1024
PIECES_AT_ONCE = 4  # of one file: their memory is all that a transfer needs
MAX_PIECES = 9000  # a bucket takes 10,000 parts
CONNECT_TIMEOUT = timedelta(seconds=3)
REQUEST_TIMEOUT = timedelta(seconds=60)  # for one piece at most
RETRIES = 2
RETRY_TIMEOUT = timedelta(seconds=20)

AWAY = "The array store cannot be reached. Try again later."
CODE = re.compile(r"<Code>(\w{1,64})</Code>")
REFUSALS = {"AccessDenied", "ExpiredToken", "InvalidAccessKeyId", "InvalidToken", "SignatureDoesNotMatch"}
MISSING = {"NoSuchBucket"}
CONFLICTS = {"ConditionalRequestConflict", "PreconditionFailed"}

log = structlog.get_logger("phasegate.store")
Item = TypeVar("Item")

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

    Every call raises StoreUnavailable when the bucket cannot be reached or refuses it.
    """

    def __init__(self, address: BucketAddress) -> None:
        self.address = address
        self._opened: S3Store | None = None

    def read(self, key: str) -> bytes | None:
        """An object, or None."""
        tagged = self.read_tagged(key)
        return None if tagged is None else tagged.content

    def read_tagged(self, key: str) -> Tagged | None:
        """An object with its tag, or None."""
        try:
            with reached():
                result = obstore.get(self._store, key)
                return Tagged(bytes(result.bytes()), result.meta["e_tag"] or "")
        except FileNotFoundError:
            return None

    def read_many(self, keys: Iterable[str]) -> list[bytes | None]:
        """Several objects, some at a time."""
        return self.at_once(self.read, keys)

    def at_once(self, function: Any, items: Iterable[Any]) -> list[Any]:
        """What a function makes of each item, some at a time: requests mostly wait."""
        todo = list(items)
        if len(todo) < 2:
            return [function(item) for item in todo]
        with ThreadPoolExecutor(min(AT_ONCE, len(todo))) as pool:
            return list(pool.map(function, todo))

    def exists(self, key: str) -> bool:
        """Whether there is such an object."""
        try:
            with reached():
                obstore.head(self._store, key)
        except FileNotFoundError:
            return False
        return True

    def write(self, key: str, content: bytes) -> None:
        """Write an object, in place of one that was there."""
        with reached():
            obstore.put(self._store, key, content, use_multipart=False)

    def create(self, key: str, content: bytes) -> bool:
        """Write an object unless there is one; returns whether the one that is there now is this."""
        try:
            with reached():
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
            with reached():
                return obstore.put(self._store, key, content, mode={"e_tag": tag})["e_tag"]
        except (AlreadyExistsError, PreconditionError, FileNotFoundError):
            found = self.read_tagged(key)
            return found.tag if found is not None and found.content == content else None

    def upload(self, key: str, path: Path) -> None:
        """Write a file of any size, piece by piece; it is not there before it is complete."""
        size = path.stat().st_size
        with reached():
            if size <= PIECE_BYTES:
                obstore.put(self._store, key, path.read_bytes(), use_multipart=False)
                return
            piece = max(PIECE_BYTES, -(-size // MAX_PIECES))
            obstore.put(self._store, key, path, chunk_size=piece, max_concurrency=PIECES_AT_ONCE)

    def pieces(self, key: str, size_bytes: int) -> Iterator[bytes]:
        """The content of an object in order, some pieces ahead of the caller.  Raises FileNotFoundError."""
        store = self._store

        def piece(start: int) -> bytes:
            with reached():
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
        with reached():
            if keys:
                obstore.delete(self._store, list(keys))

    def listed(self, folder: str, after: str | None = None) -> Iterator[Listed]:
        """The objects below a folder in the order of their keys; only those after a key.  Read as far as wanted."""
        with reached():
            found = iter(obstore.list(self._store, folder, offset=after, chunk_size=LISTED_AT_ONCE))
        while True:
            with reached():
                chunk = next(found, None)
            if chunk is None:
                return
            for item in chunk:
                yield Listed(item["path"], item["size"], item["last_modified"])

    def folders(self, folder: str) -> list[str]:
        """Names of the folders in a folder."""
        with reached():
            found = obstore.list_with_delimiter(self._store, folder)
        return [prefix.rstrip("/").rpartition("/")[2] for prefix in found["common_prefixes"]]

    def now(self, key: str) -> datetime:
        """The time by the clock of the bucket, from an object that is written for it."""
        self.write(key, os.urandom(8))
        with reached():
            return obstore.head(self._store, key)["last_modified"]

    def admit(self, folder: str) -> None:
        """Do once, with an object in this folder, all that a store does.

        Raises BucketRefused if that is not allowed, StoreUnavailable if the bucket is away.
        """
        key = f"{folder}/{secrets.token_hex(8)}"
        with _told_apart(self.address):
            obstore.put(self._store, key, b"1", mode="create")
            tag = obstore.get(self._store, key).meta["e_tag"]
            obstore.put(self._store, key, b"2", mode={"e_tag": tag})
            is_kept = _is_kept(lambda: obstore.put(self._store, key, b"3", mode={"e_tag": tag}))
            is_kept = _is_kept(lambda: obstore.put(self._store, key, b"4", mode="create")) and is_kept
            next(iter(obstore.list(self._store, folder)), None)
            obstore.delete(self._store, [key])
        if not is_kept:
            raise BucketRefused(
                f"The bucket {self.address.shown} takes no notice of If-Match or If-None-Match, without which writers "
                "cannot be kept apart. Use a bucket with conditional writes."
            )

    @property
    def _store(self) -> S3Store:
        global _used_by
        if _used_by not in (None, os.getpid()):
            raise RuntimeError("a process that uses the bucket has forked this one: it would wait for ever")
        _used_by = os.getpid()
        if self._opened is None:
            self._opened = _open(self.address)
        return self._opened


def _open(address: BucketAddress) -> S3Store:
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
        client_options={
            "allow_http": address.allow_http,
            "connect_timeout": CONNECT_TIMEOUT,
            "timeout": REQUEST_TIMEOUT,
        },
        retry_config={"max_retries": RETRIES, "retry_timeout": RETRY_TIMEOUT},
    )


@contextmanager
def reached() -> Iterator[None]:
    """What the bucket refuses becomes StoreUnavailable; what is not there, or not as it was, stays what it is.

    The texts of the library's errors name the endpoint and quote answers: they go nowhere.
    """
    try:
        yield
    except (AlreadyExistsError, PreconditionError):
        raise
    except FileNotFoundError as error:
        if _code(error) in MISSING:
            raise _away(error) from None
        raise FileNotFoundError("There is no such object in the bucket.") from None
    except BaseError as error:
        if _code(error) in CONFLICTS:
            raise PreconditionError("The object has been changed meanwhile.") from None
        raise _away(error) from None


def _away(error: BaseException) -> StoreUnavailable:
    log.warning("bucket_away", kind=type(error).__name__, code=_code(error))
    return StoreUnavailable(AWAY)


def _code(error: BaseException) -> str | None:
    found = CODE.search(str(error))
    return found.group(1) if found else None


@contextmanager
def _told_apart(address: BucketAddress) -> Iterator[None]:
    """What the operator has to put right becomes BucketRefused, what passes StoreUnavailable."""
    try:
        yield
    except (BaseError, FileNotFoundError) as error:
        code, text = _code(error), str(error)
        if code in MISSING or "NoSuchBucket" in text:
            raise BucketRefused(
                f"There is no bucket {address.bucket}. Create it, or name another in PHASEGATE_STORE_URL."
            ) from None
        if code in REFUSALS or "403 Forbidden" in text or "401 Unauthorized" in text:
            raise BucketRefused(
                f"The bucket {address.shown} lets us not in ({code or 'forbidden'}). Check the credentials in "
                "PHASEGATE_STORE_CREDENTIALS_FILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, the clock of this "
                "host, and that they may get, put, list and delete objects there."
            ) from None
        raise _away(error) from None


def _is_kept(put: Callable[[], object]) -> bool:
    """Whether a write on a condition that does not hold is refused."""
    try:
        put()
    except (AlreadyExistsError, PreconditionError):
        return True
    return False


def chunks(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """The items, so many at a time."""
    rest = iter(items)
    while some := list(islice(rest, size)):
        yield some
