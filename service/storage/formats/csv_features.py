"""Features from CSV: a header line, then a line of numbers for every row, read some lines at a time.

A library reads plain tables; what it does not take is read line by line, for the words that stand for missing values,
and for messages that say where.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from arro3.core import DataType, Field, Schema
from arro3.io import read_csv
from numpy.typing import NDArray

from service.analyses.dataset import FileFormat, Understood
from service.analyses.errors import AnalysisError, InvalidTable
from service.analyses.upload_errors import (
    EmptyTable,
    LineTooLong,
    NoHeader,
    RaggedTable,
    RepeatedColumn,
    TableEncoding,
    TooManyColumns,
    UnclosedQuote,
    UnnamedColumn,
    UnreadableNumber,
    WrongSeparator,
)
from service.storage.formats.arrow_columns import MAX_ROWS_AT_A_TIME, PANIC, VALUES_AT_A_TIME, numbers
from service.storage.formats.naming import shown, shown_all
from service.storage.formats.writing import MAX_COLUMNS, Ids, RowsFile, Target

MAX_LINE_CHARACTERS = 16 * 1024**2
CHUNK_CHARACTERS = 4 * 1024**2
ABSENT = frozenset({"", "na", "n/a", "null", "none", "nil", "missing", "?", "-", ".", "nan"})
REAL = np.dtype(np.float64)


def convert_features(source: Path, target: Target, id_column: str) -> Understood:
    """Write the features as float64, NaN where a value is missing, and the ids of their rows.  Raises UploadError."""
    part = target.part
    try:
        with source.open(encoding="utf-8-sig", newline="") as file:
            names = _header(file, part)
            taken = [name for name in names if name != id_column]
            if not taken:
                raise EmptyTable(f"{part} has no columns of numbers. Send one for every feature.", part=part)
            n_rows = _convert_quickly(source, names, target, id_column)
            if n_rows is None:
                n_rows = _convert_lines(file, names, target, id_column)
    except UnicodeDecodeError as error:
        raise TableEncoding(f"{part} is not UTF-8 text. Send CSV in UTF-8, or Parquet.", part=part) from error
    except csv.Error as error:
        raise _unquoted(part) from error
    return Understood(
        format=FileFormat.CSV,
        n_rows=n_rows,
        taken=shown_all(taken),
        n_taken=len(taken),
        id_column=id_column if id_column in names else None,
    )


def _convert_quickly(source: Path, names: list[str], target: Target, id_column: str) -> int | None:
    """Write what follows the header, three times as fast; None if there is anything but numbers, nothing, and ids.

    A table of one column, in which an empty line is a missing value, is not taken.
    """
    if len(names) == 1:
        return None
    ids_at = names.index(id_column) if id_column in names else None
    types = [DataType.string() if place == ids_at else DataType.float64() for place in range(len(names))]
    schema = Schema([Field(str(place), kind) for place, kind in enumerate(types)])
    ids = Ids(target.part, id_column)
    at_a_time = max(1, min(MAX_ROWS_AT_A_TIME, VALUES_AT_A_TIME // len(names)))
    with RowsFile(target, len(names) - (ids_at is not None), REAL) as written:
        try:
            for batch in read_csv(source, schema, has_header=True, batch_size=at_a_time):
                places = [place for place in range(len(names)) if place != ids_at]
                rows = np.empty((batch.num_rows, len(places)), dtype=REAL)
                for to, place in enumerate(places):
                    rows[:, to] = numbers(batch.column(place), REAL, names[place], target.part)
                if ids_at is not None:
                    ids.add([(an_id or "").strip() for an_id in batch.column(ids_at).to_pylist()])
                written.add(rows)
        except (AnalysisError, MemoryError, OSError):
            raise
        except BaseException as error:
            if isinstance(error, Exception) or type(error).__name__ == PANIC:
                return None  # the other reader says what it is, or takes it
            raise
        if written.n_rows == 0:
            return None
        written.finish()
        if ids_at is not None:
            ids.write(target.ids)
        return written.n_rows


def _convert_lines(file: TextIO, names: list[str], target: Target, id_column: str) -> int:
    """Write what follows the header; how many rows that are."""
    ids_at = names.index(id_column) if id_column in names else None
    reader, ids = _Lines(names, ids_at, target.part), Ids(target.part, id_column)
    with RowsFile(target, len(names) - (ids_at is not None), REAL) as written:
        for lines in _chunks(file, target.part):
            rows, found = reader.read(lines, written.n_rows)
            if ids_at is not None:
                ids.add(found)
            written.add(rows)
        if written.n_rows == 0:
            raise EmptyTable(f"{target.part} has a header line and no rows. Send one line per row.", part=target.part)
        written.finish()
        if ids_at is not None:
            ids.write(target.ids)
        return written.n_rows


class _Lines:
    """Lines of a table as numbers."""

    def __init__(self, names: list[str], ids_at: int | None, part: str) -> None:
        self._names, self._ids_at, self._part = names, ids_at, part

    def read(self, lines: list[str], before: int) -> tuple[NDArray[Any], list[str]]:
        """The numbers (k, d) in some lines, and the ids of the rows; `before` rows came before these."""
        text = "".join(lines)
        if self._ids_at is None and '"' not in text and text.strip():
            try:
                rows = np.loadtxt(lines, dtype=REAL, delimiter=",", comments=None, ndmin=2)
                if rows.shape[1] == len(self._names):
                    return rows, []
            except ValueError:
                pass  # gaps, or faults: line by line, for a message that says where
        return self._one_by_one(lines, before, is_plain="_" not in text)

    def _one_by_one(self, lines: list[str], before: int, *, is_plain: bool) -> tuple[NDArray[Any], list[str]]:
        found: list[list[float]] = []
        ids: list[str] = []
        for fields in csv.reader(lines, strict=True):
            if not fields:
                if len(self._names) > 1:
                    continue
                fields = [""]  # in a table of one column an empty line is a line with an empty field
            row = before + len(found)
            if len(fields) != len(self._names):
                raise RaggedTable(
                    f"{self._part} has {len(self._names)} columns, and row {row} (counted from 0, without the header) "
                    f"has {len(fields)} fields. Send as many in every line.",
                    part=self._part,
                )
            if self._ids_at is not None:
                ids.append(fields.pop(self._ids_at).strip())
            try:
                if not is_plain and any("_" in field for field in fields):
                    raise ValueError("Python would take 1_000 for a number")
                found.append(list(map(float, fields)))
            except ValueError:
                found.append([self._number(field, row) for field in fields])
        width = len(self._names) - (self._ids_at is not None)
        return np.array(found, dtype=REAL).reshape(len(found), width), ids

    def _number(self, field: str, row: int) -> float:
        if field.strip().lower() in ABSENT:
            return math.nan
        try:
            return float(field.replace("_", "x"))
        except ValueError:
            raise UnreadableNumber(
                f"{self._part} has {shown(field)!r} in row {row} (counted from 0, without the header), which is no "
                "number. Features are numbers: leave out columns of text, or encode them; a column of ids is named by "
                "id_column.",
                part=self._part,
            ) from None


def _header(file: TextIO, part: str) -> list[str]:
    line = "\n"
    while line and not line.strip():
        line = _line(file, part)
    names = [name.strip() for name in next(csv.reader([line], strict=True), [])]
    if not names:
        raise EmptyTable(f"{part} is empty. Send a header line and one line per row.", part=part)
    if len(names) > MAX_COLUMNS:
        raise TooManyColumns(
            f"{part} has {len(names)} columns, more than {MAX_COLUMNS}. Send fewer, or .npy.", part=part
        )
    if len(names) == 1 and any(separator in names[0] for separator in ";\t|"):
        raise WrongSeparator(
            f"{part} has one column, named {shown(names[0])!r}. Separate columns by commas.", part=part
        )
    if "" in names:
        raise UnnamedColumn(
            f"{part} has a column without a name, at place {names.index('')} (counted from 0). Give it one, or leave "
            "it out: pandas writes its index like that, unless it is told index=False.",
            part=part,
        )
    counted = [str(place) for place in range(len(names))]  # as pandas names columns without names
    if names != counted and all(_is_number(name) for name in names):
        raise NoHeader(
            f"{part} begins with a line of numbers. Put a line with the names of the columns before them.", part=part
        )
    if len(set(names)) < len(names):
        repeated = next(name for place, name in enumerate(names) if name in names[:place])
        raise RepeatedColumn(
            f"{part} has more than one column named {shown(repeated)!r}. Give each column its own name.", part=part
        )
    return names


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _chunks(file: TextIO, part: str) -> Iterator[list[str]]:
    """Lines, some at a time.  A line that ends within a quote is none that numbers stand in."""
    lines: list[str] = []
    gathered = 0
    while line := _line(file, part):
        lines.append(line)
        gathered += len(line)
        if gathered >= CHUNK_CHARACTERS:
            yield lines
            lines, gathered = [], 0
    if lines:
        yield lines


def _line(file: TextIO, part: str) -> str:
    line = file.readline(MAX_LINE_CHARACTERS)
    if len(line) == MAX_LINE_CHARACTERS:
        raise LineTooLong(
            f"{part} has a line of more than {MAX_LINE_CHARACTERS} characters. Send one line per row.", part=part
        )
    return line


def _unquoted(part: str) -> InvalidTable:
    return UnclosedQuote(
        f"{part} is not a CSV table: a quote is not closed, or something follows it within its field. Save and send it "
        "again.",
        part=part,
    )
