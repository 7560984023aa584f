"""Whole numbers that no real number is, and that are refused rather than changed."""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from service.analyses.format_errors import InexactIntegers
from service.storage.formats.naming import shown

LARGEST_EXACT = 2**53  # every whole number up to here is a float64
AT_A_TIME = 2**20


def check_exact(values: NDArray[Any], name: str, part: str) -> None:
    """Refuse numbers that float64 does not hold, which are whole numbers of 64 bits.  Raises InexactIntegers."""
    if values.dtype.kind not in "iu" or values.dtype.itemsize < 8:
        return
    beyond = float(2 ** (63 if values.dtype.kind == "i" else 64))
    at_a_time = max(1, AT_A_TIME // max(1, values[:1].size))
    for start in range(0, len(values), at_a_time):
        some = values[start : start + at_a_time]
        real = some.astype(np.float64)
        if np.any(real >= beyond) or np.any(real.astype(some.dtype) != some):
            inexact(name, part)


def inexact(name: str, part: str) -> NoReturn:
    """Refuse a column, or an array.  Raises InexactIntegers."""
    raise InexactIntegers(
        f"{shown(name)!r} in {part} has whole numbers beyond 2^53 that no real number holds exactly. Leave out "
        "identifiers, or name them by id_column; write quantities as real numbers.",
        part=part,
    )
