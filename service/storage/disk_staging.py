"""Files that are being received: in a folder of their own under tmp/, until they become a dataset or part of one."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from pydantic import TypeAdapter

from service.analyses.dataset import FEATURES, Dataset, LabelSet, StoredFile
from service.analyses.ports import Features, Labels, Source
from service.storage.disk_files import locked, replace_file, stored, sync_folder, write_file
from service.storage.disk_layout import LABEL_SETS, Layout
from service.storage.disk_receiving import COPY_BYTES, ReceivedFile
from service.storage.input_files import open_features, open_labels
from service.storage.npy import open_npy

DATASET = TypeAdapter(Dataset)
LABEL_SET = TypeAdapter(LabelSet)
LABEL_PARTS = ("labels", "rows")
STAGED = "upload-"  # how the names of folders begin in which files are being received


class StagedFiles:
    """Received files; `max_label_bytes` bounds every part that is read whole: all but x and y."""

    def __init__(self, layout: Layout, folder: Path, max_label_bytes: int, opened: ExitStack) -> None:
        self.files: dict[str, StoredFile] = {}
        self._layout, self._folder, self._max_label_bytes, self._opened = layout, folder, max_label_bytes, opened

    def begin(self, part: str) -> ReceivedFile:
        """Receive a part piece by piece."""
        limit = None if part in FEATURES else self._max_label_bytes
        received = ReceivedFile(self._folder, part, limit, self.files)
        self._opened.callback(received.close)
        return received

    def receive(self, part: str, source: Source) -> StoredFile:
        """Receive a part from a file.  What the client calls it counts for nothing."""
        received = self.begin(part)
        while chunk := source.read(COPY_BYTES):
            received.write(chunk)
        return received.finish()

    def array(self, part: str) -> NDArray[Any]:
        """The array of a received part."""
        return open_npy(self._path(part), part)

    def features(self) -> Features:
        """The received dataset."""
        return open_features(**{part: self._path(part) for part in self.files if part not in LABEL_PARTS})

    def features_with(self, dataset: Dataset) -> Features:
        """The features of a dataset of which some parts are staged still."""
        kept = self._layout.datasets / dataset.id
        return open_features(
            **{
                part: self._path(part) if part in self.files else kept / file.name
                for part, file in dataset.files.items()
            }
        )

    def labels(self) -> Labels:
        """The received label set."""
        return open_labels(self._path("labels"), self._path("rows") if "rows" in self.files else None)

    def keep(self, dataset: Dataset, label_set: LabelSet | None = None) -> None:
        """Make the files a new dataset, complete before it has its name, and held until the staging ends."""
        with stored():
            if label_set is not None:
                self._set_apart(self._folder / LABEL_SETS / label_set.id, label_set)
                self._layout.link(label_set)
            write_file(self._folder / "dataset.json", DATASET.dump_json(dataset))
            sync_folder(self._folder)
            os.rename(self._folder, self._layout.datasets / dataset.id)
            sync_folder(self._layout.datasets)

    def add_part(self, part: str, dataset: Dataset) -> None:
        """Put a part where the dataset is, and its new record in place of the old.  Only while held alone."""
        folder = self._layout.datasets / dataset.id
        with stored():
            os.rename(self._path(part), folder / self.files[part].name)
            replace_file(folder / "dataset.json", DATASET.dump_json(dataset))
            sync_folder(folder)
            for other in folder.glob(f"{part}-*"):
                if other.name != self.files[part].name:
                    other.unlink()

    def add_label_set(self, label_set: LabelSet) -> None:
        """Make the files a label set of a dataset, complete before it has its name.  Only while that is held."""
        draft = self._folder / label_set.id
        target = self._layout.label_sets_of(label_set.dataset_id)
        with stored():
            self._set_apart(draft, label_set)
            target.mkdir(mode=0o700, exist_ok=True)
            self._layout.link(label_set)
            os.rename(draft, target / label_set.id)
            sync_folder(target)
            sync_folder(target.parent)

    def _path(self, part: str) -> Path:
        return self._folder / self.files[part].name

    def _set_apart(self, folder: Path, label_set: LabelSet) -> None:
        """Move the parts of a label set to a folder of their own, with its record."""
        folder.mkdir(mode=0o700, parents=True)
        for part in LABEL_PARTS:
            if part in self.files:
                os.rename(self._path(part), folder / self.files[part].name)
        write_file(folder / "label-set.json", LABEL_SET.dump_json(label_set))
        sync_folder(folder)
        sync_folder(folder.parent)


@contextmanager
def staging(layout: Layout, max_label_bytes: int) -> Iterator[StagedFiles]:
    """A place for files that are being received, locked as long as they are; what is not kept is removed."""
    token = secrets.token_hex(8)
    draft, folder = layout.tmp / f"new-{token}", layout.tmp / f"{STAGED}{token}"
    try:
        with ExitStack() as opened:
            with stored():
                draft.mkdir(mode=0o700)
                # A folder has its name once it is locked: what is not locked under such a name belongs to nobody.
                opened.enter_context(locked(draft, alone=False))
                os.rename(draft, folder)
            yield StagedFiles(layout, folder, max_label_bytes, opened)
    finally:
        for left in (draft, folder):
            shutil.rmtree(left, ignore_errors=True)
