"""Arrays in .npz archives: a member is a .npy file, so that it is unpacked as it is and checked as every other."""

from __future__ import annotations

import io
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.analyses.dataset import FileFormat, Understood
from service.analyses.format_errors import ExpandsTooFar, InvalidArchive
from service.storage.formats.choice import Held, choose
from service.storage.formats.exactness import check_exact
from service.storage.formats.writing import COPY_BYTES, Ids, Target
from service.storage.formats.zip_files import array_archive, member
from service.storage.npy import MAX_HEADER_BYTES, open_npy, read_header

NUMBERS = "fiub"
LARGEST_COLUMN_BYTES = 512 * 1024**2  # of ids or labels, which are read whole


def convert_features(source: Path, target: Target, id_column: str) -> Understood:
    """Unpack the features, and their ids.  Raises UploadError."""
    with array_archive(source, target.part) as archive:
        members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        held = [_described(archive, name, info, target.part) for name, info in members.items()]
        choice = choose(held, target.part, id_column)
        _unpack(archive, members[choice.features.name], target.path, target.part, target.max_bytes)
        check_exact(open_npy(target.path, target.part), choice.features.name, target.part)
        if choice.ids is not None:
            ids = Ids(target.part, id_column)
            ids.add(_read(archive, members[id_column], target))
            ids.write(target.ids)
    return choice.understood(FileFormat.NPZ)


def read_columns(source: Path, target: Target) -> dict[str, NDArray[Any]]:
    """All arrays of an archive, each of one dimension: a column called like it.  Raises UploadError."""
    with array_archive(source, target.part) as archive:
        return {info.filename.removesuffix(".npy"): _read(archive, info, target) for info in archive.infolist()}


def _described(archive: zipfile.ZipFile, name: str, info: zipfile.ZipInfo, part: str) -> Held:
    with member(archive, info, part) as file:
        start = io.BytesIO(file.read(MAX_HEADER_BYTES + 12))
    shape, _, dtype = read_header(start, info.file_size, part)
    return Held(name, shape, str(dtype), dtype.kind in NUMBERS and not dtype.hasobject)


def _unpack(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path, part: str, max_bytes: int) -> None:
    if info.file_size > max_bytes:
        raise ExpandsTooFar(
            f"{part} holds {info.file_size} bytes once it is unpacked, and the service accepts {max_bytes}. Send fewer "
            "rows or columns, or numbers of fewer bits.",
            part=part,
        )
    with member(archive, info, part) as packed, path.open("wb") as file:
        shutil.copyfileobj(packed, file, COPY_BYTES)
        if file.tell() != info.file_size:
            raise InvalidArchive(
                f"{part} is an archive that cannot be read: it is damaged or incomplete. Save and send it again.",
                part=part,
            )


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo, target: Target) -> NDArray[Any]:
    """A small array, whole."""
    path = target.path.with_suffix(".member")
    _unpack(archive, info, path, target.part, min(target.max_bytes, LARGEST_COLUMN_BYTES))
    try:
        return np.array(open_npy(path, target.part))
    finally:
        path.unlink()
