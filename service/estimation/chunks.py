"""Rows of memory-mapped features, a bounded number of bytes at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.estimation.moments import Array, Indices

CHUNK_BYTES = 32 * 1024**2  # of double precision, all arrays of a chunk together


def row_chunks(arrays: Sequence[NDArray[Any]], chunk_bytes: int = CHUNK_BYTES) -> Iterator[tuple[int, list[Array]]]:
    """The first row of each chunk, and the same rows of every array (n, d) in double precision.

    Chunks are copies in C order, so that neither the layout of an array nor its type changes what is computed, and so
    that the caller may overwrite them.
    """
    columns = sum(values.shape[1] for values in arrays)
    step = max(1, chunk_bytes // (8 * max(columns, 1)))
    for start in range(0, len(arrays[0]), step):
        yield start, [_copied(values[start : start + step]) for values in arrays]


def kept_chunks(
    arrays: Sequence[NDArray[Any]], kept: NDArray[np.bool_] | None, chunk_bytes: int = CHUNK_BYTES
) -> Iterator[tuple[Indices, list[Array]]]:
    """As `row_chunks`, with the row numbers of each chunk, and only the rows for which `kept` (n,) is true."""
    for start, chunks in row_chunks(arrays, chunk_bytes):
        numbers = np.arange(start, start + len(chunks[0]))
        if kept is None:
            yield numbers, chunks
            continue
        chosen = kept[numbers]
        if chosen.all():
            yield numbers, chunks
        elif chosen.any():
            yield numbers[chosen], [chunk[chosen] for chunk in chunks]


def row_hashes(chunk: Array) -> NDArray[np.int64]:
    """A hash of each row; equal rows have equal hashes within one process."""
    return np.fromiter((hash(row.tobytes()) for row in chunk), dtype=np.int64, count=len(chunk))


def _copied(rows: NDArray[Any]) -> Array:
    chunk: Array = np.array(rows, dtype=np.float64, order="C")
    chunk += 0.0  # turns -0.0 into 0.0, which is equal but has other bytes
    return chunk
