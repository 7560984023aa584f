"""Columns of Parquet and Arrow files, as the library reads them, some rows at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from arro3.core import Array, DataType, RecordBatch, Schema, list_flatten, list_offsets
from arro3.io import read_ipc, read_parquet
from numpy.typing import NDArray

from service.analyses.dataset import FileFormat
from service.analyses.errors import AnalysisError, InvalidArrayFile
from service.analyses.format_errors import InvalidArrow, InvalidParquet, UnequalLists
from service.storage.formats.exactness import check_exact
from service.storage.formats.naming import shown

VALUES_AT_A_TIME = 2**20
MAX_ROWS_AT_A_TIME = 8192
READ = {FileFormat.PARQUET: read_parquet, FileFormat.ARROW: read_ipc}
BROKEN: dict[FileFormat, type[InvalidArrayFile]] = {
    FileFormat.PARQUET: InvalidParquet,
    FileFormat.ARROW: InvalidArrow,
}
NO_MEMORY = "PyObject pointer is null"  # how the library says that Python had none for it
PANIC = "PanicException"  # what a defect of the library raises: no Exception, and of a class that cannot be imported


@dataclass(frozen=True)
class ArrowFile:
    """A Parquet or Arrow file, opened."""

    source: Path
    kind: FileFormat
    part: str
    schema: Schema

    def batches(self, n_values: int) -> Iterator[RecordBatch]:
        """Rows of `n_values` values each, some at a time."""
        at_a_time = max(1, min(MAX_ROWS_AT_A_TIME, VALUES_AT_A_TIME // max(1, n_values)))
        if self.kind is FileFormat.PARQUET:
            yield from read_parquet(self.source, batch_size=at_a_time)
        else:
            for batch in read_ipc(self.source):
                for start in range(0, batch.num_rows, at_a_time):
                    yield batch.slice(start, min(at_a_time, batch.num_rows - start))


def open_arrow(source: Path, kind: FileFormat, part: str) -> ArrowFile:
    """Open a file and read its schema."""
    return ArrowFile(source, kind, part, READ[kind](source).schema)


@contextmanager
def refusing(kind: FileFormat, part: str) -> Iterator[None]:
    """Whatever the library raises means that the file cannot be read."""
    try:
        yield
    except (AnalysisError, MemoryError, OSError):
        raise
    except BaseException as error:
        if NO_MEMORY in str(error):
            raise MemoryError from error
        if isinstance(error, Exception) or type(error).__name__ == PANIC:
            name = "a Parquet" if kind is FileFormat.PARQUET else "an Arrow"
            raise BROKEN[kind](
                f"{part} is {name} file that cannot be read: it is damaged, incomplete, or encrypted. Write and send "
                "it again.",
                part=part,
            ) from error
        raise


def is_number(kind: DataType) -> bool:
    """Whether values of a type are numbers that features may have: no decimals, no times."""
    return DataType.is_integer(kind) or DataType.is_floating(kind) or DataType.is_boolean(kind)


def is_list(kind: DataType) -> bool:
    """Whether values of a type are lists of numbers."""
    holds_values = DataType.is_fixed_size_list(kind) or DataType.is_list(kind) or DataType.is_large_list(kind)
    return bool(holds_values and kind.value_type is not None and is_number(kind.value_type))


def is_text(kind: DataType) -> bool:
    """Whether values of a type are text."""
    return DataType.is_string(kind) or DataType.is_large_string(kind) or DataType.is_string_view(kind)


def type_name(kind: DataType) -> str:
    """What a type is called."""
    return str(kind).strip().removeprefix("arro3.core.DataType<").removesuffix(">")


def real_type(kinds: Sequence[DataType]) -> np.dtype[Any]:
    """The smallest of float32 and float64 that holds every number of these types exactly."""
    narrow = all(
        DataType.is_boolean(kind)
        or (kind.bit_width is not None and kind.bit_width <= (32 if DataType.is_floating(kind) else 16))
        for kind in kinds
    )
    return np.dtype(np.float32 if narrow else np.float64)


def _is_unsigned(kind: DataType) -> bool:
    return bool(DataType.is_unsigned_integer(kind))


def numbers(column: Array, dtype: np.dtype[Any], name: str, part: str) -> NDArray[Any]:
    """The numbers in a column (k,), NaN for what is missing.  Raises InexactIntegers."""
    found = column.to_pylist() if column.null_count else column.to_numpy()
    if DataType.is_integer(column.type) and (column.type.bit_width or 0) > 32:
        present = [value for value in found if value is not None] if isinstance(found, list) else found
        check_exact(np.asarray(present, dtype=np.uint64 if _is_unsigned(column.type) else np.int64), name, part)
    return np.asarray(found, dtype=np.float64 if isinstance(found, list) else None).astype(dtype, copy=False)


def lists(
    column: Array, dtype: np.dtype[Any], name: str, part: str, before: int, size: int | None
) -> NDArray[Any] | None:
    """The lists in a column as rows (k, d), a row of NaN for each that is missing.

    Arguments: before, how many rows came before these; size, d, None where it is not known yet.

    Returns: the rows; None where `size` is not known and every list is missing.
    Raises: UnequalLists, InexactIntegers.
    """
    n_rows = len(column)
    present = np.arange(n_rows)
    if column.null_count:  # what lies below a missing list may be anything
        present = np.flatnonzero([column[row].is_valid for row in range(n_rows)])
        column = column.take(Array.from_numpy(present.astype(np.uint32)))
    if column.type.list_size is None:
        lengths = np.diff(np.asarray(list_offsets(column).to_numpy(), dtype=np.int64))
        if size is None and len(lengths):
            size = int(lengths[0])
        if np.any(lengths != size):
            unequal(int(present[np.argmax(lengths != size)]) + before, size or 0, name, part)
    else:
        size = column.type.list_size
    if size is None:
        return None
    rows = np.full((n_rows, size), np.nan, dtype)
    rows[present] = numbers(list_flatten(column), dtype, name, part).reshape(len(present), size)
    return rows


def unequal(row: int, size: int, name: str, part: str) -> NoReturn:
    """Refuse lists that are not all of one size.  Raises UnequalLists."""
    raise UnequalLists(
        f"The list in row {row} (counted from 0) of column {shown(name)!r} of {part} has not {size} values as those "
        "before it. Give every row equally many.",
        part=part,
    )
