"""How a stored table says the types of its columns, where it was sent in a format that has them.

CSV that others make does not begin like this; then types are read off the values.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

MARK = "#phasegate-types:"
MAX_FIELDS = 2_000_000  # Python needs some 60 bytes a field while it reads them


class ColumnKind(StrEnum):
    """What a column holds."""

    TEXT = "text"
    INTEGER = "integer"
    REAL = "real"
    BOOLEAN = "boolean"


def header_of(kinds: Sequence[ColumnKind]) -> str:
    """The first line of a table with columns of these kinds."""
    return f"{MARK}{','.join(kinds)}\n"


def kinds_in(line: list[str]) -> list[ColumnKind] | None:
    """What the first line of a table says of its columns, split at commas; None if it says nothing."""
    if not line or not line[0].startswith(MARK):
        return None
    words = [line[0].removeprefix(MARK), *line[1:]]
    if any(word not in list(ColumnKind) for word in words):
        return None
    return [ColumnKind(word) for word in words]
