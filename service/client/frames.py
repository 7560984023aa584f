"""Data frames, as far as they are sent: their columns.  Of pandas, polars and pyarrow, none of which is imported here.

Whoever gives a frame has imported its library, so `sys.modules` has it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.analyses.exactness import is_exact
from service.analyses.pandas_index import pandas_index
from service.client.arrays import Rows, rows_of_array
from service.client.errors import UnsupportedSource


@dataclass(frozen=True)
class FrameColumn:
    """One column of a frame."""

    name: str | None
    """None for a series without a name."""
    kind: str
    """The type of its values, in the words of its library."""
    is_category: bool
    """Whether its library says that these are classes."""
    array: Callable[[], NDArray[Any]] | None
    """Its numbers (n,), or (n, k) of lists of k numbers, NaN where there is none; None when it holds no numbers."""
    values: Callable[[], Sequence[Any]]
    """Its values, None where there is none."""


@dataclass(frozen=True)
class Frame:
    """A frame, table or series of one of the libraries: `kind` names it."""

    kind: str
    columns: tuple[FrameColumn, ...]
    is_series: bool
    index: tuple[FrameColumn, ...] = ()
    """What names the rows of a pandas frame, and is no column: the levels of its index that have names."""

    def ids(self, name: str) -> FrameColumn | None:
        """The column, or else the index, of that name."""
        among = () if self.is_series else (*self.columns, *self.index)
        return next((each for each in among if each.name == name), None)


def frame_of(source: object) -> Frame | None:
    """What is given as a frame; None when it is none.  A series is a frame of one column."""
    for library, read in (("pandas", _of_pandas), ("polars", _of_polars), ("pyarrow", _of_pyarrow)):
        if library in sys.modules and (frame := read(sys.modules[library], source)) is not None:
            return frame
    return None


def feature_rows(part: str, frame: Frame, ids: FrameColumn | None) -> Rows:
    """The columns of numbers as one table, column by column, without the ids.  Raises UnsupportedSource.

    A column that its library keeps in another form is made an array when its turn has come, and let go after it.
    """
    columns = [column for column in frame.columns if column is not ids]
    shapes, dtypes = [], []
    for column in columns:
        array = _numbers(part, frame, column)
        shapes.append(array.shape)
        dtypes.append(array.dtype)
    if not columns:
        raise UnsupportedSource(f"{part} is a {frame.kind} without columns of numbers. Give one column per feature.")
    if len(columns) == 1:
        return rows_of_array(array if array.ndim == 2 or frame.is_series else array[:, None])
    places = [(column, place) for column, shape in zip(columns, shapes, strict=True) for place in range(_width(shape))]
    dtype = np.result_type(*dtypes)

    def take(start: int, stop: int) -> NDArray[Any]:
        lines = np.empty((stop - start, shapes[0][0]), dtype)
        taken, now = None, array
        for line, (column, place) in zip(lines, places[start:stop], strict=True):
            if column is not taken:
                taken, now = column, _numbers(part, frame, column)
            line[:] = now if now.ndim == 1 else now[:, place]
        return lines

    return Rows((len(places), shapes[0][0]), dtype, take, is_transposed=True)


def _width(shape: tuple[int, ...]) -> int:
    return 1 if len(shape) == 1 else shape[1]


def _numbers(part: str, frame: Frame, column: FrameColumn) -> NDArray[Any]:
    if column.array is None:
        raise UnsupportedSource(
            f"Column {column.name!r} of {part} ({frame.kind}) holds {column.kind}, and features are numbers. Drop it, "
            "encode it, or name it as id_column if it holds the ids of the rows; of lists of equal length make an "
            "array: numpy.stack(column)."
        )
    numbers = column.array()
    if not is_exact(numbers):
        raise UnsupportedSource(
            f"Column {column.name!r} of {part} ({frame.kind}) has whole numbers beyond 2^53 that no real number holds "
            "exactly. Drop identifiers, or name them as id_column; give quantities as real numbers."
        )
    return numbers


def _of_pandas(pandas: Any, source: Any) -> Frame | None:
    if isinstance(source, pandas.Series):
        return Frame("pandas Series", (_pandas_column(pandas, source.name, source),), is_series=True)
    if isinstance(source, pandas.DataFrame):
        columns = (_pandas_column(pandas, name, source.iloc[:, place]) for place, name in enumerate(source.columns))
        index = (
            _pandas_column(pandas, name, source.index.get_level_values(level).to_series())
            for level, name in enumerate(source.index.names)
            if name is not None
        )
        return Frame("pandas DataFrame", tuple(columns), is_series=False, index=tuple(index))
    return None


def _pandas_column(pandas: Any, name: Any, series: Any) -> FrameColumn:
    kind = series.dtype
    is_category = isinstance(kind, pandas.CategoricalDtype)
    is_numeric = pandas.api.types.is_numeric_dtype(kind) and not is_category

    def array() -> NDArray[Any]:
        if isinstance(kind, np.dtype):
            numbers: NDArray[Any] = series.to_numpy()
            return numbers
        plain: np.dtype[Any] = getattr(kind, "numpy_dtype", getattr(kind, "subtype", np.dtype(np.float64)))
        if series.isna().any() and plain.kind != "f":
            plain = np.dtype(np.float64)
        filling = {"na_value": np.nan} if plain.kind == "f" else {}
        filled: NDArray[Any] = series.to_numpy(dtype=plain, **filling)
        return filled

    def values() -> Sequence[Any]:
        absent = series.isna().to_numpy()
        return [None if gone else value for gone, value in zip(absent, series.tolist(), strict=True)]

    return FrameColumn(_name(name), str(kind), is_category, array if is_numeric else None, values)


def _of_polars(polars: Any, source: Any) -> Frame | None:
    if isinstance(source, polars.LazyFrame):
        raise UnsupportedSource("A polars LazyFrame has no values yet. Give frame.collect().")
    if isinstance(source, polars.Series):
        return Frame("polars Series", (_polars_column(polars, source),), is_series=True)
    if isinstance(source, polars.DataFrame):
        columns = tuple(_polars_column(polars, series) for series in source.get_columns())
        return Frame("polars DataFrame", columns, is_series=False)
    return None


def _polars_column(polars: Any, series: Any) -> FrameColumn:
    kind = series.dtype
    is_category = isinstance(kind, polars.Categorical | polars.Enum)
    inner = kind.inner if isinstance(kind, polars.Array) else kind
    is_numeric = (inner.is_numeric() and not isinstance(inner, polars.Decimal)) or inner == polars.Boolean

    def array() -> NDArray[Any]:
        numbers: NDArray[Any] = series.to_numpy()
        return numbers if numbers.dtype != object else numbers.astype(np.float64)  # booleans, some of them missing

    return FrameColumn(series.name or None, str(kind), is_category, array if is_numeric else None, series.to_list)


def _of_pyarrow(pyarrow: Any, source: Any) -> Frame | None:
    if isinstance(source, pyarrow.Table | pyarrow.RecordBatch):
        index = pandas_index(source.schema.metadata)
        columns = [
            _arrow_column(pyarrow, name, column)
            for name, column in zip(source.schema.names, source.columns, strict=True)
        ]
        beside = [column for column in columns if str(column.name) in index]
        beside += [
            _arrow_column(pyarrow, name, pyarrow.array(np.arange(counted.start, counted.stop, counted.step)))
            for name, counted in index.ranges
            if len(counted) == source.num_rows
        ]
        taken = tuple(column for column in columns if str(column.name) not in index)
        return Frame(f"pyarrow {type(source).__name__}", taken, is_series=False, index=tuple(beside))
    if isinstance(source, pyarrow.Array | pyarrow.ChunkedArray):
        return Frame(f"pyarrow {type(source).__name__}", (_arrow_column(pyarrow, None, source),), is_series=True)
    return None


def _arrow_column(pyarrow: Any, name: str | None, column: Any) -> FrameColumn:
    types, kind = pyarrow.types, column.type
    is_list = types.is_fixed_size_list(kind)
    inner = kind.value_type if is_list else kind
    is_numeric = types.is_integer(inner) or types.is_floating(inner) or types.is_boolean(inner)

    def array() -> NDArray[Any]:
        whole = column.combine_chunks() if isinstance(column, pyarrow.ChunkedArray) else column
        if not is_list:
            numbers: NDArray[Any] = whole.to_numpy(zero_copy_only=False)
            return numbers if numbers.dtype != object else numbers.astype(np.float64)
        if whole.null_count:
            raise UnsupportedSource(f"Column {name!r} lacks some of its lists. Leave these rows out, in x and in y.")
        flat: NDArray[Any] = whole.flatten().to_numpy(zero_copy_only=False)
        return flat.reshape(len(whole), kind.list_size)

    return FrameColumn(name, str(kind), types.is_dictionary(kind), array if is_numeric else None, column.to_pylist)


def _name(name: object) -> str | None:
    return None if name is None else str(name)
