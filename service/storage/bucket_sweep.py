"""What processes that have died left on a bucket: objects that belong to nothing.

They are left alone for a time by the clock of the bucket, for whoever is writing them may be about to name them.
Listings show what may be wanting; before anything is removed, the record that it would belong to is asked for itself.
Uploads of large files that were not completed are no objects: a lifecycle rule of the bucket removes them.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from itertools import groupby

from service.analyses.dataset import Dataset
from service.analyses.identity import Kind, is_id
from service.storage.bucket import Bucket, Listed
from service.storage.bucket_datasets import BucketDatasets
from service.storage.bucket_layout import (
    DATASET_RECORD,
    LABEL_SETS,
    SUBMISSION_RECORD,
    UNSETTLED,
    BucketLayout,
    forwards,
    read_mark,
)

MIN_RECORD_BYTES = 200
"""The record of a dataset that is there is longer, that of one that is removed shorter."""


def sweep_tenant(bucket: Bucket, layout: BucketLayout, datasets: BucketDatasets, latest: datetime) -> None:
    """Remove what belongs to nothing and was written before `latest`."""
    label_set_ids = {
        item.key.rpartition("/")[2].removesuffix(".json"): item.modified_at for item in bucket.listed(layout.label_sets)
    }
    in_datasets: set[str] = set()
    for name, items in _by_folder(bucket.listed(layout.datasets), layout.datasets):
        if not is_id(forwards(name), Kind.DATASET):
            continue
        found = list(items)
        in_datasets.update(_label_set_of(item, f"{layout.datasets}/{name}") for item in found)
        _sweep_dataset(bucket, layout, datasets, forwards(name), found, set(label_set_ids), latest)
    for label_set_id, modified_at in label_set_ids.items():
        if label_set_id not in in_datasets and modified_at < latest and datasets.is_orphan(label_set_id):
            bucket.remove([layout.label_set_record(label_set_id)])
    for name, items in _by_folder(bucket.listed(layout.analyses), layout.analyses):
        found = list(items)
        is_there = any(item.key.endswith(f"/{name}/{SUBMISSION_RECORD}") for item in found)
        if not is_there and not bucket.exists(layout.submission(forwards(name))):
            bucket.remove([item.key for item in found if item.modified_at < latest])
    for item in list(bucket.listed(layout.reports)):
        analysis_id = forwards(item.key.partition(".")[2])
        if item.modified_at < latest and not bucket.exists(layout.submission(analysis_id)):
            bucket.remove([item.key])


def sweep_marks(bucket: Bucket, latest: datetime) -> None:
    """Remove the marks of analyses that have never come, or are gone."""
    for item in list(bucket.listed(UNSETTLED)):
        mark = read_mark(item.key)
        if (
            mark
            and item.modified_at < latest
            and not bucket.exists(BucketLayout(mark.tenant).submission(mark.analysis_id))
        ):
            bucket.remove([item.key])


def _sweep_dataset(
    bucket: Bucket,
    layout: BucketLayout,
    datasets: BucketDatasets,
    dataset_id: str,
    found: list[Listed],
    label_set_ids: set[str],
    latest: datetime,
) -> None:
    folder = layout.dataset(dataset_id)
    old = [item for item in found if item.modified_at < latest]
    if not any(item.key == f"{folder}/{DATASET_RECORD}" for item in found):
        if not bucket.exists(layout.dataset_record(dataset_id)):
            bucket.remove([item.key for item in old])
        return
    files = [item.key.removeprefix(f"{folder}/") for item in found]
    parts = [name.partition("-")[0] for name in files if "/" not in name and name != DATASET_RECORD]
    if any(item.key == f"{folder}/{DATASET_RECORD}" and item.size_bytes < MIN_RECORD_BYTES for item in old):
        datasets.finish_removal(dataset_id)
        return
    dataset: Dataset | None = None
    if len(parts) > len(set(parts)):  # a part that was brought and not added, or replaced and not removed
        dataset = datasets.find(dataset_id)
    named = {f"{folder}/{file.name}" for file in dataset.files.values()} if dataset else None
    for item in old:
        label_set_id = _label_set_of(item, folder)
        if label_set_id:
            is_loose = label_set_id not in label_set_ids and not bucket.exists(layout.label_set_record(label_set_id))
        else:
            is_loose = _is_loose(item, named)
        if is_loose:
            bucket.remove([item.key])


def _is_loose(item: Listed, named: set[str] | None) -> bool:
    """Whether a dataset names no such file; `named` is None where that was not looked at."""
    return named is not None and item.key not in named and not item.key.endswith(f"/{DATASET_RECORD}")


def _label_set_of(item: Listed, folder: str) -> str:
    place = item.key.removeprefix(f"{folder}/")
    return place.split("/")[1] if place.startswith(f"{LABEL_SETS}/") else ""


def _by_folder(items: Iterable[Listed], folder: str) -> Iterable[tuple[str, Iterable[Listed]]]:
    return groupby(items, lambda item: item.key.removeprefix(f"{folder}/").partition("/")[0])
