"""Inputs from files of the caller's own: what an upload may send, read where it lies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.estimation.labels import named_columns
from service.estimation.roles import COVARIATES, LABELS, Role
from service.storage.npy import open_npy
from service.storage.tables import read_columns, read_groups, read_rows

NPY_MAGIC = b"\x93NUMPY"


@dataclass(frozen=True)
class LocalInputs:
    """Opened but not checked: arrays memory-mapped, columns by name."""

    x: NDArray[Any]
    y: NDArray[Any]
    labels: Mapping[str, NDArray[Any]]
    rows: NDArray[Any] | None
    groups: NDArray[Any] | None
    covariates: Mapping[str, NDArray[Any]] | None


def open_files(
    x: Path, y: Path, labels: Path, rows: Path | None = None, groups: Path | None = None, covariates: Path | None = None
) -> LocalInputs:
    """Open x and y (.npy), and the others (.npy or CSV).  Raises UploadError for files that cannot be read so."""
    return LocalInputs(
        x=open_npy(x, "x"),
        y=open_npy(y, "y"),
        labels=_columns(labels, LABELS),
        rows=None if rows is None else _one_column(rows, "rows", read_rows),
        groups=None if groups is None else _one_column(groups, "groups", read_groups),
        covariates=None if covariates is None else _columns(covariates, COVARIATES),
    )


def _columns(path: Path, role: Role) -> Mapping[str, NDArray[Any]]:
    return named_columns(np.array(open_npy(path, role.part)), role) if _is_npy(path) else read_columns(path, role)


def _one_column(path: Path, part: str, read: Callable[[Path], NDArray[Any]]) -> NDArray[Any]:
    return np.array(open_npy(path, part)) if _is_npy(path) else read(path)


def _is_npy(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(NPY_MAGIC)) == NPY_MAGIC
