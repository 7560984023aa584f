"""Files that are being received: in a folder of their own on local disk, until they become a dataset or part of one."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from service.analyses.dataset import BESIDE, FEATURES, ID_COLUMN, Dataset, Join, LabelJoin, LabelSet, StoredFile
from service.analyses.ports import Features, Labels, Source
from service.storage.disk_files import LOCK, locked, locked_if_unused, stored
from service.storage.disk_receiving import COPY_BYTES, Bounds, Place, ReceivedFile
from service.storage.input_files import map_features, read_labels
from service.storage.joined_files import join_files, match_label_file
from service.storage.npy import open_npy
from service.storage.unjoined_ids import check_id_column_found, check_rows_after_join, refuse_unjoined

LABEL_PARTS = ("labels", "rows")
REMOVED = "removed-"  # how the names of those begin that are being removed
STAGED = "upload-"  # how the names of folders begin in which files are being received


class Received(Protocol):
    """Received files, for whoever keeps them."""

    @property
    def folder(self) -> Path:
        """Where they are."""

    @property
    def files(self) -> Mapping[str, StoredFile]:
        """The parts."""

    def path(self, part: str) -> Path:
        """The file of a part."""


class Keeper(Protocol):
    """What makes received files part of a store.  Calls raise StoreUnavailable."""

    def keep(self, received: Received, dataset: Dataset, label_set: LabelSet | None) -> None:
        """As `Staged.keep`."""

    def bring(self, received: Received, dataset_id: str) -> None:
        """As `Staged.bring`."""

    def add_parts(self, received: Received, dataset: Dataset) -> None:
        """As `Staged.add_parts`."""

    def kept(self, dataset: Dataset, parts: Collection[str]) -> AbstractContextManager[Mapping[str, Path]]:
        """Where files of a dataset are that is kept already, as long as the context lasts."""

    def add_label_set(self, received: Received, label_set: LabelSet) -> None:
        """As `Staged.add_label_set`."""

    def features_with(self, received: Received, dataset: Dataset) -> Features:
        """As `Staged.features_with`."""

    def end(self) -> None:
        """The staging is over: what was brought and not added goes."""


class StagedFiles:
    """`service.analyses.ports.Staged`: received files."""

    def __init__(self, place: Place, bounds: Bounds, keeper: Keeper, opened: ExitStack) -> None:
        self.files: dict[str, StoredFile] = {}
        self.folder = place.folder
        self._join: Join | None = None
        self._place, self._bounds, self._keeper, self._opened = place, bounds, keeper, opened

    def begin(self, part: str, media_type: str | None = None) -> ReceivedFile:
        """Receive a part piece by piece; it must be what `media_type` says, if that says anything."""
        received = ReceivedFile(self._place, part, self._bounds, self.files, media_type)
        self._opened.callback(received.close)
        return received

    def receive(self, part: str, source: Source, media_type: str | None = None) -> StoredFile:
        """Receive a part from a file.  What the client calls it counts for nothing."""
        received = self.begin(part, media_type)
        while chunk := source.read(COPY_BYTES):
            received.write(chunk)
        return received.finish()

    def path(self, part: str) -> Path:
        """The file of a received part."""
        return self.folder / self.files[part].name

    def array(self, part: str) -> NDArray[Any]:
        """The array of a received part."""
        return open_npy(self.path(part), part)

    def features(self) -> Features:
        """The received dataset."""
        return map_features(**{part: self.path(part) for part in self.files if part in (*FEATURES, *BESIDE)})

    def features_with(self, dataset: Dataset) -> Features:
        """The features of a dataset of which some parts are staged still."""
        return self._keeper.features_with(self, dataset)

    def labels(self) -> Labels:
        """The received label set."""
        return read_labels(self.path("labels"), self.path("rows") if "rows" in self.files else None)

    def keep(self, dataset: Dataset, label_set: LabelSet | None = None) -> None:
        """Make the files a new dataset, perhaps with a label set among them."""
        self._keeper.keep(self, dataset, label_set)

    def join(self, dataset: Dataset | None = None, *, is_id_named: bool = False) -> Join | None:
        """Join x and y on the ids of their rows, if both have ids; the files are those of the joined rows then."""
        held = dict(dataset.files) if dataset is not None else {}
        held = {part: file for part, file in held.items() if part.removesuffix("_ids") not in self.files} | self.files
        with_ids = [part for part in FEATURES if f"{part}_ids" in held]
        if is_id_named:
            check_id_column_found(self._place.id_column, with_ids)
        join = None
        here = {part: self.path(part) for part in self.files}
        is_joined = len(with_ids) == len(FEATURES)
        needed = held.keys() - here.keys() if is_joined else {part for part in BESIDE if part in held} - here.keys()
        with ExitStack() as opened:
            if dataset is not None and needed:
                here = {**opened.enter_context(self._keeper.kept(dataset, needed)), **here}
            if is_joined:
                made, join = join_files(self._place, here, held)
                self.files.update(made)
            else:
                beside = {part: here[part] for part in BESIDE if part in here}
                refuse_unjoined(beside, self._place.id_column, with_ids)
        for part in FEATURES:
            self.files.pop(f"{part}_ids", None)
        self._discard()
        self._join = join
        return join

    def match_labels(self, dataset: Dataset | None = None) -> LabelJoin | None:
        """Find the rows of the labels by ids, if the labels have ids and so have the rows of the dataset."""
        with ExitStack() as opened:
            path = self.path("ids") if "ids" in self.files else None
            if dataset is not None and dataset.ids is not None:
                path = opened.enter_context(self._keeper.kept(dataset, ["ids"]))["ids"]
            if path is None:
                refuse_unjoined({"labels": self.path("labels")}, self._place.id_column, self._sides_with_ids(dataset))
                return None
            found = match_label_file(
                self._place,
                self.path("labels"),
                self.files["labels"],
                path,
                has_rows="rows" in self.files,
            )
        if found is None:
            if "rows" in self.files:
                check_rows_after_join(self._join if dataset is None else dataset.join)
            return None
        self.files.update(found[0])
        self._discard()
        return found[1]

    def bring(self, dataset_id: str) -> None:
        """Bring what is staged to where a dataset is."""
        self._keeper.bring(self, dataset_id)

    def add_parts(self, dataset: Dataset) -> None:
        """Make what was brought the dataset's, and its new record the dataset's.  Only while held alone."""
        self._keeper.add_parts(self, dataset)

    def add_label_set(self, label_set: LabelSet) -> None:
        """Make the files a label set of a dataset.  Only while that is held."""
        self._keeper.add_label_set(self, label_set)

    def _sides_with_ids(self, dataset: Dataset | None) -> list[str]:
        held = self.files if dataset is None else dataset.files
        received = {part: held[part].received for part in FEATURES if part in held}
        return [part for part, each in received.items() if each is not None and each.understood.id_column is not None]

    def _discard(self) -> None:
        """Remove what has been replaced: the folder may become that of a dataset, as it is."""
        named = {file.name for file in self.files.values()}
        for path in self.folder.iterdir():
            if path.is_file() and path.name not in named and path.name != LOCK:
                path.unlink()


@contextmanager
def staging(
    tmp: Path, bounds: Bounds, keeper: Keeper, id_column: str = ID_COLUMN, suffix: str = ""
) -> Iterator[StagedFiles]:
    """A place for files that are being received, locked as long as they are; what is not kept is removed.

    Arguments: tmp, the folder for it; id_column, what the ids of rows are called; suffix, of the names of files, where
    names may not come twice.
    """
    token = secrets.token_hex(8)
    draft, folder = tmp / f"new-{token}", tmp / f"{STAGED}{token}"
    try:
        with ExitStack() as opened:
            with stored():
                draft.mkdir(mode=0o700)
                # A folder has its name once it is locked: what is not locked under such a name belongs to nobody.
                opened.enter_context(locked(draft, alone=False))
                os.rename(draft, folder)
            opened.callback(keeper.end)
            yield StagedFiles(Place(folder, suffix, id_column), bounds, keeper, opened)
    finally:
        for left in (draft, folder):
            shutil.rmtree(left, ignore_errors=True)


def sweep_staged(tmp: Path, latest: float) -> None:
    """Remove what processes that have died were receiving or removing.

    Files are somebody's while their folder is locked, and what is being removed is nobody's; everything else is left
    alone if it is of `latest` or younger.
    """
    for left in tmp.iterdir():
        with suppress(FileNotFoundError):
            if left.name.startswith(STAGED):
                with locked_if_unused(left) as unused:
                    if unused:
                        shutil.rmtree(left, ignore_errors=True)
            elif left.name.startswith(REMOVED) or left.stat().st_mtime < latest:
                shutil.rmtree(left, ignore_errors=True) if left.is_dir() else left.unlink()
