"""What is written of an upload: arrays as .npy files, row by row as they come, and tables as CSV with typed columns."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from service.analyses.format_errors import ExpandsTooFar, InvalidIds, TooManyIds
from service.storage.formats.typed_tables import ColumnKind, header_of

HEADER_BYTES = 256  # room for any shape of two dimensions
MAX_ID_BYTES = 200
MAX_IDS, MAX_IDS_BYTES = 4_000_000, 128 * 1024**2  # of a part, each as long as the longest; they are sorted in memory
MAX_COLUMNS = 65_536  # of features, each named: every one costs memory and time of its own
COPY_BYTES = 16 * 1024**2


@dataclass(frozen=True)
class Target:
    """Where what is made of a part goes, and how large it may become."""

    part: str
    path: Path
    ids: Path
    max_bytes: int


class RowsFile:
    """A .npy file of a table whose rows come some at a time; how many there are is known at the end."""

    def __init__(self, target: Target, n_columns: int, dtype: np.dtype[Any]) -> None:
        self._target, self.n_columns, self._dtype = target, n_columns, dtype
        self.n_rows = 0
        self._file: BinaryIO = target.path.open("wb")
        self._file.write(bytes(HEADER_BYTES))

    def add(self, rows: NDArray[Any]) -> None:
        """Write further rows (k, n_columns), in C order.  Raises ExpandsTooFar."""
        self.n_rows += len(rows)
        check_size(self._target, self.n_rows, self.n_columns, self._dtype)
        self._file.write(np.ascontiguousarray(rows, dtype=self._dtype).data)

    def finish(self) -> None:
        """Write the header."""
        self._file.seek(0)
        self._file.write(npy_header((self.n_rows, self.n_columns), self._dtype))

    def __enter__(self) -> RowsFile:
        return self

    def __exit__(self, *raised: object) -> None:
        self._file.close()


def check_size(target: Target, n_rows: int, n_columns: int, dtype: np.dtype[Any]) -> None:
    """Raise ExpandsTooFar for a table that is larger than may be stored."""
    size = n_rows * n_columns * dtype.itemsize
    if size > target.max_bytes:
        raise ExpandsTooFar(
            f"{target.part} holds {size} bytes or more once it is unpacked, and the service accepts "
            f"{target.max_bytes}. Send fewer rows or columns, or numbers of fewer bits.",
            part=target.part,
        )


def npy_header(shape: tuple[int, ...], dtype: np.dtype[Any]) -> bytes:
    """The header of a .npy file, of HEADER_BYTES, so that it can be written when everything else is there."""
    file = io.BytesIO()
    described = {"descr": npy_format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    text = repr(described).encode("latin-1")
    file.write(npy_format.magic(1, 0))
    length = HEADER_BYTES - file.tell() - 2
    file.write(length.to_bytes(2, "little"))
    file.write(text.ljust(length - 1) + b"\n")
    return file.getvalue()


def write_rows(
    target: Target,
    array: NDArray[Any],
    dtype: np.dtype[Any],
    decode: Callable[[NDArray[Any]], NDArray[Any]] | None = None,
) -> None:
    """Write a whole table (n, d) that is mapped from a file, some rows at a time.  Raises ExpandsTooFar.

    Arguments: decode, what makes values of the type out of what is mapped.
    """
    n_rows, n_columns = array.shape
    check_size(target, n_rows, n_columns, dtype)
    at_a_time = max(1, COPY_BYTES // max(1, n_columns * dtype.itemsize))
    with RowsFile(target, n_columns, dtype) as file:
        for start in range(0, n_rows, at_a_time):
            rows = array[start : start + at_a_time]
            file.add(rows if decode is None else decode(rows))
        file.finish()


class Ids:
    """The ids of rows, all whole numbers or all text, gathered some at a time."""

    def __init__(self, part: str, column: str) -> None:
        self._part, self._column = part, column
        self._pieces: list[NDArray[Any]] = []
        self._is_text: bool | None = None
        self._n_ids = self._longest_bytes = 0

    def add(self, values: NDArray[Any] | Sequence[Any]) -> None:
        """Take further ids: an array of whole numbers or text, or a list of either.  Raises InvalidIds."""
        piece = values if isinstance(values, np.ndarray) else self._from_list(values)
        if piece.dtype.kind == "S" and isinstance(values, np.ndarray):
            piece = self._decoded(piece)
        if piece.dtype.kind in "UT":
            piece = self._from_list(piece.tolist())
        if piece.dtype.kind == "u" and len(piece) and int(piece.max()) > np.iinfo(np.int64).max:
            raise self._refused("has a whole number of more than 63 bits. Write such ids as text")
        if piece.dtype.kind not in "iuS":
            raise self._refused("is neither whole numbers nor text. Ids are one or the other")
        is_text = piece.dtype.kind == "S"
        if self._is_text not in (None, is_text) and len(piece):
            raise self._refused("holds numbers and text. Ids are all one or the other")
        self._is_text = is_text
        self._n_ids += len(piece)
        self._longest_bytes = max(self._longest_bytes, piece.dtype.itemsize)
        check_ids(self._part, self._n_ids, self._longest_bytes)
        self._pieces.append(piece if is_text else piece.astype(np.int64))

    def gathered(self) -> NDArray[Any]:
        """All of them (n,): int64, or text as UTF-8."""
        return np.concatenate(self._pieces)

    def write(self, path: Path) -> None:
        """Keep them as a .npy file."""
        with path.open("wb") as file:
            np.save(file, self.gathered(), allow_pickle=False)

    def _from_list(self, values: Sequence[Any]) -> NDArray[Any]:
        if any(value is None or value == "" for value in values):
            raise self._refused("lacks values. Give every row an id")
        if all(isinstance(value, str) for value in values):
            return self._encoded(values)
        if all(isinstance(value, int) and not isinstance(value, bool) for value in values):
            try:
                return np.array(values, dtype=np.int64)
            except OverflowError:
                raise self._refused("has a whole number of more than 63 bits. Write such ids as text") from None
        raise self._refused("is neither whole numbers nor text. Ids are one or the other")

    def _decoded(self, values: NDArray[Any]) -> NDArray[Any]:
        try:
            return np.char.decode(values, "utf-8", "strict")
        except UnicodeDecodeError:
            raise self._refused("holds text that is not valid Unicode. Write ids as UTF-8") from None

    def _encoded(self, values: Sequence[str]) -> NDArray[Any]:
        try:
            encoded = [value.encode() for value in values]
        except UnicodeEncodeError:
            raise self._refused("holds text that is not valid Unicode. Write ids as UTF-8") from None
        if any(not value or b"\x00" in value or len(value) > MAX_ID_BYTES for value in encoded):
            raise self._refused(f"has an id that is empty, or longer than {MAX_ID_BYTES} bytes. Use shorter ids")
        return np.array(encoded, dtype=np.bytes_)

    def _refused(self, what: str) -> InvalidIds:
        return InvalidIds(f"The id column {self._column[:40]!r} of {self._part} {what}.", part=self._part)


def check_ids(part: str, n_ids: int, longest_bytes: int) -> None:
    """Raise TooManyIds for more than can be sorted in memory."""
    if n_ids > MAX_IDS or n_ids * longest_bytes > MAX_IDS_BYTES:
        raise TooManyIds(
            f"{part} has {n_ids} ids or more of up to {longest_bytes} bytes; {MAX_IDS} are joined, and {MAX_IDS_BYTES} "
            "bytes if all are as long as the longest. Use shorter ids or whole numbers, or sort all parts alike and "
            "send them without ids.",
            part=part,
        )


def write_table(target: Target, columns: Mapping[str, tuple[ColumnKind, Sequence[Any]]]) -> None:
    """Write columns (kind, values) of one length as CSV that says their types.  None, and NaN, are missing.

    Raises ExpandsTooFar.
    """
    with target.path.open("w", encoding="utf-8", newline="") as file:
        file.write(header_of([kind for kind, _ in columns.values()]))
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(columns)
        for number, line in enumerate(zip(*(map(_written, values) for _, values in columns.values()), strict=True)):
            # A line of one empty field is written as "", so that it is a line.
            lines.writerow(line)
            if number % 1000 == 0 and file.tell() > target.max_bytes:
                break
        size = file.tell()
    if size > target.max_bytes:
        raise ExpandsTooFar(
            f"{target.part} holds more than {target.max_bytes} bytes once it is unpacked. Send fewer rows or columns.",
            part=target.part,
        )


def _written(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str) else repr(value)
