"""Which components are signal: the three published rules, each a function of the components' R^2.

Source: Kamai et al. 2026, step 5 of the procedure as reference.py numbers it.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from service.estimation.moments import Array

Classes = NDArray[np.bool_]
LOG_FLOOR = 1e-12  # smallest offset added before the logarithm of `elbow_log`


def elbow(r2: Array) -> Classes:
    """Signal are the components left of the elbow of the sorted sums of R^2 over labels; r2 is (c, L)."""
    sums = r2.sum(axis=1)
    return _largest(sums, _elbow_count(sums, sums))


def elbow_log(r2: Array) -> Classes:
    """As `elbow`, with the elbow sought on log(sum + max(0.01 min(sum), 1e-12))."""
    sums = r2.sum(axis=1)
    return _largest(sums, _elbow_count(sums, np.log(sums + max(0.01 * sums.min(), LOG_FLOOR))))


def permutation(r2: Array, null_r2: Iterable[Array], quantile: float) -> Classes:
    """Signal are the components whose largest R^2, or whose sum over labels, exceeds a quantile of its null.

    `null_r2` gives one (c, L) array for every shuffle of the label rows; the null pools shuffles and components.
    """
    null = [(draw.max(axis=1), draw.sum(axis=1)) for draw in null_r2]
    largest = np.quantile([values for values, _ in null], quantile)
    total = np.quantile([values for _, values in null], quantile)
    return np.asarray((r2.max(axis=1) > largest) | (r2.sum(axis=1) > total))


def _elbow_count(sums: Array, curve: Array) -> int:
    """Number of signal components: the breakpoint at which two straight lines fit the decreasing curve best."""
    if sums.max() <= 0:
        return 0
    if len(sums) == 1:
        return 1
    ordered = np.sort(curve)[::-1]
    costs = _line_residuals(ordered)[:-1] + _line_residuals(ordered[::-1])[-2::-1]
    return int(np.argmin(costs)) + 1


def _line_residuals(values: Array) -> Array:
    """Residual sum of squares of the least-squares line through the first 1, 2, ..., c values; 0 for 1 and 2."""
    residuals = np.zeros(len(values))
    for count in range(3, len(values) + 1):
        place = np.arange(count) - (count - 1) / 2
        part = values[:count] - values[:count].mean()
        slope = place @ part / (place @ place)
        rest = part - slope * place
        residuals[count - 1] = rest @ rest
    return residuals


def _largest(sums: Array, count: int) -> Classes:
    """True for the `count` largest sums, the earlier component first on ties."""
    signal = np.zeros(len(sums), dtype=bool)
    signal[np.argsort(-sums, kind="stable")[:count]] = True
    return signal
