"""Tables from formats that have types: labels, covariates, groups and rows, written as CSV that keeps the types."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from arro3.core import DataType
from numpy.typing import NDArray

from service.analyses.dataset import FileFormat, Understood
from service.analyses.errors import LabelsTooLarge
from service.analyses.format_errors import UnsupportedColumns
from service.analyses.pandas_index import pandas_index
from service.analyses.upload_errors import EmptyTable, RaggedTable, RepeatedColumn
from service.storage.formats import npz, safetensors_files
from service.storage.formats.arrow_columns import is_text, open_arrow, type_name
from service.storage.formats.arrow_features import counted_ids
from service.storage.formats.naming import listed, shown, shown_all
from service.storage.formats.typed_tables import MAX_FIELDS, ColumnKind
from service.storage.formats.writing import Target, write_table

KINDS = {
    "U": ColumnKind.TEXT,
    "T": ColumnKind.TEXT,
    "i": ColumnKind.INTEGER,
    "u": ColumnKind.INTEGER,
    "f": ColumnKind.REAL,
    "b": ColumnKind.BOOLEAN,
}
ARRAYS = {FileFormat.NPZ: npz.read_columns, FileFormat.SAFETENSORS: safetensors_files.read_columns}
Columns = Mapping[str, tuple[ColumnKind, Sequence[Any]]]


def convert_table(source: Path, target: Target, kind: FileFormat, id_column: str) -> Understood:
    """Write the columns of a table, typed as they are; what is null is missing.  Raises UploadError.

    The index of a pandas frame is left out, unless it is called like the id column: then it is the ids, but in rows.
    """
    left_out: list[str] = []
    if kind in ARRAYS:
        columns = _from_arrays(ARRAYS[kind](source, target), target.part)
    else:
        columns, left_out = _from_arrow(source, kind, target.part, None if target.part == "rows" else id_column)
    if not columns or not len(next(iter(columns.values()))[1]):
        raise EmptyTable(f"{target.part} has no values. Send a table with data.", part=target.part)
    write_table(target, columns)
    return Understood(
        format=kind,
        n_rows=len(next(iter(columns.values()))[1]),
        taken=shown_all(list(columns)),
        n_taken=len(columns),
        left_out=shown_all(left_out),
        n_left_out=len(left_out),
    )


def _from_arrays(arrays: Mapping[str, NDArray[Any]], part: str) -> Columns:
    _check_count(sum(array.size for array in arrays.values()), part)
    refused = [
        f"{name} {array.shape} {array.dtype}"
        for name, array in arrays.items()
        if array.ndim != 1 or array.dtype.kind not in KINDS
    ]
    if refused:
        raise UnsupportedColumns(
            f"{part} holds arrays that are no columns: {listed(refused)}. Save one array with one dimension for every "
            "column, of numbers, booleans or text.",
            part=part,
        )
    if len({len(array) for array in arrays.values()}) > 1:
        lengths = listed([f"{name} ({len(array)})" for name, array in arrays.items()])
        raise RaggedTable(f"{part} has columns of different lengths: {lengths}. Send equally many values.", part=part)
    return {name: (KINDS[array.dtype.kind], array.tolist()) for name, array in arrays.items()}


def _from_arrow(source: Path, kind: FileFormat, part: str, id_column: str | None) -> tuple[Columns, list[str]]:
    file = open_arrow(source, kind, part)
    names, types = list(file.schema.names), list(file.schema.types)  # every access copies all of it
    index = pandas_index(file.schema.metadata)
    taken = [place for place, name in enumerate(names) if name == id_column or name not in index]
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise RepeatedColumn(
            f"{part} has more than one column named {shown(repeated[0])!r}. Give each column its own name.", part=part
        )
    kinds = {place: _kind(types[place]) for place in taken}
    refused = [f"{names[place]} ({type_name(types[place])})" for place in taken if kinds[place] is None]
    if refused:
        raise UnsupportedColumns(
            f"{part} has columns of types that are not taken: {listed(refused)}. Write them as numbers, booleans or "
            "text, or leave them out.",
            part=part,
        )
    values: dict[int, list[Any]] = {place: [] for place in taken}
    n_rows = 0
    for batch in file.batches(len(taken)):
        n_rows += batch.num_rows
        _check_count(n_rows * len(taken), part)
        for place, column in values.items():
            column.extend(batch.column(place).to_pylist())
    left_out = [name for place, name in enumerate(names) if place not in values]
    columns: dict[str, tuple[ColumnKind, Sequence[Any]]] = {}
    counted = None if id_column is None or id_column in names else index.counted(id_column)
    if id_column is not None and counted is not None:
        columns[id_column] = (ColumnKind.INTEGER, counted_ids(counted, n_rows, id_column, part).tolist())
    columns |= {names[place]: (kinds[place] or ColumnKind.TEXT, values[place]) for place in taken}
    return columns, left_out


def _kind(column: DataType) -> ColumnKind | None:
    """What a column holds; one without any value holds numbers that are all missing."""
    if DataType.is_dictionary(column):
        return None if column.value_type is None else _kind(column.value_type)
    if is_text(column):
        return ColumnKind.TEXT
    if DataType.is_boolean(column):
        return ColumnKind.BOOLEAN
    if DataType.is_integer(column):
        return ColumnKind.INTEGER
    return ColumnKind.REAL if DataType.is_floating(column) or DataType.is_null(column) else None


def _check_count(n_values: int, part: str) -> None:
    if n_values > MAX_FIELDS:
        raise LabelsTooLarge(
            f"{part} has more than {MAX_FIELDS} values. Send fewer rows or columns, or a .npy file.", part=part
        )
