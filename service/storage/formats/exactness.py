"""Whole numbers that no real number is, and that are refused rather than changed."""

from __future__ import annotations

from typing import Any, NoReturn

from numpy.typing import NDArray

from service.analyses.exactness import is_exact
from service.analyses.format_errors import InexactIntegers
from service.storage.formats.naming import shown


def check_exact(values: NDArray[Any], name: str, part: str) -> None:
    """Refuse numbers that float64 does not hold, which are whole numbers of 64 bits.  Raises InexactIntegers."""
    if not is_exact(values):
        inexact(name, part)


def inexact(name: str, part: str) -> NoReturn:
    """Refuse a column, or an array.  Raises InexactIntegers."""
    raise InexactIntegers(
        f"{shown(name)!r} in {part} has whole numbers beyond 2^53 that no real number holds exactly. Leave out "
        "identifiers, or name them by id_column; write quantities as real numbers.",
        part=part,
    )
