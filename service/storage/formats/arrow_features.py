"""Features from Parquet and Arrow files: columns of numbers in the order of the file, or one column of lists."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from arro3.core import DataType, RecordBatch, Schema
from numpy.typing import NDArray

from service.analyses.dataset import FileFormat, Understood
from service.analyses.format_errors import InvalidIds, UnsupportedColumns
from service.analyses.pandas_index import pandas_index
from service.analyses.upload_errors import EmptyArray
from service.storage.formats.arrow_columns import (
    VALUES_AT_A_TIME,
    ArrowFile,
    is_list,
    is_number,
    lists,
    numbers,
    open_arrow,
    real_type,
    type_name,
)
from service.storage.formats.naming import listed, shown, shown_all
from service.storage.formats.writing import MAX_COLUMNS, Ids, RowsFile, Target


def convert_features(source: Path, target: Target, id_column: str, kind: FileFormat) -> Understood:
    """Write the features, and the ids of their rows if there are any.  Raises UploadError."""
    file = open_arrow(source, kind, target.part)
    schema = file.schema
    names = list(schema.names)
    index = pandas_index(schema.metadata)
    places = [place for place, name in enumerate(names) if name != id_column and name not in index]
    ids_at = [place for place, name in enumerate(names) if name == id_column]
    if len(ids_at) > 1:
        raise InvalidIds(
            f"{target.part} has more than one column named {shown(id_column)!r}. Give each column its own name.",
            part=target.part,
        )
    is_one_list = _check_columns(schema, places, target.part)
    types = [schema.field(place).type for place in places]
    written = real_type([kind.value_type or kind if is_one_list else kind for kind in types])
    file_ids = ids_at[0] if ids_at else None
    n_rows = _convert_batches(file, target, places, written, file_ids, is_one_list=is_one_list)
    counted = None if ids_at else index.counted(id_column)
    if counted is not None:
        write_counted(counted, n_rows, id_column, target)
    left_out = [name for name in names if name in index and name != id_column]
    return Understood(
        format=kind,
        n_rows=n_rows,
        taken=shown_all([names[place] for place in places]),
        n_taken=len(places),
        left_out=shown_all(left_out),
        n_left_out=len(left_out),
        id_column=id_column if ids_at or counted is not None else None,
    )


def write_counted(counted: range, n_rows: int, id_column: str, target: Target) -> None:
    """Write the ids that the index of a pandas frame counts.  Raises InvalidIds."""
    ids = Ids(target.part, id_column)
    ids.add(counted_ids(counted, n_rows, id_column, target.part))
    ids.write(target.ids)


def counted_ids(counted: range, n_rows: int, id_column: str, part: str) -> NDArray[np.int64]:
    """The ids (n_rows,) that the index of a pandas frame counts.  Raises InvalidIds."""
    if len(counted) != n_rows:
        raise InvalidIds(
            f"{part} has {n_rows} rows, and an index {shown(id_column)!r} of another length. Write the frame again, "
            "with the ids as a column: frame.reset_index().",
            part=part,
        )
    return np.arange(counted.start, counted.stop, counted.step, dtype=np.int64)


def _convert_batches(
    file: ArrowFile, target: Target, places: list[int], dtype: np.dtype[Any], ids_at: int | None, *, is_one_list: bool
) -> int:
    """Write the columns at some places; how many rows that are."""
    # Every access to the library's schema copies all of it.
    names, types = list(file.schema.names), list(file.schema.types)
    taken = [(place, names[place]) for place in places]
    ids = None if ids_at is None else Ids(target.part, names[ids_at])
    with ExitStack() as opened:
        written: RowsFile | None = None
        n_missing = 0  # lists at the beginning, before it is known how long lists are
        for batch in file.batches(_width([types[place] for place in places], is_one_list)):
            if ids is not None and ids_at is not None:
                column = batch.column(ids_at)
                ids.add(column.to_pylist() if column.null_count or not is_number(column.type) else column.to_numpy())
            if is_one_list:
                before, width = (n_missing, None) if written is None else (written.n_rows, written.n_columns)
                rows = lists(batch.column(places[0]), dtype, names[places[0]], target.part, before, width)
            else:
                rows = _rows(batch, taken, dtype, target.part)
            if rows is None:
                n_missing += batch.num_rows
                continue
            if written is None:
                written = opened.enter_context(RowsFile(target, rows.shape[1], dtype))
                _add_missing(written, n_missing, dtype)
            written.add(rows)
        if written is None or written.n_rows == 0 or written.n_columns == 0:
            raise EmptyArray(f"{target.part} has no values. Send a table with data.", part=target.part)
        written.finish()
        if ids is not None:
            ids.write(target.ids)
        return written.n_rows


def _add_missing(written: RowsFile, n_rows: int, dtype: np.dtype[Any]) -> None:
    at_a_time = max(1, VALUES_AT_A_TIME // max(1, written.n_columns))
    for start in range(0, n_rows, at_a_time):
        written.add(np.full((min(at_a_time, n_rows - start), written.n_columns), np.nan, dtype))


def _check_columns(schema: Schema, places: list[int], part: str) -> bool:
    """Whether the columns are one of lists; numbers, otherwise.  Raises UnsupportedColumns."""
    fields = [schema.field(place) for place in places]
    if len(fields) > MAX_COLUMNS:
        raise UnsupportedColumns(
            f"{part} has {len(fields)} columns, more than {MAX_COLUMNS}. Send fewer, or one column of lists.", part=part
        )
    if not fields:
        raise UnsupportedColumns(f"{part} has no columns of numbers. Send one for every feature.", part=part)
    refused = [field for field in fields if not is_number(field.type) and not is_list(field.type)]
    if refused:
        described = listed([f"{field.name} ({type_name(field.type)})" for field in refused])
        raise UnsupportedColumns(
            f"{part} has columns that are not numbers: {described}. Leave them out, or encode them as numbers; a "
            "column of ids is named by id_column.",
            part=part,
        )
    with_lists = [field.name for field in fields if is_list(field.type)]
    if with_lists and len(fields) > 1:
        raise UnsupportedColumns(
            f"{part} has lists in {listed(with_lists)}, and {len(fields) - 1} columns beside. Send one column of lists "
            "alone, or columns of numbers.",
            part=part,
        )
    return bool(with_lists)


def _width(types: list[DataType], is_one_list: bool) -> int:
    return (types[0].list_size or 1024) if is_one_list else len(types)


def _rows(batch: RecordBatch, taken: list[tuple[int, str]], dtype: np.dtype[Any], part: str) -> NDArray[Any]:
    rows = np.empty((batch.num_rows, len(taken)), dtype=dtype)
    for to, (place, name) in enumerate(taken):
        rows[:, to] = numbers(batch.column(place), dtype, name, part)
    return rows
