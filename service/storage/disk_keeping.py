"""Received files become a dataset, or part of one, on a local directory: renamed, complete before they have names."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from service.analyses.dataset import STORED_PARTS, Dataset, LabelSet
from service.analyses.ports import Features
from service.storage.disk_files import replace_file, stored, sync_folder, write_file
from service.storage.disk_layout import LABEL_SETS, Layout
from service.storage.input_files import map_features
from service.storage.records import DATASET, LABEL_SET
from service.storage.staging import LABEL_PARTS, Received


class DiskKeeper:
    """`service.storage.staging.Keeper` on disk."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def keep(self, received: Received, dataset: Dataset, label_set: LabelSet | None) -> None:
        """Make the files a new dataset, complete before it has its name, and held until the staging ends."""
        with stored(), ExitStack() as undone:
            if label_set is not None:
                _set_apart(received, received.folder / LABEL_SETS / label_set.id, label_set)
                undone.callback(self._layout.unlink, label_set)
                self._layout.link(label_set)
            write_file(received.folder / "dataset.json", DATASET.dump_json(dataset))
            sync_folder(received.folder)
            os.rename(received.folder, self._layout.datasets / dataset.id)
            undone.pop_all()  # it is known from here on
            sync_folder(self._layout.datasets)

    def bring(self, received: Received, dataset_id: str) -> None:
        """Nothing: what is on the same disk is there in no time."""

    def add_parts(self, received: Received, dataset: Dataset) -> None:
        """Put files where the dataset is, and its new record in place of the old."""
        folder = self._layout.datasets / dataset.id
        named = {file.name for file in dataset.files.values()}
        with stored():
            for part, file in received.files.items():
                os.rename(received.path(part), folder / file.name)
            replace_file(folder / "dataset.json", DATASET.dump_json(dataset))
            sync_folder(folder)
            for part in STORED_PARTS:
                for other in folder.glob(f"{part}-*"):
                    if other.name not in named:
                        other.unlink()

    @contextmanager
    def kept(self, dataset: Dataset, parts: Collection[str]) -> Iterator[Mapping[str, Path]]:
        """Where files of a dataset are."""
        folder = self._layout.datasets / dataset.id
        yield {part: folder / file.name for part, file in dataset.files.items() if part in parts}

    def add_label_set(self, received: Received, label_set: LabelSet) -> None:
        """Make the files a label set of a dataset, complete before it has its name."""
        draft = received.folder / label_set.id
        target = self._layout.label_sets_of(label_set.dataset_id)
        with stored():
            _set_apart(received, draft, label_set)
            target.mkdir(mode=0o700, exist_ok=True)
            with ExitStack() as undone:
                undone.callback(self._layout.unlink, label_set)
                self._layout.link(label_set)
                os.rename(draft, target / label_set.id)
                undone.pop_all()
            sync_folder(target)
            sync_folder(target.parent)

    def features_with(self, received: Received, dataset: Dataset) -> Features:
        """The features of a dataset of which some parts are staged still."""
        kept = self._layout.datasets / dataset.id
        return map_features(
            **{
                part: received.path(part) if part in received.files else kept / file.name
                for part, file in dataset.inputs.items()
            }
        )

    def end(self) -> None:
        """Nothing: the folder of the staging goes with what is in it."""


def _set_apart(received: Received, folder: Path, label_set: LabelSet) -> None:
    """Move the parts of a label set to a folder of their own, with its record."""
    folder.mkdir(mode=0o700, parents=True)
    for part in LABEL_PARTS:
        if part in received.files:
            os.rename(received.path(part), folder / received.files[part].name)
    write_file(folder / "label-set.json", LABEL_SET.dump_json(label_set))
    sync_folder(folder)
    sync_folder(folder.parent)
