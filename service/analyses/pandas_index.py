"""What pandas says, in the metadata of an Arrow schema, of the index of a frame that was written from it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

UNNAMED = re.compile(r"__index_level_[0-9]+__")  # the column of an index without a name
KEY = b"pandas"
LARGEST = 2**63 - 1


@dataclass(frozen=True)
class PandasIndex:
    """The index of a frame: which columns it is, or the whole numbers it counts, which have no column."""

    columns: frozenset[str] = frozenset()
    ranges: tuple[tuple[str, range], ...] = ()

    def __contains__(self, name: str) -> bool:
        """Whether a column of this name is the index, or one level of it."""
        return name in self.columns or UNNAMED.fullmatch(name) is not None

    def counted(self, name: str) -> range | None:
        """The whole numbers that an index of this name counts."""
        return dict(self.ranges).get(name)


def pandas_index(metadata: Mapping[bytes, bytes] | None) -> PandasIndex:
    """The index that metadata of a schema tell of; none where they make no sense, or pandas has not written them."""
    try:
        said = json.loads((metadata or {}).get(KEY, b"{}"))
        levels = said.get("index_columns", [])
        return PandasIndex(
            columns=frozenset(level for level in levels if isinstance(level, str)),
            ranges=tuple(_counted(level) for level in levels if isinstance(level, dict) and level["kind"] == "range"),
        )
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        return PandasIndex()


def _counted(level: dict[str, Any]) -> tuple[str, range]:
    counted = range(int(level["start"]), int(level["stop"]), int(level["step"]))
    if max(abs(counted.start), abs(counted.stop), len(counted)) > LARGEST:
        raise ValueError("more than 63 bits")
    return str(level["name"]), counted
