"""Reading .npy files that a stranger made: the header is checked against the file before anything is mapped.

Nothing is ever unpickled, and no memory is allocated for what a header merely claims.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from service.analyses.errors import InvalidArrayFile

MAX_HEADER_BYTES = 10_000
MAX_DIMENSIONS = 2  # everything that Phasegate reads is a column or a table
MAX_LENGTH = 2**40  # of a dimension; an empty array may announce anything
MAGIC = npy_format.MAGIC_PREFIX
READERS = {(1, 0): npy_format.read_array_header_1_0, (2, 0): npy_format.read_array_header_2_0}


def is_npy(path: Path) -> bool:
    """Whether a file begins as .npy files do, whatever its name."""
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def open_npy(path: Path, part: str) -> NDArray[Any]:
    """Map the array in a .npy file, read-only.  Raises InvalidArrayFile."""
    size = path.stat().st_size
    with path.open("rb") as file:
        shape, fortran_order, dtype = _header(file, part)
        offset = file.tell()
    if dtype.hasobject:
        raise InvalidArrayFile(
            f"{part} holds Python objects, which are never loaded. Save plain numbers: "
            f"numpy.save(file, array.astype('float32')).",
            part=part,
        )
    if dtype.fields is not None or dtype.subdtype is not None:
        raise InvalidArrayFile(
            f"{part} holds records with named fields. Save one plain table of numbers per file.", part=part
        )
    if len(shape) > MAX_DIMENSIONS:
        raise InvalidArrayFile(
            f"{part} has {len(shape)} dimensions. Flatten each sample to one row: array.reshape(len(array), -1).",
            part=part,
        )
    claimed = math.prod(shape) * dtype.itemsize
    if claimed != size - offset:
        raise InvalidArrayFile(
            f"{part} announces {claimed} bytes of data and has {size - offset}. The file is damaged or incomplete: "
            "save and send it again.",
            part=part,
        )
    if dtype.itemsize == 0 or max(shape, default=0) > MAX_LENGTH:
        raise InvalidArrayFile(f"{part} announces an impossible shape or type. Save and send it again.", part=part)
    if claimed == 0:
        return np.empty(shape, dtype=dtype)
    mapped: NDArray[Any] = np.memmap(
        path, dtype=dtype, mode="r", offset=offset, shape=shape, order="F" if fortran_order else "C"
    )
    return mapped


def _header(file: Any, part: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    try:
        version = npy_format.read_magic(file)
        reader = READERS.get(version)
        if reader is None:
            raise InvalidArrayFile(
                f"{part} is a .npy file of version {version[0]}.{version[1]}. Save a plain array of numbers.", part=part
            )
        shape, fortran_order, dtype = reader(file, max_header_size=MAX_HEADER_BYTES)
    except InvalidArrayFile:
        raise
    except Exception as error:  # numpy parses the header as Python: whatever it raises, it is malformed
        advice = (
            "This looks like an .npz archive: send the arrays in it one by one."
            if _begins_with(file, b"PK")
            else "Send a file written by numpy.save."
        )
        raise InvalidArrayFile(f"{part} is not a .npy file. {advice}", part=part) from error
    if any(isinstance(length, bool) or length < 0 for length in shape):
        raise InvalidArrayFile(f"{part} announces an impossible shape. Save and send it again.", part=part)
    return shape, fortran_order, dtype


def _begins_with(file: Any, magic: bytes) -> bool:
    file.seek(0)
    return bool(file.read(len(magic)) == magic)
