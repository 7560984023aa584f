"""A bounded cache of files on local disk, by their digests; all workers of a host share it.

Files are verified while they come, and have their names only then.  Whoever uses one holds its lock with others; the
least recently used that nobody holds goes first.  A lock goes with the process that holds it, and what a dead process
was fetching is no file.

{folder}/lock                held by whoever makes room
{folder}/{sha256}            a file
{folder}/{sha256}.part       one that is being fetched, as large as it will be, locked by whoever fetches it
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from service.analyses.dataset import StoredFile
from service.analyses.errors import CacheTooSmall, StoreUnavailable
from service.storage.verification import altered

PART = ".part"
LOCK = "lock"
PATIENCE_S = 60.0  # of a worker; nobody waits for it
LOOK_INTERVAL_S = 0.1

log = structlog.get_logger("phasegate.store")


@dataclass(frozen=True)
class Wanted:
    """A part as it is on record, and where its content comes from."""

    part: str
    file: StoredFile
    pieces: Callable[[], Iterator[bytes]]


@dataclass(frozen=True)
class Cached:
    """A file in the cache, kept there until `let_go`."""

    path: Path
    descriptor: int

    def let_go(self) -> None:
        """The file is not in use any more."""
        os.close(self.descriptor)


class FileCache:
    """The cache in one folder; `limit_bytes` bounds all files in it, those that are being fetched included.

    For `patience_s` seconds a caller waits for others to let go of files.
    """

    def __init__(self, folder: Path, limit_bytes: int, patience_s: float = PATIENCE_S) -> None:
        self._folder, self._limit_bytes, self._patience_s = folder, limit_bytes, patience_s

    def prepare(self) -> None:
        """Create the folder, readable by its owner alone."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def fetch(self, wanted: Mapping[str, Wanted], *, verified: bool = False) -> dict[str, Cached]:
        """Files by part, fetched if they are not there; in use until they are let go.

        They are asked for together, so that nobody who has one file waits for room for another.

        Arguments: verified, whether to read what is there already, too: one whose content has changed is fetched anew.

        Raises CacheTooSmall, InputAltered for content that is not that of the digest, StoreUnavailable;
        FileNotFoundError if it is gone.
        """
        total = sum({want.file.sha256: want.file.size_bytes for want in wanted.values()}.values())
        if total > self._limit_bytes:
            raise CacheTooSmall(
                f"The files of the analysis have {total} bytes together, and the cache of a worker takes "
                f"{self._limit_bytes}. Send fewer pairs or features, or ask the operator to raise "
                "PHASEGATE_CACHE_BYTES."
            )
        until = time.monotonic() + self._patience_s
        while time.monotonic() < until:
            with _held() as held:
                with _stored():
                    coming = self._reserved(wanted, held)
                if coming is None:
                    continue  # no room, or being fetched by another
                fetched = {want.file.sha256 for want in coming}
                self._fill_all(coming, held)
                if verified and self._drop_altered({name: held[name] for name in held.keys() - fetched}):
                    until = time.monotonic() + self._patience_s  # it has waited for nobody
                    continue
                kept = {part: self._folder / want.file.sha256 for part, want in wanted.items()}
                return {part: Cached(path, os.dup(held[path.name])) for part, path in kept.items()}
        raise StoreUnavailable("The cache of this worker is full of files that are in use. Try again later.")

    def _reserved(self, wanted: Mapping[str, Wanted], held: dict[str, int]) -> list[Wanted] | None:
        """Those of the files that are still to be fetched, with room made for them; the others are in `held`.

        None, after a moment, if there is no room yet or if another process is fetching one of them.
        """
        coming: list[Wanted] = []
        with self._alone():
            for want in {want.file.sha256: want for want in wanted.values()}.values():
                descriptor = self._opened(self._folder / want.file.sha256, want.file.size_bytes)
                if descriptor is None:
                    coming.append(want)
                else:
                    held[want.file.sha256] = descriptor
            others = any(_is_locked(self._part(want.file.sha256)) for want in coming)
            if not others and self._make_room(sum(want.file.size_bytes for want in coming)):
                for want in coming:
                    held[want.file.sha256] = descriptor = os.open(
                        self._part(want.file.sha256), os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600
                    )
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._allocate(coming, held)
                return coming
        while held:
            os.close(held.popitem()[1])
        time.sleep(LOOK_INTERVAL_S)
        return None

    def _allocate(self, coming: list[Wanted], held: Mapping[str, int]) -> None:
        """Take the room that was made on the disk itself, all of it or none."""
        try:
            for want in coming:
                os.posix_fallocate(held[want.file.sha256], 0, want.file.size_bytes)
        except OSError:
            for want in coming:
                self._part(want.file.sha256).unlink(missing_ok=True)
            raise

    def _drop_altered(self, held: Mapping[str, int]) -> bool:
        """Remove those whose content is not what their name says; whether there was one.

        Who uses one goes on with what he has verified himself.
        """
        found = False
        for sha256, descriptor in held.items():
            with _stored(), open(os.dup(descriptor), "rb") as file:
                file.seek(0)
                if hashlib.file_digest(file, "sha256").hexdigest() == sha256:
                    continue
            found = True
            path = self._folder / sha256
            log.warning("cached_file_altered", sha256=sha256)
            with _stored(), self._alone(), suppress(FileNotFoundError):
                if os.path.samestat(path.stat(), os.fstat(descriptor)):  # else another has dropped it already
                    path.unlink()
        return found

    def _opened(self, path: Path, size_bytes: int) -> int | None:
        """A file that is there, in use from here on, as the latest used."""
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            return None
        if os.fstat(descriptor).st_size != size_bytes:
            os.close(descriptor)
            path.unlink(missing_ok=True)
            return None
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        os.utime(descriptor)
        return descriptor

    def _make_room(self, wanted_bytes: int) -> bool:
        """Remove what nobody uses, least recently used first, until so much fits; False if it does not."""
        found = []
        for path in self._folder.iterdir():
            with suppress(FileNotFoundError):
                if path.name != LOCK:
                    found.append((path.stat().st_mtime_ns, path.stat().st_size, path))
        excess = sum(size for _, size, _ in found) + wanted_bytes - self._limit_bytes
        # What a dead process was fetching goes in any case: it will never be a file.
        for _, size, path in sorted(found, key=lambda each: (each[2].suffix != PART, each[0])):
            if (excess > 0 or path.suffix == PART) and not _is_locked(path):
                path.unlink(missing_ok=True)
                excess -= size
        return excess <= 0

    def _fill_all(self, coming: list[Wanted], held: Mapping[str, int]) -> None:
        """Fetch files, each of which has its name when it is complete; of one that is not, nothing stays."""
        left = list(coming)
        try:
            while left:
                sha256 = left[0].file.sha256
                _fill(left[0], held[sha256])
                with _stored():
                    os.fsync(held[sha256])  # the name promises the content, whatever happens to this machine
                with _stored(), self._alone():
                    os.rename(self._part(sha256), self._folder / sha256)
                    fcntl.flock(held[sha256], fcntl.LOCK_SH)
                left.pop(0)
        finally:
            for want in left:
                self._part(want.file.sha256).unlink(missing_ok=True)

    def _part(self, sha256: str) -> Path:
        return self._folder / f"{sha256}{PART}"

    @contextmanager
    def _alone(self) -> Iterator[None]:
        descriptor = os.open(self._folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


@contextmanager
def _held() -> Iterator[dict[str, int]]:
    """Descriptors by digest, closed at the end: what is to stay in use is duplicated."""
    held: dict[str, int] = {}
    try:
        yield held
    finally:
        for descriptor in held.values():
            os.close(descriptor)


def _fill(want: Wanted, descriptor: int) -> None:
    """Write the content of a file, verified."""
    digest, size = hashlib.sha256(), 0
    for piece in want.pieces():
        digest.update(piece)
        with _stored():
            _write_at(descriptor, piece, size)
        size += len(piece)
    if size != want.file.size_bytes or digest.hexdigest() != want.file.sha256:
        raise altered(want.part)


def _write_at(descriptor: int, piece: bytes, offset: int) -> None:
    """Write all of a piece, which one call need not do."""
    left = memoryview(piece)
    while left:
        written = os.pwrite(descriptor, left, offset)
        left, offset = left[written:], offset + written


def _is_locked(path: Path) -> bool:
    """Whether somebody uses or fetches a file."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


@contextmanager
def _stored() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreUnavailable("The cache of this worker cannot be written: its disk may be full.") from error
