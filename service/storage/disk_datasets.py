"""Datasets and label sets on a local directory.

A dataset takes its label sets with it when it goes.  Whoever uses one holds its lock with others, whoever changes or
removes it alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

from numpy.typing import NDArray

from service.analyses.dataset import ID_COLUMN, Dataset, LabelSet
from service.analyses.errors import DatasetInUse, DatasetNotFound
from service.analyses.identity import Kind
from service.analyses.ports import Features, Labels
from service.storage.disk_files import check_there, locked, read_each, read_record
from service.storage.disk_keeping import DiskKeeper
from service.storage.disk_layout import Layout, ids_in
from service.storage.disk_receiving import Bounds
from service.storage.input_files import map_features, read_group_ids, read_labels
from service.storage.records import DATASET, LABEL_SET
from service.storage.staging import StagedFiles, staging
from service.storage.verification import verify_files


class DiskDatasets:
    """`service.analyses.ports.DatasetStore` on disk."""

    def __init__(self, layout: Layout, bounds: Bounds) -> None:
        self._layout = layout
        self._bounds = bounds

    def stage(self, id_column: str = ID_COLUMN) -> AbstractContextManager[StagedFiles]:
        """A place for files that are being received; what is not kept is removed."""
        return staging(self._layout.tmp, self._bounds, DiskKeeper(self._layout), id_column)

    def find(self, dataset_id: str) -> Dataset | None:
        """A dataset, or None for an unknown one."""
        return read_record(self._layout.datasets / dataset_id / "dataset.json", DATASET)

    def find_many(self, dataset_ids: Sequence[str]) -> Sequence[Dataset | None]:
        """`find` for many."""
        return read_each(self.find, dataset_ids, lambda unreadable: None)

    def ids(self, before: str | None = None, at_most: int | None = None) -> Sequence[str]:
        """Ids of all datasets, newest first; only those older than `before`, and so many of them."""
        return ids_in(self._layout.datasets, Kind.DATASET, before)[:at_most]

    def features_of(self, dataset: Dataset) -> Features:
        """The features of a dataset."""
        folder = self._layout.datasets / dataset.id
        return map_features(**{part: folder / file.name for part, file in dataset.inputs.items()})

    def inputs_of(self, dataset: Dataset, label_set: LabelSet) -> tuple[Features, Labels]:
        """Features and labels, verified."""
        verify_files(self._layout.datasets / dataset.id, dataset.files)
        verify_files(self._layout.label_set(label_set), label_set.files)
        return self.features_of(dataset), self.labels_of(label_set)

    def groups_of(self, dataset: Dataset) -> NDArray[Any] | None:
        """The group ids of a dataset, None without groups."""
        if dataset.groups is None:
            return None
        return read_group_ids(self._layout.datasets / dataset.id / dataset.groups.name)

    @contextmanager
    def hold(self, dataset_id: str, *, alone: bool) -> Iterator[None]:
        """Keep a dataset from being removed or, alone, from being used.

        Raises DatasetNotFound; DatasetInUse if somebody else holds it for LOCK_PATIENCE_S.
        """
        folder = self._layout.datasets / dataset_id
        missing = DatasetNotFound("The dataset has been removed meanwhile. Send it again.")
        with ExitStack() as held:
            try:
                held.enter_context(locked(folder, alone=alone))
            except FileNotFoundError:
                raise missing from None
            except TimeoutError as error:
                message = "The dataset is being used or changed by another call. Try again."
                raise DatasetInUse(message) from error
            if not (folder / "dataset.json").exists():
                raise missing
            yield

    def remove(self, dataset_id: str) -> None:
        """Remove a dataset with its label sets.  Only while held alone, or before anybody knows of it."""
        label_set_ids = self.label_set_ids(dataset_id)
        self._layout.remove(self._layout.datasets / dataset_id)
        for label_set_id in label_set_ids:
            (self._layout.links / label_set_id).unlink(missing_ok=True)

    def find_label_set(self, label_set_id: str) -> LabelSet | None:
        """A label set, or None for an unknown one."""
        return read_record(self._layout.links / label_set_id / "label-set.json", LABEL_SET)

    def find_label_sets(self, label_set_ids: Sequence[str]) -> Sequence[LabelSet | None]:
        """`find_label_set` for many."""
        return read_each(self.find_label_set, label_set_ids, lambda unreadable: None)

    def label_set_ids(self, dataset_id: str, before: str | None = None, at_most: int | None = None) -> Sequence[str]:
        """Ids of a dataset's label sets, newest first."""
        folder = self._layout.label_sets_of(dataset_id)
        if not folder.is_dir():  # none has come yet
            check_there(self._layout.datasets)
            return []
        return ids_in(folder, Kind.LABEL_SET, before)[:at_most]

    def labels_of(self, label_set: LabelSet) -> Labels:
        """The labels of a label set."""
        folder = self._layout.label_set(label_set)
        return read_labels(**{part: folder / file.name for part, file in label_set.files.items()})

    def remove_label_set(self, label_set: LabelSet) -> None:
        """Remove a label set.  Only while its dataset is held alone."""
        self._layout.remove(self._layout.label_set(label_set))
        (self._layout.links / label_set.id).unlink(missing_ok=True)
