"""The array store on a local directory: the truth about every analysis.

    {data_dir}/tmp/                        received files, until they are an analysis
    {data_dir}/analyses/{id}/x.npy  y.npy  labels.npy|labels.csv
                             rows, groups, covariates (.npy|.csv), if they were sent
                             submission.json
                             report.json | failure.json      the outcome, written once
                             outcome.json                    when it ran, beside report.json

Files are fsynced before the rename that makes them an analysis, so that a 202 outlives a crash.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter

from service.analyses.analysis import Outcome, StoredFile, Submission
from service.analyses.errors import InvalidArrayFile, InvalidTable, LabelsTooLarge, StoreUnavailable
from service.analyses.ports import Inputs, Upload, UploadedFile
from service.storage.input_files import open_inputs
from service.storage.npy import MAGIC

COPY_BYTES = 1024 * 1024
NOT_STORED = "The upload could not be stored: the disk may be full. Try again later."
PROBE_BYTES = 64 * 1024  # a file system that is full still makes empty files
OUTCOME_FILES = ("report.json", "failure.json")
Record = TypeVar("Record")
SUBMISSION = TypeAdapter(Submission)
OUTCOME = TypeAdapter(Outcome)


@dataclass(frozen=True)
class StagedFiles:
    """Received files in a folder of their own under tmp/."""

    folder: Path
    target: Path
    stored: Mapping[str, StoredFile]

    def files(self) -> Mapping[str, StoredFile]:
        """Each part's stored file."""
        return self.stored

    def inputs(self) -> Inputs:
        """The received inputs."""
        return open_inputs(**{part: self.folder / file.name for part, file in self.stored.items()})

    def commit(self, submission: Submission) -> None:
        """Write the submission beside the files, and move both where analyses are.  Raises StoreUnavailable."""
        try:
            _write(self.folder / "submission.json", SUBMISSION.dump_json(submission, by_alias=True))
            _sync_folder(self.folder)
            os.rename(self.folder, self.target / submission.id)
            _sync_folder(self.target)
        except OSError as error:
            raise StoreUnavailable(NOT_STORED) from error


class DiskStore:
    """The store under one directory; `max_label_bytes` bounds every part that is read whole: all but x and y."""

    def __init__(self, data_dir: Path, max_label_bytes: int) -> None:
        self._staging = data_dir / "tmp"
        self._analyses = data_dir / "analyses"
        self._max_label_bytes = max_label_bytes

    def prepare(self) -> None:
        """Create the store's folders, readable by their owner alone."""
        for folder in (self._staging.parent, self._staging, self._analyses):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    @contextmanager
    def stage(self, upload: Upload) -> Iterator[StagedFiles]:
        """Receive the files of an upload; they are removed unless committed."""
        folder = self._staging / f"upload-{secrets.token_hex(8)}"
        try:
            try:
                folder.mkdir(mode=0o700)
                stored = {"x": self._receive(folder, "x", upload.x), "y": self._receive(folder, "y", upload.y)}
                tables = {
                    "labels": upload.labels,
                    "rows": upload.rows,
                    "groups": upload.groups,
                    "covariates": upload.covariates,
                }
                for part, file in tables.items():
                    if file is not None:
                        stored[part] = self._receive(folder, part, file, self._max_label_bytes)
            except OSError as error:
                raise StoreUnavailable(NOT_STORED) from error
            yield StagedFiles(folder, self._analyses, stored)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def submission(self, analysis_id: str) -> Submission | None:
        """What was submitted, or None for an unknown analysis."""
        return _read(self._analyses / analysis_id / "submission.json", SUBMISSION)

    def inputs(self, submission: Submission) -> Inputs:
        """The inputs of an analysis."""
        parts = {
            "x": submission.x,
            "y": submission.y,
            "labels": submission.labels,
            "rows": submission.rows,
            "groups": submission.groups,
            "covariates": submission.covariates,
        }
        folder = self._analyses / submission.id
        return open_inputs(**{part: folder / file.name for part, file in parts.items() if file})

    def outcome(self, analysis_id: str) -> Outcome | None:
        """How an analysis ended, or None if it has not."""
        folder = self._analyses / analysis_id
        if (folder / "report.json").exists():
            return _read(folder / "outcome.json", OUTCOME)
        return _read(folder / "failure.json", OUTCOME)

    def report(self, analysis_id: str) -> bytes:
        """The stored report of an analysis that has one, as JSON text."""
        return (self._analyses / analysis_id / "report.json").read_bytes()

    def settle(self, analysis_id: str, outcome: Outcome, report: str | None) -> bool:
        """Write the outcome once: under a lock on the folder, complete before it has its name.

        report.json or failure.json decides; what is written before it counts for nothing.
        """
        folder = self._analyses / analysis_id
        record = OUTCOME.dump_json(outcome)
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if any((folder / other).exists() for other in OUTCOME_FILES):
                return False
            if report is None:
                _replace(folder / "failure.json", record)
            else:
                _replace(folder / "outcome.json", record)
                _replace(folder / "report.json", report.encode())
            os.fsync(lock)
            return True
        finally:
            os.close(lock)

    def unsettled(self) -> Iterator[Submission]:
        """All analyses without an outcome, oldest first: ids begin with the time."""
        for folder in sorted(self._analyses.iterdir()):
            if not any((folder / name).exists() for name in OUTCOME_FILES):
                found = self.submission(folder.name)
                if found is not None:
                    yield found

    def sweep(self) -> None:
        """Remove received files that never became an analysis; only while nothing is being received."""
        shutil.rmtree(self._staging, ignore_errors=True)
        self._staging.mkdir(mode=0o700, exist_ok=True)

    def check(self) -> None:
        """Raise StoreUnavailable unless a file with some content can be written."""
        probe = self._staging / f"probe-{secrets.token_hex(8)}"
        try:
            _write(probe, bytes(PROBE_BYTES))
        except OSError as error:
            raise StoreUnavailable("The array store cannot be written. Tell the operator.") from error
        finally:
            probe.unlink(missing_ok=True)

    def _receive(self, folder: Path, part: str, upload: UploadedFile, limit: int | None = None) -> StoredFile:
        head = upload.file.read(COPY_BYTES)
        name = f"{part}.npy" if limit is None or head.startswith(MAGIC) else f"{part}.csv"
        digest, size = hashlib.sha256(), 0
        with (folder / name).open("wb") as file:
            while head:
                size += len(head)
                if limit is not None and size > limit:
                    raise LabelsTooLarge(f"{part} is larger than {limit} bytes. Send fewer rows or columns.", part=part)
                digest.update(head)
                file.write(head)
                head = upload.file.read(COPY_BYTES)
            file.flush()
            os.fsync(file.fileno())
        if size == 0:
            kind = InvalidArrayFile if limit is None else InvalidTable
            raise kind(f"{part} is empty. Send a file with data.", part=part)
        return StoredFile(name, size, digest.hexdigest())


def _read(path: Path, adapter: TypeAdapter[Record]) -> Record | None:
    try:
        return adapter.validate_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _replace(path: Path, content: bytes) -> None:
    draft = path.with_name(f".{path.name}")
    _write(draft, content)
    os.rename(draft, path)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
