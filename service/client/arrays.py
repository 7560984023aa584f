"""Arrays as .npy files that nobody has written: a header, then the values as they lie in memory.

Rows that lie one behind the other are sent from where they are; others are put in order a chunk at a time.  There is
never a second copy of the whole.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

if TYPE_CHECKING:
    from typing_extensions import Buffer

CHUNK_BYTES = 1 << 20
"""What is put in order, converted or fetched at a time; a single row may be more."""


@dataclass(frozen=True)
class Rows:
    """A column or a table, of which some rows at a time can be had.

    `take(start, stop)` gives those rows as an array of `dtype`, shape (stop - start, *shape[1:]).
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    take: Callable[[int, int], NDArray[Any]]
    is_transposed: bool = False
    """Whether these are the columns of what is meant, as Fortran orders a table."""


def rows_of_array(values: NDArray[Any]) -> Rows:
    """An array's rows; of an array in Fortran order its columns, which are what lies one behind the other."""
    is_transposed = values.flags.f_contiguous and not values.flags.c_contiguous
    ordered = values.T if is_transposed else values
    return Rows(ordered.shape, ordered.dtype, lambda start, stop: ordered[start:stop], is_transposed)


def without_booleans(rows: Rows) -> Rows:
    """The rows, booleans as 0 and 1: features are numbers."""
    if rows.dtype.kind != "b":
        return rows
    return replace(rows, dtype=np.dtype(np.uint8), take=lambda start, stop: rows.take(start, stop).astype(np.uint8))


class NpyStream(io.RawIOBase):
    """Reads as the .npy file that `numpy.save` would write of these rows."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._header = _header(rows)
        row_bytes = math.prod(rows.shape[1:]) * rows.dtype.itemsize
        self._chunk_rows = max(1, CHUNK_BYTES // max(1, row_bytes))
        self._chunk_bytes = self._chunk_rows * row_bytes
        self._size = len(self._header) + rows.shape[0] * row_bytes
        self._position = 0
        self._chunk_number = -1
        self._chunk = memoryview(b"")

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """The place of the next byte."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Go to a place."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, start + offset)
        return self._position

    def readinto(self, buffer: Buffer, /) -> int:
        """The next bytes, up to the end of a chunk."""
        into = memoryview(buffer).cast("B")
        if self._position >= self._size:
            return 0
        found = self._bytes_from(self._position)[: len(into)]
        into[: len(found)] = found
        self._position += len(found)
        return len(found)

    def close(self) -> None:
        """Let go of the rows."""
        self._chunk = memoryview(b"")
        super().close()

    def _bytes_from(self, position: int) -> memoryview:
        """What is at a place, up to the end of the header or of the chunk."""
        if position < len(self._header):
            return memoryview(self._header)[position:]
        number, offset = divmod(position - len(self._header), self._chunk_bytes)
        if number != self._chunk_number:
            start = number * self._chunk_rows
            taken = self._rows.take(start, min(start + self._chunk_rows, self._rows.shape[0]))
            # As bytes: its view of memory knows no half precision and no other machine's byte order.
            self._chunk = np.ascontiguousarray(taken).reshape(-1).view(np.uint8).data
            self._chunk_number = number
        return self._chunk[offset:]


def _header(rows: Rows) -> bytes:
    shape = rows.shape[::-1] if rows.is_transposed else rows.shape
    said = {"descr": npy_format.dtype_to_descr(rows.dtype), "fortran_order": rows.is_transposed, "shape": shape}
    header = io.BytesIO()
    npy_format.write_array_header_1_0(header, said)
    return header.getvalue()
