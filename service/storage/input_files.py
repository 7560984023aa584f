"""Inputs from their files, in the store or where a caller keeps them: features mapped, everything else read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.analyses.ports import Features, Labels
from service.estimation.labels import named_columns
from service.estimation.roles import COVARIATES, LABELS, Role
from service.storage.npy import is_npy, open_npy
from service.storage.tables import read_columns, read_groups, read_rows


def open_features(
    x: Path | NDArray[Any], y: Path | NDArray[Any], groups: Path | None = None, covariates: Path | None = None
) -> Features:
    """Open x and y (.npy), and read groups and covariates (.npy or CSV, whatever their names).  Raises UploadError.

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


def open_labels(labels: Path, rows: Path | None = None) -> Labels:
    """Read labels and their rows (.npy or CSV, whatever their names).  Raises UploadError."""
    return Labels(_columns(labels, LABELS), None if rows is None else _one_column(rows, "rows", read_rows))


def _columns(path: Path, role: Role) -> Mapping[str, NDArray[Any]]:
    return named_columns(np.array(open_npy(path, role.part)), role) if is_npy(path) else read_columns(path, role)


def _one_column(path: Path, part: str, read: Callable[[Path], NDArray[Any]]) -> NDArray[Any]:
    return np.array(open_npy(path, part)) if is_npy(path) else read(path)
