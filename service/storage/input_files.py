"""Inputs from files that a caller keeps, or that the store does: features mapped, everything else read.

The store's files are what `formats` has made of uploads: .npy, and tables also as CSV.  `open_features` and
`open_labels` take all that can be uploaded, and make the same of it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.analyses.dataset import BESIDE, FEATURES, ID_COLUMN, FileFormat, StoredFile, Understood
from service.analyses.ports import Features, Labels
from service.estimation.labels import named_columns
from service.estimation.roles import COVARIATES, LABELS, Role
from service.storage.disk_receiving import Place
from service.storage.formats.reading import converted
from service.storage.formats.recognition import recognise
from service.storage.joined_files import join_files, match_label_file
from service.storage.npy import MAX_ARRAY_BYTES, is_npy, open_npy
from service.storage.tables import read_columns, read_groups, read_rows
from service.storage.unjoined_ids import check_id_column_found, check_rows_after_join, refuse_unjoined

IDS = "ids.npy"


def open_features(
    x: Path, y: Path, groups: Path | None = None, covariates: Path | None = None, id_column: str | None = None
) -> Features:
    """Open x and y, and read groups and covariates, in any format that an upload may have, whatever their names.

    What is no .npy file is converted first, to one in a temporary folder that goes with the array.  If both have ids,
    in `id_column` (ID_COLUMN if that is None), they are joined on them, and their ids stand in the answer.

    Raises: UploadError; ReadersBusy.
    """
    sources = {"x": x, "y": y, "groups": groups, "covariates": covariates}
    with _opened(id_column) as place:
        files: dict[str, StoredFile] = {}
        paths: dict[str, Path] = {}
        understood: dict[str, Understood] = {}
        for part, source in sources.items():
            if source is not None:
                _read(source, part, place, paths, files, understood)
        with_ids = [part for part in FEATURES if f"{part}_ids" in paths]
        if id_column is not None:
            check_id_column_found(id_column, with_ids)
        join = None
        if len(with_ids) == len(FEATURES):
            made, join = join_files(place, paths, files)
            paths.update({part: place.folder / file.name for part, file in made.items()})
        else:
            refuse_unjoined({part: paths[part] for part in BESIDE if part in paths}, place.id_column, with_ids)
        found = map_features(**{part: path for part, path in paths.items() if part in sources})
        ids = open_npy(paths["ids"], "x") if join is not None else None
        return replace(found, ids=ids, join=join, understood=understood)


def open_labels(
    labels: Path, rows: Path | None = None, features: Features | None = None, id_column: str | None = None
) -> Labels:
    """Read labels and their rows, in any format that an upload may have.  Raises UploadError, ReadersBusy.

    Arguments: features, that the labels are for: if they were joined on ids, labels that have ids belong to the rows
    with these.
    """
    with _opened(id_column) as place:
        files: dict[str, StoredFile] = {}
        paths: dict[str, Path] = {}
        understood: dict[str, Understood] = {}
        for part, source in {"labels": labels, "rows": rows}.items():
            if source is not None:
                _read(source, part, place, paths, files, understood)
        ids = features.ids if features is not None else None
        join = None
        if features is None or ids is None:
            with_ids = [part for part, each in (features.understood if features else {}).items() if each.id_column]
            refuse_unjoined({"labels": paths["labels"]}, place.id_column, with_ids)
        else:
            np.save(place.folder / IDS, ids)
            found = match_label_file(
                place, paths["labels"], files["labels"], place.folder / IDS, has_rows=rows is not None
            )
            if found is not None:
                made, join = found
                paths.update({part: place.folder / file.name for part, file in made.items()})
            elif rows is not None:
                check_rows_after_join(features.join)
        return replace(read_labels(**paths), join=join, understood=understood)


def map_features(
    x: Path | NDArray[Any], y: Path | NDArray[Any], groups: Path | None = None, covariates: Path | None = None
) -> Features:
    """Map x and y (.npy), and read groups and covariates (.npy or CSV, whatever their names).  Raises UploadError.

    x and y may be open already.
    """
    return Features(
        x=open_npy(x, "x") if isinstance(x, Path) else x,
        y=open_npy(y, "y") if isinstance(y, Path) else y,
        groups=None if groups is None else read_group_ids(groups),
        covariates=None if covariates is None else _columns(covariates, COVARIATES),
    )


def read_group_ids(path: Path) -> NDArray[Any]:
    """Read group ids (.npy or CSV, whatever its name).  Raises UploadError."""
    return _one_column(path, "groups", read_groups)


def read_labels(labels: Path, rows: Path | None = None) -> Labels:
    """Read labels and their rows (.npy or CSV, whatever their names).  Raises UploadError."""
    return Labels(_columns(labels, LABELS), None if rows is None else _one_column(rows, "rows", read_rows))


@contextmanager
def _opened(id_column: str | None) -> Iterator[Place]:
    """A temporary folder for what is made of files; what is mapped from it lives on."""
    with tempfile.TemporaryDirectory(prefix="phasegate-") as folder:
        yield Place(Path(folder), "", id_column or ID_COLUMN)


def _read(
    source: Path,
    part: str,
    place: Place,
    paths: dict[str, Path],
    files: dict[str, StoredFile],
    understood: dict[str, Understood],
) -> None:
    """Enter the file itself, or what is made of it and of what, and the ids of its rows."""
    found = recognise(source, part)
    paths[part], files[part] = source, StoredFile(source.name, source.stat().st_size, "")
    if found is FileFormat.NPY or (found is FileFormat.CSV and part not in FEATURES):
        return
    paths[part], ids = place.folder / part, place.folder / f"{part}_ids"
    understood[part] = converted(source, part, found, paths[part], ids, place.id_column, MAX_ARRAY_BYTES)
    if ids.exists():
        paths[ids.name] = ids


def _columns(path: Path, role: Role) -> Mapping[str, NDArray[Any]]:
    return named_columns(np.array(open_npy(path, role.part)), role) if is_npy(path) else read_columns(path, role)


def _one_column(path: Path, part: str, read: Callable[[Path], NDArray[Any]]) -> NDArray[Any]:
    return np.array(open_npy(path, part)) if is_npy(path) else read(path)
