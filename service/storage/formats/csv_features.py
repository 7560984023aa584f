"""Features from CSV: a header line, then a line of numbers for every row, read some lines at a time.

A library reads plain tables; what it does not take, or takes for more than it is, is read line by line, for the words
that stand for missing values, and for messages that say where.
"""

from __future__ import annotations

import csv
import math
import re
from collections import Counter
from collections.abc import Iterator
from itertools import chain, repeat
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from arro3.core import DataType, Field, Schema
from arro3.io import read_csv
from numpy.typing import NDArray

from service.analyses.absent import is_absent
from service.analyses.dataset import FileFormat, Understood
from service.analyses.errors import AnalysisError, InvalidTable
from service.analyses.exactness import LARGEST_EXACT
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
from service.storage.formats.exactness import inexact
from service.storage.formats.naming import shown, shown_all
from service.storage.formats.writing import MAX_COLUMNS, Ids, RowsFile, Target

MAX_LINE_CHARACTERS = 16 * 1024**2
CHUNK_CHARACTERS = 4 * 1024**2
REAL = np.dtype(np.float64)
NUMBER = re.compile(r"[+-]?(([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?|inf|infinity)", re.IGNORECASE | re.ASCII)
WHOLE = re.compile(r"[+-]?[0-9]{16,400}")  # long enough to be beyond 2^53, and not beyond every real number
HEADER = re.compile(rb"\A\s*[^\r\n\x00]+")
SPACE = " \t\r\n"
UNUSUAL = re.compile(r"[^\t\r\n -~]|_")  # with which Python has more numbers than this format
EMPTY_FIELD = '""\n'


def convert_features(source: Path, target: Target, id_column: str) -> Understood:
    """Write the features as float64, NaN where a value is missing, and the ids of their rows.  Raises UploadError."""
    part = target.part
    try:
        with source.open(encoding="utf-8-sig", newline="") as file:
            lines = _lines(file, part)
            names = _header(lines, part)
            taken = [name for name in names if name != id_column]
            if not taken:
                raise EmptyTable(f"{part} has no columns of numbers. Send one for every feature.", part=part)
            n_rows = _convert_quickly(source, names, target, id_column) if _is_plain(source, names) else None
            if n_rows is None:
                n_rows = _convert_lines(lines, names, target, id_column)
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


def _is_plain(source: Path, names: list[str]) -> bool:
    """Whether the library can be given a file: it takes `"1"2` for 12, and ends the process at some NUL characters.

    It skips empty lines too, which are missing values in a table of one column.
    """
    if len(names) == 1:
        return False
    with source.open("rb") as file:
        start = HEADER.sub(b"", file.read(CHUNK_CHARACTERS))  # of which this module has made sense already
        return not any(_is_odd(piece) for piece in chain([start], iter(lambda: file.read(CHUNK_CHARACTERS), b"")))


def _is_odd(piece: bytes) -> bool:
    return b'"' in piece or b"\x00" in piece


def _convert_quickly(source: Path, names: list[str], target: Target, id_column: str) -> int | None:
    """Write what follows the header, three times as fast; None if there is anything but numbers, nothing, and ids."""
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
                if _has_large(rows):
                    return None
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


def _convert_lines(lines: Iterator[str], names: list[str], target: Target, id_column: str) -> int:
    """Write what follows the header; how many rows that are."""
    ids_at = names.index(id_column) if id_column in names else None
    reader, ids = _Lines(names, ids_at, target.part), Ids(target.part, id_column)
    with RowsFile(target, len(names) - (ids_at is not None), REAL) as written:
        for some in _chunks(_filled(lines) if len(names) == 1 else lines):
            rows, found = reader.read(some, written.n_rows)
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
        rows, ids = self._numbers(lines, before)
        if _has_large(rows):
            self._refuse_inexact(lines)
        return rows, ids

    def _numbers(self, lines: list[str], before: int) -> tuple[NDArray[Any], list[str]]:
        text = "".join(lines)
        is_usual = UNUSUAL.search(text) is None
        if is_usual and self._ids_at is None and '"' not in text and text.strip():
            try:
                rows = np.loadtxt(lines, dtype=REAL, delimiter=",", comments=None, ndmin=2)
                if rows.shape[1] == len(self._names):
                    return rows, []
            except ValueError:
                pass  # gaps, or faults: line by line, for a message that says where
        return self._one_by_one(lines, before, is_usual=is_usual)

    def _one_by_one(self, lines: list[str], before: int, *, is_usual: bool) -> tuple[NDArray[Any], list[str]]:
        found: list[list[float]] = []
        ids: list[str] = []
        for fields in csv.reader(lines, strict=True):
            if not fields:
                continue
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
                found.append(list(map(float if is_usual else _strict, fields)))
            except ValueError:
                found.append([self._number(field, row) for field in fields])
        width = len(self._names) - (self._ids_at is not None)
        return np.array(found, dtype=REAL).reshape(len(found), width), ids

    def _number(self, field: str, row: int) -> float:
        if is_absent(field.strip(SPACE)):
            return math.nan
        try:
            return _strict(field)
        except ValueError:
            raise UnreadableNumber(
                f"{self._part} has {shown(field)!r} in row {row} (counted from 0, without the header), which is no "
                "number. Features are numbers: leave out columns of text, or encode them; a column of ids is named by "
                "id_column.",
                part=self._part,
            ) from None

    def _refuse_inexact(self, lines: list[str]) -> None:
        """Refuse whole numbers that became others: real numbers are written with a point or an exponent."""
        for fields in csv.reader(lines, strict=True):
            for place, field in enumerate(fields):
                text = field.strip(SPACE)
                if place != self._ids_at and WHOLE.fullmatch(text) and int(text) != float(text):
                    inexact(self._names[place], self._part)


def _strict(field: str) -> float:
    text = field.strip(SPACE)
    if NUMBER.fullmatch(text) is None:
        raise ValueError("a number for Python perhaps, which reads 1_000 and the digits of every script")
    return float(text)


def _has_large(rows: NDArray[Any]) -> bool:
    """Whether there are numbers of the size at which not every whole number is a float64."""
    return bool(np.any((np.abs(rows) >= LARGEST_EXACT) & np.isfinite(rows)))


def _header(lines: Iterator[str], part: str) -> list[str]:
    line = next((line for line in lines if line.strip()), "")
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
        repeated = next(name for name, count in Counter(names).items() if count > 1)
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


def _chunks(from_lines: Iterator[str]) -> Iterator[list[str]]:
    """Lines, some at a time.  A line that ends within a quote is none that numbers stand in."""
    lines: list[str] = []
    gathered = 0
    for line in from_lines:
        lines.append(line)
        gathered += len(line)
        if gathered >= CHUNK_CHARACTERS:
            yield lines
            lines, gathered = [], 0
    if lines:
        yield lines


def _filled(lines: Iterator[str]) -> Iterator[str]:
    """The lines of a table of one column, where an empty line is an empty field, but for such lines at the end."""
    n_empty = 0
    for line in lines:
        if not line.strip("\r\n"):
            n_empty += 1
            continue
        yield from repeat(EMPTY_FIELD, n_empty)
        n_empty = 0
        yield line


def _lines(file: TextIO, part: str) -> Iterator[str]:
    previous = ""
    while line := _line(file, part):
        # Text that was written twice over has one line's end as \r\r\n.
        if not (line == "\r\n" and previous.endswith("\r")):
            yield line
        previous = line


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
