"""Files of datasets and label sets on a bucket, as they are used: from the cache on local disk."""

from __future__ import annotations

import mmap
import os
import weakref
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.analyses.dataset import Dataset, LabelSet, StoredArray, StoredFile
from service.analyses.ports import Features, Labels
from service.storage.bucket import Bucket
from service.storage.bucket_layout import BucketLayout
from service.storage.cache import Cached, FileCache, Wanted
from service.storage.input_files import map_features, read_group_ids, read_labels


class BucketFiles:
    """The files of one tenant."""

    def __init__(self, bucket: Bucket, layout: BucketLayout, cache: FileCache) -> None:
        self._bucket, self._layout, self._cache = bucket, layout, cache

    def inputs(self, dataset: Dataset, label_set: LabelSet) -> tuple[Features, Labels]:
        """Features and labels, fetched together and every file verified, those that were in the cache too."""
        folder, beside = self._layout.dataset(dataset.id), self._layout.label_set(label_set)
        wanted = self._wanted(folder, dataset.files) | self._wanted(beside, label_set.files)
        cached = self._cache.fetch(wanted, verified=True)
        with _let_go(cached):
            labels = read_labels(**_paths({part: cached[part] for part in label_set.files}))
            return _mapped({part: cached[part] for part in dataset.inputs}), labels

    def features(self, dataset: Dataset) -> Features:
        """The features of a dataset; their files stay in the cache as long as the arrays live."""
        cached = self._cache.fetch(self._wanted(self._layout.dataset(dataset.id), dataset.inputs))
        with _let_go(cached):
            return _mapped(cached)

    def features_with(self, dataset: Dataset, here: Mapping[str, Path]) -> Features:
        """The features of a dataset of which some parts are local still; x and y that are not have no values."""
        kept = {"x": dataset.x, "y": dataset.y}
        arrays = {part: _outline(file) for part, file in kept.items() if part not in here and file}
        read = {part: file for part, file in dataset.inputs.items() if part not in here and part not in arrays}
        cached = self._cache.fetch(self._wanted(self._layout.dataset(dataset.id), read))
        with _let_go(cached):
            return map_features(**{**here, **_paths(cached), **arrays})

    @contextmanager
    def local(self, dataset: Dataset, parts: Collection[str]) -> Iterator[dict[str, Path]]:
        """Copies of some of a dataset's files, as long as the context lasts."""
        files = {part: file for part, file in dataset.files.items() if part in parts}
        cached = self._cache.fetch(self._wanted(self._layout.dataset(dataset.id), files))
        with _let_go(cached):
            yield _paths(cached)

    def groups(self, dataset: Dataset) -> NDArray[Any] | None:
        """The group ids of a dataset, None without groups."""
        if dataset.groups is None:
            return None
        cached = self._cache.fetch(self._wanted(self._layout.dataset(dataset.id), {"groups": dataset.groups}))
        with _let_go(cached):
            return read_group_ids(cached["groups"].path)

    def labels(self, label_set: LabelSet) -> Labels:
        """The labels of a label set."""
        cached = self._cache.fetch(self._wanted(self._layout.label_set(label_set), label_set.files))
        with _let_go(cached):
            return read_labels(**_paths(cached))

    def _wanted(self, folder: str, files: Mapping[str, StoredFile]) -> dict[str, Wanted]:
        return {part: self._from_bucket(part, f"{folder}/{file.name}", file) for part, file in files.items()}

    def _from_bucket(self, part: str, key: str, file: StoredFile) -> Wanted:
        return Wanted(part, file, lambda: self._bucket.pieces(key, file.size_bytes))


def _paths(cached: Mapping[str, Cached]) -> dict[str, Any]:
    return {part: file.path for part, file in cached.items()}


@contextmanager
def _let_go(cached: Mapping[str, Cached]) -> Iterator[None]:
    try:
        yield
    finally:
        for file in cached.values():
            file.let_go()


def _mapped(cached: Mapping[str, Cached]) -> Features:
    features = map_features(**_paths(cached))
    _keep_with(features.x, cached["x"])
    _keep_with(features.y, cached["y"])
    return features


def _keep_with(array: NDArray[Any], cached: Cached) -> None:
    """Keep a file in use as long as the array that is mapped from it, or any part of that, lives."""
    if isinstance(array.base, mmap.mmap):
        weakref.finalize(array.base, os.close, os.dup(cached.descriptor))


def _outline(file: StoredArray) -> NDArray[Any]:
    """An array of this shape and type, and of next to no memory: all that is asked of it is what it is."""
    return np.broadcast_to(np.zeros((), dtype=file.dtype), file.shape)
