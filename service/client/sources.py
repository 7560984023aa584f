"""What can be uploaded, and as what: every part of an upload as a binary stream that can be read again.

Files go as they are.  Arrays, tensors and columns of numbers go as .npy, read from where they lie; columns by name go
as CSV, which keeps their names.  No library is imported for what it made: whoever gives a tensor has imported torch.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import SEEK_SET, BytesIO, FileIO, RawIOBase, TextIOBase
from typing import IO, Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from service.analyses.dataset import ID_COLUMN
from service.client.archives import archive
from service.client.arrays import NpyStream, rows_of_array, without_booleans
from service.client.columns import Column, csv_of
from service.client.errors import UnsupportedSource
from service.client.frames import Frame, FrameColumn, feature_rows, frame_of
from service.client.tensors import rows_of_tensor
from service.estimation.labels import LabelType

FEATURES, TABLES = ("x", "y"), ("labels", "covariates")
ONE_COLUMN = {"rows": "the row number of each label", "groups": "the group of each pair"}
ADVICE = "Give a path, a numpy array, a torch tensor, or a frame of pandas, polars or pyarrow."
SINGULAR = {"labels": "label", "covariates": "covariate", "groups": "group", "rows": "row"}


class HasArray(Protocol):
    """What can show itself as an array: tensors, frames, series, Arrow tables, arrays of other libraries."""

    def __array__(self) -> Any:
        """Its values."""


Source: TypeAlias = (
    str | os.PathLike[str] | bytes | bytearray | memoryview | IO[bytes] | HasArray | Mapping[str, Any] | Sequence[Any]
)
"""A file by its path, its bytes or opened for reading; an array, a tensor, a frame or a series; for labels and
covariates also columns by name."""


class Stream(Protocol):
    """Bytes that can be read again from their start."""

    def read(self, size: int, /) -> bytes | None:
        """The next bytes, `size` of them at most."""

    def seek(self, offset: int, whence: int = SEEK_SET, /) -> int:
        """Go to a place."""

    def tell(self) -> int:
        """The place of the next byte."""

    def close(self) -> None:
        """Let go of what it reads."""


@dataclass(frozen=True)
class Opened:
    """A part as it is sent: `types` of columns where more is known of them than their values say."""

    stream: Stream
    types: Mapping[str, LabelType] = field(default_factory=dict)


class Borrowed(RawIOBase):
    """A caller's open file, read from its start, and left open."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes."""
        return self._file.read(size)

    def seek(self, offset: int, whence: int = SEEK_SET, /) -> int:
        """Go to a place."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """The place of the next byte."""
        return self._file.tell()


def opened_source(part: str, source: Source, id_column: str | None = None) -> Opened:
    """A source as the part that it is to be.  Raises OSError, UnsupportedSource."""
    if isinstance(source, str | os.PathLike):
        return Opened(_opened_file(source))
    if isinstance(source, bytes | bytearray):
        return Opened(BytesIO(source))
    if hasattr(source, "read") and hasattr(source, "seek"):
        return Opened(_borrowed(part, source))
    frame = frame_of(source)
    if frame is not None:
        return _opened_frame(part, frame, id_column)
    if isinstance(source, Mapping):
        return _opened_mapping(part, source, id_column)
    tensor = rows_of_tensor(part, source)
    if tensor is not None:
        return Opened(NpyStream(without_booleans(tensor) if part in FEATURES else tensor))
    return _opened_array(part, array_of(part, source))


def _opened_file(path: str | os.PathLike[str]) -> FileIO:
    file = FileIO(path)
    try:
        file.seek(0)
    except OSError as error:  # a pipe, whose size nobody knows
        file.close()
        raise OSError(error.errno, error.strerror, os.fspath(path)) from error
    return file


def _borrowed(part: str, file: Any) -> Borrowed:
    if isinstance(file, TextIOBase):
        raise UnsupportedSource(f"{part} is a file opened as text. Open it as bytes (mode 'rb'), or give its path.")
    if not file.seekable():
        raise UnsupportedSource(f"{part} is a file that cannot be read twice. Save it, and give its path.")
    return Borrowed(file)


def _opened_frame(part: str, frame: Frame, id_column: str | None) -> Opened:
    ids = frame.ids(id_column or ID_COLUMN)
    if part in FEATURES:
        rows = without_booleans(feature_rows(part, frame, ids))
        return Opened(NpyStream(rows) if ids is None else archive(part, rows, ids))
    if part in ONE_COLUMN:
        _check_one_column(part, frame, ids)
    if part == "rows":
        return _opened_array(part, np.asarray(next(each for each in frame.columns if each is not ids).values()))
    beside = tuple(level for level in frame.index if level is ids)
    columns = [_column(part, place, each, each is ids) for place, each in enumerate((*frame.columns, *beside))]
    return _opened_columns(part, columns)


def _check_one_column(part: str, frame: Frame, ids: FrameColumn | None) -> None:
    """Refuse a frame of which somebody would have to choose a column.  Raises UnsupportedSource."""
    others = [column.name for column in frame.columns if column is not ids]
    if len(others) == 1 or (part == "groups" and len(frame.columns) == 1):
        return
    found = f"columns {', '.join(repr(name) for name in others)}" if others else "no column but that of ids"
    raise UnsupportedSource(
        f"{part} is a {frame.kind} with {found}. Give the one column that holds {ONE_COLUMN[part]}: "
        f"frame[{(others[-1] if others else SINGULAR[part])!r}]."
    )


def _column(part: str, place: int, column: FrameColumn, is_id: bool) -> Column:
    name = f"{SINGULAR[part]}_{place}" if column.name is None else column.name
    return Column(name, column.values(), column.is_category, is_id)


def _opened_mapping(part: str, source: Mapping[str, Any], id_column: str | None) -> Opened:
    if part not in TABLES:
        raise UnsupportedSource(
            f"{part} is {_kind(source)}. Only labels and covariates can be columns by name; give an array or a frame."
        )
    columns = [_named(part, str(name), values, name == (id_column or ID_COLUMN)) for name, values in source.items()]
    lengths = {column.name: len(column.values) for column in columns}
    if len(set(lengths.values())) != 1:
        raise UnsupportedSource(f"The columns of {part} differ in length: {lengths}. Give as many values in each.")
    return _opened_columns(part, columns)


def _named(part: str, name: str, values: Any, is_id: bool) -> Column:
    """One column of columns by name."""
    frame = frame_of(values)
    if frame is not None:
        return Column(name, frame.columns[0].values(), frame.columns[0].is_category, is_id)
    if isinstance(values, list | tuple):
        return Column(name, values, is_id=is_id)
    tensor = rows_of_tensor(part, values)
    array = array_of(part, values) if tensor is None else tensor.take(0, tensor.shape[0])
    return Column(name, _listed(part, array), is_id=is_id)


def _opened_columns(part: str, columns: Sequence[Column]) -> Opened:
    content, types = csv_of(part, columns)
    return Opened(BytesIO(content), types if part in TABLES else {})


def _opened_array(part: str, values: NDArray[Any]) -> Opened:
    """An array as .npy where that can hold it, else as columns named as the service names those of an array."""
    if values.ndim == 0:
        raise UnsupportedSource(f"{part} is a single value. Give an array with one row per sample.")
    is_plain = values.dtype.kind in "biufSU" and not np.ma.is_masked(values)
    if part in FEATURES:
        if values.dtype.kind not in "biuf" or values.dtype.itemsize > 8:
            raise UnsupportedSource(
                f"{part} is an array of {values.dtype}, and features are real numbers of up to 64 bits. Convert it: "
                "array.astype('float32'); of complex numbers give real and imaginary parts as columns."
            )
        if np.ma.is_masked(values):
            raise UnsupportedSource(f"{part} has masked values. Leave these rows out, in x and in y, or fill them.")
    if is_plain:
        rows = rows_of_array(np.ma.getdata(values))
        return Opened(NpyStream(without_booleans(rows) if part in FEATURES else rows))
    if values.ndim > 2:
        raise UnsupportedSource(
            f"{part} has {values.ndim} dimensions. Give one value per row, or a table (rows, columns)."
        )
    table = values if values.ndim == 2 else values[:, None]
    return _opened_columns(
        part,
        [Column(f"{SINGULAR[part]}_{place}", _listed(part, table[:, place])) for place in range(table.shape[1])],
    )


def array_of(part: str, source: Any) -> NDArray[Any]:
    """An array, or what can show itself as one, without a copy where that can be.  Raises UnsupportedSource."""
    if not (
        isinstance(source, list | tuple | memoryview)
        or any(hasattr(source, name) for name in ("__array__", "__array_interface__", "__dlpack__"))
    ):
        raise UnsupportedSource(f"{part} is {_kind(source)}, which cannot be uploaded. {ADVICE}")
    try:
        if isinstance(source, np.ma.MaskedArray):
            return source
        if hasattr(source, "__dlpack__") and not hasattr(source, "__array__"):
            return np.from_dlpack(source)
        return np.asarray(source)
    except (TypeError, ValueError, RuntimeError, BufferError) as error:
        raise UnsupportedSource(f"{part} is {_kind(source)} that is no array: {error}. {ADVICE}") from error


def _listed(part: str, values: NDArray[Any]) -> list[Any]:
    if values.ndim != 1:
        raise UnsupportedSource(f"A column of {part} has {values.ndim} dimensions. Give one value per row.")
    listed: list[Any] = values.tolist()
    return listed


def _kind(source: object) -> str:
    kind = type(source)
    return f"a {kind.__module__}.{kind.__qualname__}"
