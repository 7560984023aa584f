"""Received files become a dataset, or part of one, on a bucket: files first, under names of their own, records last."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import structlog

from service.analyses.dataset import Dataset, LabelSet
from service.analyses.errors import DatasetInUse, DatasetNotFound, StoreUnavailable
from service.analyses.ports import Features
from service.storage.bucket import Bucket
from service.storage.bucket_files import BucketFiles
from service.storage.bucket_layout import BucketLayout
from service.storage.bucket_records import DatasetRecords
from service.storage.records import LABEL_SET
from service.storage.staging import LABEL_PARTS, Received

log = structlog.get_logger("phasegate.store")


class BucketKeeper:
    """`service.storage.staging.Keeper` on a bucket, for one staging.

    What is written before the record that names it belongs to nothing.  It is removed when the record is not written,
    but not when nobody knows whether it was: then it is left to the sweep.
    """

    def __init__(self, bucket: Bucket, layout: BucketLayout, records: DatasetRecords, files: BucketFiles) -> None:
        self._bucket, self._layout, self._records, self._files = bucket, layout, records, files
        self._loose: list[str] = []

    def keep(self, received: Received, dataset: Dataset, label_set: LabelSet | None) -> None:
        """Make the files a new dataset."""
        beside = LABEL_PARTS if label_set is not None else ()
        self._upload(received, self._layout.dataset(dataset.id), [p for p in received.files if p not in beside])
        if label_set is not None:
            self._write(received, label_set, is_first=True)
        self._loose.clear()
        self._records.create(dataset)

    def bring(self, received: Received, dataset_id: str) -> None:
        """Put files into the folder of a dataset, under names that its record does not know."""
        self._upload(received, self._layout.dataset(dataset_id), list(received.files))

    def add_parts(self, received: Received, dataset: Dataset) -> None:
        """Have the record name what was brought, and remove what it named before."""
        folder = self._layout.dataset(dataset.id)
        keys = {part: f"{folder}/{file.name}" for part, file in received.files.items()}
        self._upload(received, folder, [part for part, key in keys.items() if key not in self._loose])
        before = self._records.find(dataset.id)
        for key in keys.values():
            self._loose.remove(key)
        try:
            if not self._records.commit(dataset.id, lambda entry: replace(entry, dataset=dataset, claim=None)):
                raise DatasetNotFound("The dataset has been removed meanwhile. Open another.")
        except (DatasetInUse, DatasetNotFound):
            self._loose.extend(keys.values())
            raise
        named = {file.name for file in dataset.files.values()}
        old = before.entry.dataset.files if before and before.entry.dataset else {}
        self._loose.extend(f"{folder}/{file.name}" for file in old.values() if file.name not in named)
        self._loose.extend(key for part, key in keys.items() if received.files[part].name not in named)

    def add_label_set(self, received: Received, label_set: LabelSet) -> None:
        """Make the files a label set of a dataset, if that is there still."""
        self._write(received, label_set)
        try:
            self._records.confirm(label_set.dataset_id)
        except StoreUnavailable:
            self._loose.clear()
            raise
        self._loose.clear()

    def kept(self, dataset: Dataset, parts: Collection[str]) -> AbstractContextManager[Mapping[str, Path]]:
        """Where files of a dataset are, as long as the context lasts."""
        return self._files.local(dataset, parts)

    def features_with(self, received: Received, dataset: Dataset) -> Features:
        """The features of a dataset of which some parts are staged still."""
        here: dict[str, Path] = {part: received.path(part) for part in dataset.inputs if part in received.files}
        return self._files.features_with(dataset, here)

    def end(self) -> None:
        """Remove what belongs to nothing."""
        try:
            self._bucket.remove(self._loose)
        except StoreUnavailable:
            log.warning("objects_left", count=len(self._loose))

    def _write(self, received: Received, label_set: LabelSet, *, is_first: bool = False) -> None:
        parts = [part for part in LABEL_PARTS if part in received.files]
        self._upload(received, self._layout.label_set(label_set), parts)
        record = self._layout.label_set_record(label_set.id)
        content = LABEL_SET.dump_json(label_set)
        if is_first:  # of a new dataset: what is there is of an attempt of the same call that died before the dataset
            self._bucket.write(record, content)
        elif not self._bucket.create(record, content):
            raise StoreUnavailable("The label set is being stored by another call. Try again later.")
        self._loose.append(record)

    def _upload(self, received: Received, folder: str, parts: list[str]) -> None:
        for part in parts:
            key = f"{folder}/{received.files[part].name}"
            self._loose.append(key)
            self._bucket.upload(key, received.path(part))
