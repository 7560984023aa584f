"""What an upload takes of memory: some chunks, never the whole once more."""

import tracemalloc
from pathlib import Path

import httpx2
import numpy as np
import pandas as pd
import polars as pl
import pytest

from service.client.uploads import Upload

SHAPE = (80_000, 100)  # 64 MB
PEAK_BYTES = 5_000_000


def memory_map(folder: Path) -> np.ndarray:
    """A file with a hole in place of its values."""
    return np.lib.format.open_memmap(folder / "x.npy", "w+", np.float64, SHAPE)


@pytest.mark.parametrize(
    "given",
    [
        memory_map,
        lambda folder: memory_map(folder)[::2],
        lambda folder: memory_map(folder).T,
        lambda folder: pd.DataFrame(memory_map(folder), copy=False),
        lambda folder: pd.DataFrame({place: np.zeros(SHAPE[0]) for place in range(SHAPE[1])}).astype("Float64"),
        lambda folder: pl.DataFrame({str(place): np.zeros(SHAPE[0]) for place in range(SHAPE[1])}),
    ],
    ids=["C order", "every second row", "F order", "pandas", "nullable", "polars"],
)
def test_a_body_is_made_of_chunks(given, tmp_path):
    source = given(tmp_path)
    with httpx2.Client() as http:
        tracemalloc.start()
        try:
            with Upload({"x": source}) as upload:
                files = {part: (part, stream) for part, stream in upload.streams.items()}
                request = http.build_request("POST", "http://127.0.0.1/", files=files)
                sent = sum(len(chunk) for chunk in request.stream)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert sent == int(request.headers["content-length"]) > 30_000_000
    assert peak < PEAK_BYTES
