"""Reading labels and rows from CSV: columns of text, booleans, whole numbers or real numbers."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from service.analyses.errors import InvalidTable, LabelsTooLarge, MissingLabelValue
from service.estimation.labels import MAX_TARGETS

INTEGER = re.compile(r"[+-]?(0|[1-9][0-9]*)")
CODE = re.compile(r"[+-]?0[0-9]+")  # leading zeros tell codes apart that are one number: 07 and 7
REAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|[+-]?(nan|inf|infinity)", re.IGNORECASE)
BOOLEANS = {"true": True, "false": False}
ABSENT = {"na", "n/a", "null", "none", "nil", "missing", "?", "-", "."}
MAX_FIELD_CHARACTERS = 1000
MAX_LINE_CHARACTERS = MAX_TARGETS * (MAX_FIELD_CHARACTERS + 3)
MAX_FIELDS = 2_000_000  # Python needs some 60 bytes a field while it reads them
MAX_DIGITS = 18  # of a 64-bit integer


def read_labels(path: Path) -> dict[str, NDArray[Any]]:
    """Label columns by name from a CSV file with a header line.  Raises InvalidTable, MissingLabelValue.

    A column is whole numbers, real numbers, booleans (true, false) or, when any value is none of these, text; codes
    with leading zeros are text.
    """
    lines = _lines(path, "labels")
    if not lines:
        raise InvalidTable("labels is empty. Send a header line and one line per label row.", part="labels")
    names = [name.strip() for name in lines[0]]
    if len(names) == 1 and any(separator in names[0] for separator in ";\t|"):
        raise InvalidTable(
            f"labels has one column, named {_shown(names[0])}. Separate columns by commas.", part="labels"
        )
    if len(names) > MAX_TARGETS:
        raise InvalidTable(f"labels has {len(names)} columns. Send at most {MAX_TARGETS}.", part="labels")
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise InvalidTable(
            f"labels has more than one column named {repeated[0]!r}. Give each column its own name.", part="labels"
        )
    if len(lines) == 1:
        raise InvalidTable("labels has a header line and no labels. Send one line per label row.", part="labels")
    body = lines[1:]
    for number, line in enumerate(body):
        if len(line) != len(names):
            raise InvalidTable(
                f"labels has {len(names)} columns and label {number} (counted from 0, without the header) has "
                f"{len(line)} fields. Send as many in every line.",
                part="labels",
            )
    columns = {}
    for place, name in enumerate(names):
        values = [line[place].strip() for line in body]
        if "" in values:
            raise MissingLabelValue(
                f"Label column {name!r} has no value for label {values.index('')} (counted from 0, without the "
                "header). Leave such rows out of labels and rows.",
                part="labels",
            )
        columns[name] = _column(name, values)
    return columns


def read_rows(path: Path) -> NDArray[Any]:
    """Row numbers from a CSV file with one number a line; a first line that is no number is a header."""
    lines = _lines(path, "rows")
    if any(len(line) != 1 for line in lines):
        raise InvalidTable("rows has more than one column. Send one row number per line.", part="rows")
    values = [line[0].strip() for line in lines]
    if values and not INTEGER.fullmatch(values[0]):
        values = values[1:]
    for number, value in enumerate(values):
        if not INTEGER.fullmatch(value) or len(value) > MAX_DIGITS:
            raise InvalidTable(
                f"rows has {_shown(value)} at place {number} (counted from 0, without a header). "
                "Send whole row numbers, counted from 0.",
                part="rows",
            )
    return np.array([int(value) for value in values], dtype=np.int64)


def _lines(path: Path, part: str) -> list[list[str]]:
    """The non-empty lines of a CSV file, split into fields."""
    csv.field_size_limit(MAX_FIELD_CHARACTERS)
    lines: list[list[str]] = []
    fields = 0
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for line in csv.reader(_bounded(file, part), strict=True):
                fields += len(line)
                if fields > MAX_FIELDS:
                    raise LabelsTooLarge(
                        f"{part} has more than {MAX_FIELDS} values. Send fewer label rows or columns, or a .npy file.",
                        part=part,
                    )
                if line:
                    lines.append(line)
    except UnicodeDecodeError as error:
        raise InvalidTable(f"{part} is not UTF-8 text. Send CSV in UTF-8, or a .npy file.", part=part) from error
    except csv.Error as error:
        raise InvalidTable(
            f"{part} is not a CSV table: a quote is not closed, or a field exceeds {MAX_FIELD_CHARACTERS} characters. "
            "Save and send it again.",
            part=part,
        ) from error
    return lines


def _bounded(file: TextIO, part: str) -> Iterator[str]:
    """The lines of a file, none of them longer than any table's: the reader splits a line before we can count."""
    while line := file.readline(MAX_LINE_CHARACTERS):
        if len(line) == MAX_LINE_CHARACTERS:
            raise InvalidTable(
                f"{part} has a line of more than {MAX_LINE_CHARACTERS} characters. Send one line per row.", part=part
            )
        yield line


def _column(name: str, values: list[str]) -> NDArray[Any]:
    if all(INTEGER.fullmatch(value) for value in values):
        longest = max(values, key=len)
        if len(longest.lstrip("+-")) > MAX_DIGITS:
            raise InvalidTable(
                f"Label column {name!r} has the whole number {_shown(longest)}, of more than {MAX_DIGITS} digits. "
                "Write quantities as real numbers (1.5e20), identifiers as text (id1234).",
                part="labels",
            )
        return np.array([int(value) for value in values], dtype=np.int64)
    if any(CODE.fullmatch(value) for value in values):
        return _text(values)
    if all(REAL.fullmatch(value) for value in values):
        return np.array([float(value) for value in values], dtype=np.float64)
    if all(value.lower() in BOOLEANS for value in values):
        return np.array([BOOLEANS[value.lower()] for value in values], dtype=np.bool_)
    absent = [place for place, value in enumerate(values) if value.lower() in ABSENT]
    present = [value for value in values if value.lower() not in ABSENT]
    if absent and present:
        numeric = all(REAL.fullmatch(value) for value in present)
        if numeric or all(value.lower() in BOOLEANS for value in present):
            kind = "numeric" if numeric else "true or false"
            raise MissingLabelValue(
                f"Label column {name!r} is {kind} but has {_shown(values[absent[0]])} for label {absent[0]} (counted "
                "from 0, without the header). Leave such rows out of labels and rows.",
                part="labels",
            )
    return _text(values)


def _text(values: list[str]) -> NDArray[Any]:
    # Of variable width: numpy's own text type would take rows x longest value.
    return np.array(values, dtype=np.dtypes.StringDType())


def _shown(value: str) -> str:
    return repr(value if len(value) <= 40 else value[:40] + "...")
