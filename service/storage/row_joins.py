"""Files whose rows have ids are brought into one order: y into that of x, and what is beside them into that of both."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.analyses.dataset import (
    BESIDE,
    FEATURES,
    FileFormat,
    Join,
    LabelJoin,
    Received,
    StoredFile,
    Understood,
)
from service.analyses.format_errors import IdsDoNotMatch, IdsLacking
from service.analyses.upload_errors import EmptyTable
from service.estimation.inputs import MIN_PAIRS
from service.estimation.roles import MAX_TARGETS
from service.storage.disk_receiving import Place, name_file
from service.storage.formats.naming import listed, shown_all
from service.storage.formats.typed_tables import ColumnKind
from service.storage.formats.writing import COPY_BYTES, Ids, RowsFile, Target, check_ids, write_table
from service.storage.joining import Matches, match, shown_ids
from service.storage.npy import MAX_ARRAY_BYTES, is_npy, open_npy
from service.storage.tables import read_table

KINDS = {"T": ColumnKind.TEXT, "i": ColumnKind.INTEGER, "f": ColumnKind.REAL, "b": ColumnKind.BOOLEAN}
ENTRIES = {"groups": "group id", "covariates": "pair", "labels": "label"}
Columns = dict[str, NDArray[Any]]


def join_rows(
    place: Place, paths: Mapping[str, Path], files: Mapping[str, StoredFile]
) -> tuple[dict[str, StoredFile], Join]:
    """Join x and y on their ids, and give groups and covariates that have ids the order of the joined rows.

    Arguments: place, where what is rewritten goes; paths and files, of x, y, their ids, and what is beside them.

    Returns: the files that have been made, that of the joined ids among them; what became of the rows.
    Raises: InvalidIds of some kind; UploadError.
    """
    x_ids, y_ids = (open_npy(paths[f"{part}_ids"], part) for part in FEATURES)
    _check_together({"x": x_ids, "y": y_ids})
    found = match(x_ids, y_ids, ("x", "y"))
    join = Join(
        id_column=place.id_column,
        n_matched=len(found.first),
        n_only_x=len(found.only_first),
        n_only_y=len(found.only_second),
        only_x=shown_ids(x_ids, found.only_first),
        only_y=shown_ids(y_ids, found.only_second),
    )
    if join.n_matched < MIN_PAIRS:
        raise IdsDoNotMatch(
            f"Of {len(x_ids)} ids of x and {len(y_ids)} of y, {join.n_matched} are the same, and at least {MIN_PAIRS} "
            f"pairs are needed. Only in x: {listed(join.only_x) or 'none'}; only in y: "
            f"{listed(join.only_y) or 'none'}. Check that both name the same samples in the same way.",
            part="y",
        )
    made = {
        part: _gathered(place, part, paths[part], files[part], rows)
        for part, rows in zip(FEATURES, (found.first, found.second), strict=True)
    }
    joined = np.array(x_ids[found.first])
    made["ids"] = _saved(place, "ids", joined)
    for part in BESIDE:
        if part in paths and not is_npy(paths[part]):
            columns = read_table(paths[part], part, ENTRIES[part], MAX_TARGETS, place.id_column)
            if place.id_column in columns:
                made[part] = _in_order(place, part, columns, joined, files[part])
    return made, join


def match_labels(place: Place, path: Path, file: StoredFile, ids_path: Path) -> tuple[dict[str, StoredFile], LabelJoin]:
    """Find the rows of labels by their ids, which the table of labels has.

    Returns: labels without that column and without what belongs to no row, and their rows; what was left out.
    Raises: InvalidIds of some kind; UploadError.
    """
    columns = read_table(path, "labels", ENTRIES["labels"], MAX_TARGETS, place.id_column)
    ids = open_npy(ids_path, "labels")
    label_ids = _ids_of(_taken_out(columns, place, "labels"), place, "labels")
    _check_together({"labels": label_ids, "the dataset": ids})
    found = match(label_ids, ids, ("labels", "the dataset"))
    if not len(found.first):
        raise IdsDoNotMatch(
            f"None of the {len(label_ids)} ids of labels is one of the dataset's {len(ids)}. Check that both name the "
            "same samples in the same way.",
            part="labels",
        )
    join = LabelJoin(
        id_column=place.id_column,
        n_matched=len(found.first),
        n_left_out=len(found.only_first),
        left_out=shown_ids(label_ids, found.only_first),
    )
    made = {
        "labels": _table(place, "labels", columns, found.first, file),
        "rows": _saved(place, "rows", found.second),
    }
    return made, join


def _gathered(place: Place, part: str, path: Path, file: StoredFile, rows: NDArray[np.int64]) -> StoredFile:
    """The rows at some places, as a file of their own; all of them in order are the file as it is."""
    array = open_npy(path, part)
    target = _target(place, part)
    at_a_time = max(1, COPY_BYTES // (array.shape[1] * array.dtype.itemsize))
    with RowsFile(target, array.shape[1], array.dtype) as written:
        for start in range(0, len(rows), at_a_time):
            written.add(array[rows[start : start + at_a_time]])
        written.finish()
    return name_file(target.path, part, FileFormat.NPY, place, file.received)


def _in_order(place: Place, part: str, columns: Columns, joined: NDArray[Any], file: StoredFile) -> StoredFile:
    """A table with a line for every joined row, in their order."""
    ids = _ids_of(_taken_out(columns, place, part), place, part)
    _check_together({"x": joined, part: ids})
    found: Matches = match(joined, ids, ("x", part))
    if len(found.only_first):
        lacking = listed(shown_ids(joined, found.only_first))
        raise IdsLacking(
            f"{part} lacks {len(found.only_first)} of the {len(joined)} ids that x and y have in common: {lacking}. "
            "Send a line for every pair.",
            part=part,
        )
    return _table(place, part, columns, found.second, file)


def _check_together(sides: Mapping[str, NDArray[Any]]) -> None:
    """Ids are compared at the length of the longest of both sides.  Raises TooManyIds."""
    longest_bytes = max(ids.dtype.itemsize for ids in sides.values())
    for part, ids in sides.items():
        check_ids(part, len(ids), longest_bytes)


def _taken_out(columns: Columns, place: Place, part: str) -> NDArray[Any]:
    ids = columns.pop(place.id_column)
    if not columns:
        raise EmptyTable(
            f"{part} has no column but {place.id_column}, that of the ids. Send the values too.", part=part
        )
    return ids


def _ids_of(column: NDArray[Any], place: Place, part: str) -> NDArray[Any]:
    ids = Ids(part, place.id_column)
    if np.ma.getmaskarray(column).any():
        ids.add([None])
    ids.add(np.ma.getdata(column))
    return ids.gathered()


def _table(place: Place, part: str, columns: Columns, rows: NDArray[np.int64], file: StoredFile) -> StoredFile:
    target = _target(place, part)
    write_table(target, {name: (KINDS[column.dtype.kind], column[rows].tolist()) for name, column in columns.items()})
    n_rows = len(next(iter(columns.values()))) if columns else 0
    understood = Understood(
        format=FileFormat.CSV,
        n_rows=n_rows,
        taken=shown_all(list(columns)),
        n_taken=len(columns),
    )
    received = file.received or Received(file.size_bytes, file.sha256, understood)
    received = replace(received, understood=replace(received.understood, id_column=place.id_column))
    return name_file(target.path, part, FileFormat.CSV, place, received)


def _saved(place: Place, part: str, values: NDArray[Any]) -> StoredFile:
    target = _target(place, part)
    with target.path.open("wb") as file:
        np.save(file, values, allow_pickle=False)
    return name_file(target.path, part, FileFormat.NPY, place)


def _target(place: Place, part: str) -> Target:
    path = place.folder / f"{part}-{secrets.token_hex(4)}.joined"
    return Target(part, path, path.with_suffix(".ids"), MAX_ARRAY_BYTES)
