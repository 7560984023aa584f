"""Reading labels, covariates, groups and rows from CSV: columns of text, booleans, whole numbers or real numbers.

Missing is an empty field, and in columns of numbers or booleans what stands for one (NA, null, ...) as well.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Callable, Iterator
from itertools import dropwhile
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from service.analyses.absent import is_absent
from service.analyses.errors import LabelsTooLarge
from service.analyses.upload_errors import (
    ControlCharacters,
    EmptyTable,
    FieldTooLong,
    LineTooLong,
    RaggedTable,
    RepeatedColumn,
    TableEncoding,
    TooManyColumns,
    UnclosedQuote,
    UnreadableNumber,
    WrongSeparator,
)
from service.estimation.labels import CONTROLS
from service.estimation.roles import MAX_TARGETS, Role
from service.storage.formats.typed_tables import MAX_FIELDS, ColumnKind, kinds_in

INTEGER = re.compile(r"[+-]?(0|[1-9][0-9]*)")
CODE = re.compile(r"[+-]?0[0-9]+")  # leading zeros tell codes apart that are one number: 07 and 7
REAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|[+-]?(inf|infinity)", re.IGNORECASE | re.ASCII)
BOOLEANS = {"true": True, "false": False}
MAX_FIELD_CHARACTERS = 1000
MAX_LINE_CHARACTERS = MAX_TARGETS * (MAX_FIELD_CHARACTERS + 3)
MAX_DIGITS = 19  # of a 64-bit integer
SMALLEST, LARGEST = -(2**63), 2**63 - 1


def read_columns(path: Path, role: Role) -> dict[str, NDArray[Any]]:
    """Label columns or covariates by name from a CSV file with a header line.  Raises InvalidTable, LabelsTooLarge.

    A column is whole numbers, real numbers, booleans (true, false) or, when any value is none of these, text; codes
    with leading zeros are text.  A table that says the types of its columns has those.  A column that lacks values is a
    masked array, or has NaN or empty text in their place.
    """
    return read_table(path, role.part, role.entry, role.max_targets)


def read_groups(path: Path) -> NDArray[Any]:
    """Group ids from a CSV file with one column and a header line, typed as a column of `read_columns` is."""
    columns = read_table(path, "groups", "group id", MAX_TARGETS)
    if len(columns) > 1:
        raise TooManyColumns(
            f"groups has {len(columns)} columns. Send one, with the group id of each row.", part="groups"
        )
    return next(iter(columns.values()))


def read_rows(path: Path) -> NDArray[Any]:
    """Row numbers from a CSV file with one number a line; a first line that is no number is a header."""
    lines = [line for line in _lines(path, "rows") if line]
    if lines and kinds_in(lines[0]) is not None:
        lines = lines[1:]
    if any(len(line) != 1 for line in lines):
        raise TooManyColumns("rows has more than one column. Send one row number per line.", part="rows")
    values = [line[0].strip() for line in lines]
    if values and not INTEGER.fullmatch(values[0]):
        values = values[1:]
    for number, value in enumerate(values):
        if not INTEGER.fullmatch(value) or not _fits(value):
            raise UnreadableNumber(
                f"rows has {_shown(value)} at place {number} (counted from 0, without a header). "
                "Send whole row numbers, counted from 0.",
                part="rows",
            )
    return np.array([int(value) for value in values], dtype=np.int64)


def read_table(
    path: Path, part: str, entry: str, max_columns: int, id_column: str | None = None
) -> dict[str, NDArray[Any]]:
    """The typed columns of a CSV file with a header line; `entry` is what a line below it stands for.

    Ids, in the column `id_column`, are text whatever they look like (12e1, NA, 19 digits), as they are among features.

    Raises InvalidTable, LabelsTooLarge.
    """
    lines = list(dropwhile(lambda line: not line, _lines(path, part)))
    kinds = kinds_in(lines[0]) if lines else None
    if kinds is not None:
        lines = lines[1:]
    if not lines:
        raise EmptyTable(f"{part} is empty. Send a header line and one line per {entry}.", part=part)
    names = [name.strip() for name in lines[0]]
    if len(names) == 1 and any(separator in names[0] for separator in ";\t|"):
        raise WrongSeparator(f"{part} has one column, named {_shown(names[0])}. Separate columns by commas.", part=part)
    if len(names) > max_columns:
        raise TooManyColumns(f"{part} has {len(names)} columns. Send at most {max_columns}.", part=part)
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise RepeatedColumn(
            f"{part} has more than one column named {_shown(repeated[0])}. Give each column its own name.", part=part
        )
    # In a table of one column an empty line is a line with an empty field.
    body = [line or [""] for line in lines[1:]] if len(names) == 1 else [line for line in lines[1:] if line]
    if not body:
        raise EmptyTable(f"{part} has a header line and no {entry}s. Send one line per {entry}.", part=part)
    for number, line in enumerate(body):
        if len(line) != len(names):
            raise RaggedTable(
                f"{part} has {len(names)} columns and {entry} {number} (counted from 0, without the header) has "
                f"{len(line)} fields. Send as many in every line.",
                part=part,
            )
    said = kinds if kinds is not None and len(kinds) == len(names) else None
    return {
        name: _read_column(
            part, name, [line[place] for line in body], said[place] if said else None, is_id=name == id_column
        )
        for place, name in enumerate(names)
    }


def _read_column(part: str, name: str, values: list[str], kind: ColumnKind | None, *, is_id: bool) -> NDArray[Any]:
    """A column of the kind that the table says, or that its values have; ids are text, but those that are no ids."""
    if kind is ColumnKind.TEXT:
        return _text(values)
    if is_id and kind in (None, ColumnKind.INTEGER):
        return _text([value.strip() for value in values])
    if kind is not None:
        return _typed(part, name, values, kind)
    return _column(part, name, [value.strip() for value in values])


def _lines(path: Path, part: str) -> list[list[str]]:
    """The lines of a CSV file, split into fields; an empty line has none, and at the end such lines are left out."""
    csv.field_size_limit(MAX_FIELD_CHARACTERS)
    lines: list[list[str]] = []
    fields = 0
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for line in csv.reader(_bounded(file, part), strict=True):
                fields += max(1, len(line))
                if fields > MAX_FIELDS:
                    raise LabelsTooLarge(
                        f"{part} has more than {MAX_FIELDS} values. Send fewer lines or columns, or a .npy file.",
                        part=part,
                    )
                lines.append(line)
    except UnicodeDecodeError as error:
        raise TableEncoding(f"{part} is not UTF-8 text. Send CSV in UTF-8, or a .npy file.", part=part) from error
    except csv.Error as error:
        if "limit" in str(error):  # the library has one class for everything
            raise FieldTooLong(
                f"{part} is not a CSV table: a field exceeds {MAX_FIELD_CHARACTERS} characters, or a quote is not "
                "closed. Save and send it again.",
                part=part,
            ) from error
        raise UnclosedQuote(
            f"{part} is not a CSV table: a quote is not closed, or something follows it within its field. Save and "
            "send it again.",
            part=part,
        ) from error
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _bounded(file: TextIO, part: str) -> Iterator[str]:
    """The lines of a file, none of them longer than any table's: the reader splits a line before we can count."""
    previous = ""
    while line := file.readline(MAX_LINE_CHARACTERS):
        if line == "\r\n" and previous.endswith("\r"):
            continue  # the rest of one line's end, which text written twice over has as \r\r\n
        previous = line
        if len(line) == MAX_LINE_CHARACTERS:
            if line.count(",") >= MAX_TARGETS:
                raise TooManyColumns(
                    f"{part} has a line of more than {MAX_TARGETS} columns. Send at most as many.", part=part
                )
            raise LineTooLong(
                f"{part} has a line of more than {MAX_LINE_CHARACTERS} characters. Send one line per row.", part=part
            )
        if found := CONTROLS.search(line.rstrip("\r\n").replace("\t", " ")):
            raise ControlCharacters(
                f"{part} holds the control character {found[0]!r}. Send plain text in UTF-8, without binary data.",
                part=part,
            )
        yield line


