"""Whether numbers stay what they are as real numbers of double precision."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

LARGEST_EXACT = 2**53  # every whole number up to here is a float64
AT_A_TIME = 2**20


def is_exact(values: NDArray[Any]) -> bool:
    """Whether float64 holds all of some numbers; of those that features may be, only whole ones of 64 bits may be more.

    Arguments: values (n, ...), looked at some rows at a time.
    """
    if values.dtype.kind not in "iu" or values.dtype.itemsize < 8:
        return True
    beyond = float(2 ** (63 if values.dtype.kind == "i" else 64))
    at_a_time = max(1, AT_A_TIME // max(1, values[:1].size))
    for start in range(0, len(values), at_a_time):
        some = values[start : start + at_a_time]
        real = some.astype(np.float64)
        if np.any(real >= beyond) or np.any(real.astype(some.dtype) != some):
            return False
    return True
