"""Where a store keeps what it has: one suite runs over every store, and looks at what is left through this."""

from __future__ import annotations

import errno
import shutil
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Protocol

import pytest

from service.analyses.analysis import Estimation
from service.analyses.errors import StoreUnavailable
from service.analyses.ports import Stores
from service.storage import disk_analyses
from service.storage.bucket import Bucket
from service.storage.bucket_address import BucketAddress
from service.storage.bucket_layout import BucketLayout
from service.storage.bucket_records import PATIENCE_S, DatasetRecords
from service.storage.bucket_stores import BucketStores
from service.storage.disk import DiskStores


class Place(Protocol):
    """A place with nothing in it at first."""

    def open(self, host: str = "host") -> Stores:
        """Its stores, as a process on some host opens them."""

    def contents(self) -> list[str]:
        """Names of everything in it, what is being received included."""

    def read_part(self, subject: Estimation, part: str) -> bytes:
        """The stored bytes of a part."""

    def write_part(self, subject: Estimation, part: str, content: bytes) -> None:
        """Other bytes in place of those of a part, behind the store's back."""

    def remove_part(self, subject: Estimation, part: str) -> None:
        """Lose a part, behind the store's back."""

    def write_record(self, name: str, an_id: str, content: bytes) -> None:
        """Other bytes for a `dataset`, a `submission`, the `outcome` of an analysis with a report, or that `report`."""

    def overwrite(self, named: str, content: bytes) -> None:
        """Other bytes in everything that has this in its name, behind the store's back."""

    def take_away(self, patched: pytest.MonkeyPatch) -> None:
        """From here on nothing can be written."""

    def break_last_step(self, patched: pytest.MonkeyPatch) -> None:
        """From here on a submission is written, and the call that adds it fails all the same."""

    def break_index(self, patched: pytest.MonkeyPatch) -> None:
        """From here on nothing can be written that leads to a report."""


@dataclass(frozen=True)
class DiskPlace:
    """A data directory."""

    folder: Path
    max_label_bytes: int

    def open(self, host: str = "host") -> DiskStores:
        stores = DiskStores(self.folder, self.max_label_bytes)
        stores.prepare()
        return stores

    def contents(self) -> list[str]:
        files = (path for path in self.folder.rglob("*") if path.is_file() or path.is_symlink())
        return sorted(str(path.relative_to(self.folder)) for path in files if path.name != "lock")

    def read_part(self, subject: Estimation, part: str) -> bytes:
        return self._path(subject, part).read_bytes()

    def write_part(self, subject: Estimation, part: str, content: bytes) -> None:
        self._path(subject, part).write_bytes(content)

    def remove_part(self, subject: Estimation, part: str) -> None:
        self._path(subject, part).unlink()

    def write_record(self, name: str, an_id: str, content: bytes) -> None:
        folder = "datasets" if name == "dataset" else "analyses"
        (self.folder / folder / an_id / f"{name}.json").write_bytes(content)

    def overwrite(self, named: str, content: bytes) -> None:
        for name in self.contents():
            if named in name:
                (self.folder / name).write_bytes(content)

    def take_away(self, patched: pytest.MonkeyPatch) -> None:
        def full(*arguments: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        patched.setattr("os.fsync", full)

    def break_last_step(self, patched: pytest.MonkeyPatch) -> None:
        def failing(folder: Path) -> None:
            if folder.name == "analyses":
                raise OSError(errno.EIO, "Input/output error")

        patched.setattr(disk_analyses, "sync_folder", failing)

    def break_index(self, patched: pytest.MonkeyPatch) -> None:
        def full(*arguments: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        patched.setattr(disk_analyses, "_put_id", full)

    def _path(self, subject: Estimation, part: str) -> Path:
        folder = self.folder / "datasets" / subject.dataset.id
        if part in subject.label_set.files:
            return folder / "label-sets" / subject.label_set.id / subject.label_set.files[part].name
        return folder / subject.dataset.files[part].name


@dataclass(frozen=True)
class BucketPlace:
    """A prefix of a bucket, and a folder for the local directories of hosts."""

    address: BucketAddress
    folder: Path
    max_label_bytes: int
    cache_bytes: int = 100_000_000

    def open(
        self, host: str = "host", abandoned: timedelta = timedelta(hours=1), patience_s: float = PATIENCE_S
    ) -> BucketStores:
        stores = BucketStores(
            Bucket(self.address),
            self.folder / host,
            self.max_label_bytes,
            self.cache_bytes,
            abandoned=abandoned,
            sweep_interval_s=0.0,
            patience_s=patience_s,
        )
        stores.prepare()
        return stores

    @property
    def bucket(self) -> Bucket:
        return Bucket(self.address)

    def contents(self) -> list[str]:
        bucket = Bucket(replace(self.address, prefix=None))
        objects = [
            item.key.removeprefix(f"{self.address.prefix}/") for item in bucket.listed(self.address.prefix or "")
        ]
        received = [path for path in self.folder.glob("*/tmp/**/*") if path.is_file()]
        return sorted([*(key for key in objects if not key.startswith("probe/")), *map(str, received)])

    def read_part(self, subject: Estimation, part: str) -> bytes:
        return self.bucket.read(self._key(subject, part)) or b""

    def write_part(self, subject: Estimation, part: str, content: bytes) -> None:
        self.bucket.write(self._key(subject, part), content)
        self._forget()

    def remove_part(self, subject: Estimation, part: str) -> None:
        self.bucket.remove([self._key(subject, part)])
        self._forget()

    def write_record(self, name: str, an_id: str, content: bytes) -> None:
        layout = BucketLayout()
        if name == "report":
            (key,) = (item.key for item in self.bucket.listed(layout.analysis(an_id)) if "/report-" in item.key)
        else:
            records = {"dataset": layout.dataset_record, "submission": layout.submission, "outcome": layout.outcome}
            key = records[name](an_id)
        self.bucket.write(key, content)

    def overwrite(self, named: str, content: bytes) -> None:
        for name in self.contents():
            if named in name:
                self.bucket.write(name, content)

    def take_away(self, patched: pytest.MonkeyPatch) -> None:
        nowhere = Bucket(replace(self.address, endpoint="http://127.0.0.1:9"))._store
        for name in ("_store", "_store_for_files"):
            patched.setattr(Bucket, name, property(lambda bucket: nowhere))

    def break_last_step(self, patched: pytest.MonkeyPatch) -> None:
        def away(*arguments: object) -> None:
            raise StoreUnavailable("The array store cannot be reached. Try again later.")

        patched.setattr(DatasetRecords, "confirm", away)

    def break_index(self, patched: pytest.MonkeyPatch) -> None:
        write = Bucket.write

        def away(bucket: Bucket, key: str, content: bytes) -> None:
            if key.startswith(BucketLayout().reports):
                raise StoreUnavailable("The array store cannot be reached. Try again later.")
            write(bucket, key, content)

        patched.setattr(Bucket, "write", away)

    def _key(self, subject: Estimation, part: str) -> str:
        if part in subject.label_set.files:
            return f"{BucketLayout().label_set(subject.label_set)}/{subject.label_set.files[part].name}"
        return f"{BucketLayout().dataset(subject.dataset.id)}/{subject.dataset.files[part].name}"

    def _forget(self) -> None:
        for cache in self.folder.glob("*/cache"):
            shutil.rmtree(cache)
            cache.mkdir()
