"""Inputs from files that a caller keeps, or that the store does: features mapped, everything else read.

The store's files are what `formats` has made of uploads: .npy, and tables also as CSV.  `open_features` and
`open_labels` take all that can be uploaded, and make the same of it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.analyses.dataset import FEATURES, ID_COLUMN, FileFormat
from service.analyses.ports import Features, Labels
from service.estimation.labels import named_columns
from service.estimation.roles import COVARIATES, LABELS, Role
from service.storage.formats.reading import converted
from service.storage.formats.recognition import recognise
from service.storage.npy import MAX_ARRAY_BYTES, is_npy, open_npy
from service.storage.tables import read_columns, read_groups, read_rows


def open_features(
    x: Path, y: Path, groups: Path | None = None, covariates: Path | None = None, id_column: str = ID_COLUMN
) -> Features:
    """Open x and y, and read groups and covariates, in any format that an upload may have, whatever their names.

    What is no .npy file is converted first, to one in a temporary folder that goes with the array.

    Raises: UploadError; ReadersBusy.
    """
    with tempfile.TemporaryDirectory(prefix="phasegate-") as folder:
        return map_features(
            **{
                part: _readable(path, part, Path(folder), id_column)
                for part, path in (("x", x), ("y", y), ("groups", groups), ("covariates", covariates))
                if path is not None
            }
        )


def open_labels(labels: Path, rows: Path | None = None, id_column: str = ID_COLUMN) -> Labels:
    """Read labels and their rows, in any format that an upload may have.  Raises UploadError, ReadersBusy."""
    with tempfile.TemporaryDirectory(prefix="phasegate-") as folder:
        return read_labels(
            _readable(labels, "labels", Path(folder), id_column),
            None if rows is None else _readable(rows, "rows", Path(folder), id_column),
        )


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


def _readable(path: Path, part: str, folder: Path, id_column: str) -> Path:
    """The file itself, or what is made of it in a folder."""
    found = recognise(path, part)
    if found is FileFormat.NPY or (found is FileFormat.CSV and part not in FEATURES):
        return path
    made = folder / part
    converted(path, part, found, made, folder / f"{part}-ids", id_column, MAX_ARRAY_BYTES)
    return made


def _columns(path: Path, role: Role) -> Mapping[str, NDArray[Any]]:
    return named_columns(np.array(open_npy(path, role.part)), role) if is_npy(path) else read_columns(path, role)


def _one_column(path: Path, part: str, read: Callable[[Path], NDArray[Any]]) -> NDArray[Any]:
    return np.array(open_npy(path, part)) if is_npy(path) else read(path)
