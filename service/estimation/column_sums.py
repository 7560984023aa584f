"""Running sums of a modality's columns that lose no digits to an offset or a unit."""

from __future__ import annotations

import numpy as np
from scipy.linalg import blas

from service.estimation.moments import Array


class ColumnSums:
    """Sums over rows of each column, of its square, and of products of columns, NaN counting as the column's mean.

    A column is held about a shift, its mean in the first chunk that has a value of it, and in a unit, the power of two
    just above its largest deviation from that shift so far.  Deviations so held lie within 1: sums of their products
    neither overflow nor cancel, whatever the offset and the unit; a change of unit multiplies by a power of two, which
    is exact.
    """

    def __init__(self, n_columns: int, *, products: bool) -> None:
        """Sums of no rows yet; `products` says whether products of different columns are wanted."""
        self.n_rows = 0
        self.observed = np.zeros(n_columns, dtype=np.int64)
        self.low = np.full(n_columns, np.inf)
        self.high = np.full(n_columns, -np.inf)
        self.units = np.zeros(n_columns)
        self._shift = np.zeros(n_columns)
        self._placed = np.zeros(n_columns, dtype=bool)  # columns that have their shift
        self._first = np.zeros(n_columns)
        self._second = np.zeros(n_columns)
        # In Fortran order, so that BLAS adds to the upper triangle in place.
        self._products = np.zeros((n_columns, n_columns), order="F") if products else None

    def add(self, chunk: Array) -> None:
        """Add rows (m, d), which are overwritten.  They may hold NaN, but nothing infinite."""
        if not len(chunk):
            return
        missing = np.isnan(chunk)
        some_missing = bool(missing.any())
        np.fmin(self.low, np.fmin.reduce(chunk, axis=0), out=self.low)
        np.fmax(self.high, np.fmax.reduce(chunk, axis=0), out=self.high)
        n_observed = len(chunk) - missing.sum(axis=0)
        new = ~self._placed & (n_observed > 0)
        if new.any():
            sums = np.where(missing, 0.0, chunk).sum(axis=0) if some_missing else chunk.sum(axis=0)
            # The mean of equal values may round to another value: held within their range it does not.
            means = np.clip(sums[new] / n_observed[new], self.low[new], self.high[new])
            self._shift[new] = means
            self._placed |= new
        self.observed += n_observed
        self.n_rows += len(chunk)

        chunk -= self._shift
        if some_missing:
            chunk[missing] = 0.0
        self._widen()
        chunk /= np.where(self.units > 0, self.units, 1.0)
        self._first += chunk.sum(axis=0)
        self._accumulate(chunk)

    def means(self) -> Array:
        """Mean of each column over its values, (d,); NaN for a column without any."""
        with np.errstate(invalid="ignore"):
            means: Array = self._shift + self.units * (self._first / self.observed)
        return means

    def restart_about_means(self) -> None:
        """Forget the sums and begin again about the means: rows added anew then have exactly those means filled in."""
        self._shift = self.means()
        self._first[:] = 0.0
        self._second[:] = 0.0
        if self._products is not None:
            self._products[:] = 0.0
        self.n_rows = 0
        self.observed[:] = 0
        self.units[:] = 0.0

    def finish(self) -> tuple[Array, Array, Array | None]:
        """Means (d,), standard deviations (d,), and sums of products of centred columns in `units` (d, d), symmetric.

        Without a NaN these are sums about the means; with NaN they are so after `restart_about_means` and a second
        reading.  The standard deviation is over n, and counts a filled-in value as no deviation.
        """
        means = self.means()
        centre = self._first / max(self.n_rows, 1)
        second = np.maximum(self._second - self.n_rows * centre**2, 0.0)
        deviations = self.units * np.sqrt(second / max(self.n_rows, 1))
        if self._products is None:
            return means, deviations, None
        products = blas.dsyr(-float(self.n_rows), centre, a=self._products, overwrite_a=1)
        for column in range(len(products)):
            products[column + 1 :, column] = products[column, column + 1 :]
        return means, deviations, products

    def _widen(self) -> None:
        """Raise the unit of every column that has deviated further than before."""
        seen = self.low <= self.high
        reach = np.zeros(len(seen))
        reach[seen] = np.maximum(self.high - self._shift, self._shift - self.low)[seen]
        needed = np.ldexp(1.0, np.frexp(reach)[1])
        wider = (reach > 0) & (needed > self.units)
        if not wider.any():
            return
        ratio = np.where(wider, self.units / np.where(wider, needed, 1.0), 1.0)
        self.units = np.where(wider, needed, self.units)
        self._first *= ratio
        self._second *= ratio**2
        if self._products is not None:
            self._products *= ratio
            self._products *= ratio[:, None]

    def _accumulate(self, deviations: Array) -> None:
        self._second += np.einsum("nd,nd->d", deviations, deviations)
        if self._products is not None:
            self._products = blas.dsyrk(1.0, deviations.T, beta=1.0, c=self._products, overwrite_c=1)
