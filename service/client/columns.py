"""Columns by name, of Python values, as the CSV that the service reads as the same columns.

The service tells from its values what a column of CSV holds.  Text that looks like numbers is therefore declared to be
classes, and refused where two texts would become one number, or a text a missing value.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from service.analyses.absent import is_absent
from service.client.errors import UnsupportedSource
from service.estimation.labels import LabelType

CODE = re.compile(r"[+-]?0[0-9]+")
"""Leading zeros make text of a whole column, so that 07 and 7 stay apart."""

BOOLEANS = frozenset({"true", "false"})


@dataclass(frozen=True)
class Column:
    """One column: `values` are text, numbers or booleans, None or NaN where there is none."""

    name: str
    values: Sequence[Any]
    is_category: bool = False
    """Whether its library says that these are classes."""
    is_id: bool = False
    """Whether these are the ids of the rows."""


def csv_of(part: str, columns: Sequence[Column]) -> tuple[bytes, dict[str, LabelType]]:
    """The columns as CSV, and the types that have to be said with it.  Raises UnsupportedSource."""
    types: dict[str, LabelType] = {}
    texts = []
    for column in columns:
        written = _written(part, column)
        # Ids are text for the service, whatever they look like.
        if not column.is_id and (column.is_category or _is_disguised(part, column, written)):
            types[column.name] = LabelType.CATEGORICAL
        texts.append(written)
    out = io.StringIO()
    # Every field in quotes: an empty line is no line, and a quoted empty field is a missing value.
    writer = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerow([column.name for column in columns])
    writer.writerows(zip(*texts, strict=True))
    return out.getvalue().encode(), types


def _written(part: str, column: Column) -> list[str]:
    """The values as the service reads them; nothing for a missing one."""
    values = [_plain(value) for value in column.values]
    kinds = {type(value) for value in values if value is not None}
    if not (kinds <= {str} or kinds <= {bool} or kinds <= {int, float}):
        raise UnsupportedSource(
            f"Column {column.name!r} of {part} holds {_listed(kinds)}. Make it all text, all numbers or all booleans."
        )
    return ["" if value is None else _text(value) for value in values]


def _plain(value: Any) -> Any:
    """A value as a Python type; None for what is missing."""
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        value = value.item()  # of a scalar type of numpy
    if value is None or _is_missing(value):
        return None
    return str(value) if isinstance(value, str) else value


def _is_missing(value: Any) -> bool:
    """Whether a value is not itself, as NaN and NaT are not, or cannot say so, as NA cannot."""
    try:
        return bool(value != value)
    except TypeError:
        return True


def _text(value: str | float) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else repr(value)


def _is_disguised(part: str, column: Column, written: Iterable[str]) -> bool:
    """Whether a column of text would be read as numbers or booleans.  Raises UnsupportedSource if it would change."""
    if not any(isinstance(value, str) for value in column.values):
        return False
    texts = {text.strip() for text in written} - {""}
    given = {text for text in texts if not is_absent(text)}
    if any(CODE.fullmatch(text) for text in given):
        return False
    meant: set[float | str]
    if given and all(_is_number(text) for text in given):
        meant = {float(text) for text in given}
    elif given and all(text.lower() in BOOLEANS for text in given):
        meant = {text.lower() for text in given}
    else:
        return False
    if len(meant) < len(given) or len(given) < len(texts):
        some = ", ".join(repr(text) for text in sorted(texts)[:3])
        raise UnsupportedSource(
            f"Column {column.name!r} of {part} holds text that would be read as numbers, booleans or missing values "
            f"({some}), and its classes would not stay apart. Put a letter before each: 'c' + text."
        )
    return True


def _is_number(text: str) -> bool:
    try:
        return not math.isnan(float(text))
    except ValueError:
        return False


def _listed(kinds: Iterable[type]) -> str:
    return " and ".join(sorted(kind.__name__ for kind in kinds))