def _column(part: str, name: str, values: list[str]) -> NDArray[Any]:
    """A typed column.  What stands for a missing value counts for nothing in what the column is."""
    given = [value for value in values if not is_absent(value)]
    if not given:
        return _text(values) if any(values) else np.full(len(values), np.nan)
    if all(INTEGER.fullmatch(value) for value in given):
        beyond = next((value for value in given if not _fits(value)), None)
        if beyond is not None:
            raise UnreadableNumber(
                f"Column {_shown(name)} of {part} has the whole number {_shown(beyond)}, of more than 64 bits. Write "
                "quantities as real numbers (1.5e20), identifiers as text (id1234).",
                part=part,
            )
        return _masked(values, int, np.dtype(np.int64))
    if any(CODE.fullmatch(value) for value in given):
        return _text(values)
    if all(REAL.fullmatch(value) for value in given):
        return np.array([math.nan if is_absent(value) else float(value) for value in values])
    if all(value.lower() in BOOLEANS for value in given):
        return _masked(values, lambda value: BOOLEANS[value.lower()], np.dtype(np.bool_))
    return _text(values)


def _fits(value: str) -> bool:
    """Whether a whole number is one of 64 bits."""
    return len(value.lstrip("+-")) <= MAX_DIGITS and SMALLEST <= int(value) <= LARGEST


def _typed(part: str, name: str, values: list[str], kind: ColumnKind) -> NDArray[Any]:
    """A column of the kind that the table says, which holds for columns without any value too."""
    column = _column(part, name, values)
    wanted = {ColumnKind.INTEGER: "i", ColumnKind.REAL: "f", ColumnKind.BOOLEAN: "b"}[kind]
    if column.dtype.kind == wanted:
        return column
    if not any(values) and kind is not ColumnKind.REAL:
        return _masked(values, int, np.dtype(np.int64 if kind is ColumnKind.INTEGER else np.bool_))
    return column


def _masked(values: list[str], read: Callable[[str], int | bool], dtype: np.dtype[Any]) -> NDArray[Any]:
    """The column with its missing values masked; a plain array when there are none."""
    absent = np.array([is_absent(value) for value in values])
    read_values = np.array(
        [0 if gone else read(value) for value, gone in zip(values, absent, strict=True)], dtype=dtype
    )
    return np.ma.MaskedArray(read_values, mask=absent) if absent.any() else read_values


def _text(values: list[str]) -> NDArray[Any]:
    # Of variable width: numpy's own text type would take rows x longest value.
    return np.array(values, dtype=np.dtypes.StringDType())


def _shown(value: str) -> str:
    return repr(value if len(value) <= 40 else value[:40] + "...")
