"""Datasets and label sets on a bucket.

A label set is there when its own record is and that of its dataset, so that all of them go with the dataset, in the
moment in which its record goes.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import structlog
from numpy.typing import NDArray

from service.analyses.dataset import ID_COLUMN, Dataset, LabelSet
from service.analyses.errors import DatasetInUse, DatasetNotFound, StoreUnavailable
from service.analyses.identity import Kind, is_id
from service.analyses.ports import Features, Labels
from service.storage.bucket import Bucket
from service.storage.bucket_files import BucketFiles
from service.storage.bucket_keeping import BucketKeeper
from service.storage.bucket_layout import DATASET_RECORD, LABEL_SETS, BucketLayout
from service.storage.bucket_listing import newest_first
from service.storage.bucket_records import REMOVED, DatasetRecords
from service.storage.disk_receiving import Bounds
from service.storage.records import LABEL_SET, decode_record
from service.storage.staging import StagedFiles, staging

log = structlog.get_logger("phasegate.store")


class BucketDatasets:
    """`service.analyses.ports.DatasetStore` on a bucket; files are received in the local folder `tmp`."""

    def __init__(
        self,
        bucket: Bucket,
        layout: BucketLayout,
        records: DatasetRecords,
        files: BucketFiles,
        tmp: Path,
        bounds: Bounds,
    ) -> None:
        self._bucket, self._layout, self._records, self._files = bucket, layout, records, files
        self._tmp, self._bounds = tmp, bounds

    def stage(self, id_column: str = ID_COLUMN) -> AbstractContextManager[StagedFiles]:
        """A place for files that are being received; what is not kept is removed."""
        keeper = BucketKeeper(self._bucket, self._layout, self._records, self._files)
        return staging(self._tmp, self._bounds, keeper, id_column, f"-{secrets.token_hex(4)}")

    def find(self, dataset_id: str) -> Dataset | None:
        """A dataset, or None for an unknown one."""
        held = self._records.find(dataset_id)
        return held.entry.dataset if held else None

    def find_many(self, dataset_ids: Sequence[str]) -> Sequence[Dataset | None]:
        """`find` for many, some at a time."""
        return self._bucket.at_once(self.find, dataset_ids)

    def ids(self, before: str | None = None, at_most: int | None = None) -> Sequence[str]:
        """Ids of all datasets, newest first; only those older than `before`, and so many of them."""
        return newest_first(self._bucket, self._layout.datasets, Kind.DATASET, DATASET_RECORD, before, at_most)

    def features_of(self, dataset: Dataset) -> Features:
        """The features of a dataset, from the cache."""
        return self._files.features(dataset)

    def inputs_of(self, dataset: Dataset, label_set: LabelSet) -> tuple[Features, Labels]:
        """Features and labels, from the cache, verified."""
        return self._files.inputs(dataset, label_set)

    def groups_of(self, dataset: Dataset) -> NDArray[Any] | None:
        """The group ids of a dataset, None without groups."""
        return self._files.groups(dataset)

    @contextmanager
    def hold(self, dataset_id: str, *, alone: bool) -> Iterator[None]:
        """Use a dataset or, alone, change or remove it: see `bucket_records`.  Raises DatasetNotFound.

        Who uses it needs nothing for that: what he adds is confirmed when it is written.
        """
        if alone:
            with self._records.claimed(dataset_id):
                yield
        elif self._records.find(dataset_id) is None:
            raise DatasetNotFound("The dataset has been removed meanwhile. Send it again.")
        else:
            yield

    def remove(self, dataset_id: str) -> None:
        """Remove a dataset with its label sets, unless it has been used since it was claimed."""
        if self._records.commit(dataset_id, lambda entry: REMOVED):
            try:
                self._clear(dataset_id)
            except StoreUnavailable:
                log.warning("objects_left", dataset_id=dataset_id)  # nobody sees them, and the sweep goes on

    def finish_removal(self, dataset_id: str) -> None:
        """Remove what is left of a dataset whose record says that it is removed."""
        if self._records.is_removed(dataset_id):
            self._clear(dataset_id)

    def _clear(self, dataset_id: str) -> None:
        """Remove everything of a dataset, its record last."""
        folder = self._layout.dataset(dataset_id)
        record = self._layout.dataset_record(dataset_id)
        keys = [item.key for item in self._bucket.listed(folder) if item.key != record]
        places = {key.removeprefix(f"{folder}/{LABEL_SETS}/").partition("/")[0] for key in keys}
        records = [self._layout.label_set_record(name) for name in places if is_id(name, Kind.LABEL_SET)]
        self._bucket.remove([*records, *keys])
        self._bucket.remove([record])

    def find_label_set(self, label_set_id: str) -> LabelSet | None:
        """A label set, or None for an unknown one."""
        content = self._bucket.read(self._layout.label_set_record(label_set_id))
        found = None if content is None else decode_record(content, LABEL_SET, f"{LABEL_SETS}/{label_set_id}.json")
        held = self._records.find(found.dataset_id) if found else None
        return found if held is not None and label_set_id not in held.entry.removed_label_sets else None

    def is_orphan(self, label_set_id: str) -> bool:
        """Whether there is the record of a label set and none of its dataset."""
        content = self._bucket.read(self._layout.label_set_record(label_set_id))
        found = None if content is None else decode_record(content, LABEL_SET, f"{LABEL_SETS}/{label_set_id}.json")
        return found is not None and not self._bucket.exists(self._layout.dataset_record(found.dataset_id))

    def find_label_sets(self, label_set_ids: Sequence[str]) -> Sequence[LabelSet | None]:
        """`find_label_set` for many, some at a time."""
        return self._bucket.at_once(self.find_label_set, label_set_ids)

    def label_set_ids(self, dataset_id: str, before: str | None = None, at_most: int | None = None) -> Sequence[str]:
        """Ids of a dataset's label sets, newest first; some may be about to come or to go."""
        names = sorted(self._bucket.folders(self._layout.label_sets_of(dataset_id)), reverse=True)
        found = [name for name in names if is_id(name, Kind.LABEL_SET) and (before is None or name < before)]
        return found[:at_most]

    def labels_of(self, label_set: LabelSet) -> Labels:
        """The labels of a label set, from the cache."""
        return self._files.labels(label_set)

    def remove_label_set(self, label_set: LabelSet) -> None:
        """Remove a label set, unless its dataset has been used since it was claimed."""
        gone = label_set.id
        if not self._records.commit(
            label_set.dataset_id,
            lambda entry: replace(entry, removed_label_sets=(*entry.removed_label_sets, gone)),
        ):
            return
        # It is gone.  What is left of it goes with the next change of the dataset's record, or with the dataset.
        files = [f"{self._layout.label_set(label_set)}/{file.name}" for file in label_set.files.values()]
        try:
            self._bucket.remove([self._layout.label_set_record(gone), *files])
            self._records.commit(label_set.dataset_id, lambda entry: entry)
        except (StoreUnavailable, DatasetInUse):
            log.info("objects_left", label_set_id=gone)
