"""Reading .npy files that a stranger made: the header is checked against the file before anything is mapped.

Nothing is ever unpickled or unpacked, and no memory is allocated for what a header merely claims.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from service.analyses.errors import InvalidArrayFile
from service.analyses.upload_errors import (
    ArrayOfRecords,
    EmptyArray,
    HeaderBeyondFile,
    HeaderTooLong,
    ImpossibleArray,
    PickledArray,
    ScalarArray,
    TooManyDimensions,
    TrailingBytes,
    TruncatedArray,
    UnknownArrayVersion,
    UnreadableHeader,
)

MAX_HEADER_BYTES = 10_000
MAX_DIMENSIONS = 2  # everything that Phasegate reads is a column or a table
MAX_LENGTH = 2**40  # of a dimension; an empty array may announce anything
MAX_ARRAY_BYTES = 2**53  # more than any disk holds
MAGIC = npy_format.MAGIC_PREFIX
PICKLE = b"\x80"  # how pickles of every protocol since 2 begin
READERS = {
    # By version: the bytes that the header's length takes, and what reads both.
    (1, 0): (2, npy_format.read_array_header_1_0),
    (2, 0): (4, npy_format.read_array_header_2_0),
}


def is_npy(path: Path) -> bool:
    """Whether a file begins as .npy files do, whatever its name."""
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def open_npy(path: Path, part: str) -> NDArray[Any]:
    """Map the array in a .npy file, read-only.  Raises InvalidArrayFile, of a kind that says what is wrong."""
    size = path.stat().st_size
    with path.open("rb") as file:
        shape, fortran_order, dtype = read_header(file, size, part)
        offset = file.tell()
    _check_type(dtype, part)
    claimed = _check_shape(shape, dtype, part)
    if claimed > size - offset:
        raise TruncatedArray(
            f"{part} announces {claimed} bytes of data and has {size - offset}. The file is damaged or incomplete: "
            "save and send it again.",
            part=part,
        )
    if claimed < size - offset:
        raise TrailingBytes(
            f"{part} announces {claimed} bytes of data and has {size - offset}. Save one array per file, and send it "
            "again.",
            part=part,
        )
    mapped: NDArray[Any] = np.memmap(
        path, dtype=dtype, mode="r", offset=offset, shape=shape, order="F" if fortran_order else "C"
    )
    return mapped


def _check_type(dtype: np.dtype[Any], part: str) -> None:
    if dtype.hasobject:
        raise PickledArray(
            f"{part} holds Python objects, which are never loaded. Save plain numbers: "
            f"numpy.save(file, array.astype('float32')).",
            part=part,
        )
    if dtype.fields is not None or dtype.subdtype is not None:
        raise ArrayOfRecords(
            f"{part} holds records with named fields. Save one plain table of numbers per file.", part=part
        )


def _check_shape(shape: tuple[int, ...], dtype: np.dtype[Any], part: str) -> int:
    """The bytes that an array of this shape takes."""
    if len(shape) > MAX_DIMENSIONS:
        raise TooManyDimensions(
            f"{part} has {len(shape)} dimensions. Flatten each sample to one row: array.reshape(len(array), -1).",
            part=part,
        )
    if not shape:
        raise ScalarArray(f"{part} is a single value. Save an array with one row per sample.", part=part)
    claimed = math.prod(shape) * dtype.itemsize
    if max(shape) > MAX_LENGTH or claimed > MAX_ARRAY_BYTES:
        raise ImpossibleArray(
            f"{part} announces more data than any file holds. The file is damaged: save and send it again.", part=part
        )
    if claimed == 0:
        raise EmptyArray(f"{part} has no values: its shape is {shape}. Send an array with data.", part=part)
    return claimed


def read_header(file: BinaryIO, size: int, part: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether in Fortran order, and type, as the header says; `file`, of `size` bytes, is left behind that.

    Raises InvalidArrayFile.
    """
    start = file.read(npy_format.MAGIC_LEN)
    if start[: len(MAGIC)] != MAGIC or len(start) < npy_format.MAGIC_LEN:
        raise _no_array(start, part)
    version = (start[-2], start[-1])
    if version not in READERS:
        raise UnknownArrayVersion(
            f"{part} is a .npy file of version {version[0]}.{version[1]}. Save a plain array of numbers with "
            "numpy.save.",
            part=part,
        )
    length_bytes, read = READERS[version]
    length = int.from_bytes(file.read(length_bytes), "little")
    if npy_format.MAGIC_LEN + length_bytes + length > size:
        raise HeaderBeyondFile(
            f"{part} announces a header of {length} bytes, which the file does not have. The file is damaged or "
            "incomplete: save and send it again.",
            part=part,
        )
    if length > MAX_HEADER_BYTES:
        raise HeaderTooLong(
            f"{part} has a header of {length} bytes, more than {MAX_HEADER_BYTES}. Save a plain array of numbers with "
            "numpy.save.",
            part=part,
        )
    file.seek(npy_format.MAGIC_LEN)
    try:
        shape, fortran_order, dtype = read(file, max_header_size=MAX_HEADER_BYTES)
    except Exception as error:  # numpy parses the header as Python: whatever it raises, it is malformed
        raise UnreadableHeader(
            f"{part} is not a .npy file that can be read: its header is damaged. Send a file written by numpy.save.",
            part=part,
        ) from error
    if any(isinstance(extent, bool) or extent < 0 for extent in shape):
        raise UnreadableHeader(f"{part} announces an impossible shape. Save and send it again.", part=part)
    return shape, fortran_order, dtype


def _no_array(start: bytes, part: str) -> InvalidArrayFile:
    """What a file is that does not begin as .npy files do."""
    if start.startswith(PICKLE):
        return PickledArray(
            f"{part} is not a .npy file. This looks like a Python pickle, which is never loaded: save the array with "
            "numpy.save.",
            part=part,
        )
    return InvalidArrayFile(f"{part} is not a .npy file. Send a file written by numpy.save.", part=part)
