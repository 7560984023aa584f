"""Features whose rows have ids: both arrays in one .npz file, which waits on the disk."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from typing import IO

import numpy as np

from service.client.arrays import NpyStream, Rows, rows_of_array
from service.client.errors import UnsupportedSource
from service.client.frames import FrameColumn


def archive(part: str, features: Rows, ids: FrameColumn) -> IO[bytes]:
    """A file that is gone when it is closed.  Raises UnsupportedSource, OSError."""
    values = np.asarray(ids.values())
    if values.dtype.kind not in "iuU":
        raise UnsupportedSource(
            f"Column {ids.name!r} of {part} holds {ids.kind}, or lacks values; ids of rows are whole numbers or text. "
            "Give every row an id."
        )
    file = tempfile.TemporaryFile(prefix="phasegate-")  # noqa: SIM115 - its reader closes it
    try:
        with zipfile.ZipFile(file, "w") as members:
            for name, rows in ((part, features), (str(ids.name), rows_of_array(values))):
                with members.open(f"{name}.npy", "w", force_zip64=True) as member:
                    shutil.copyfileobj(NpyStream(rows), member, 1 << 20)
    except BaseException:
        file.close()
        raise
    file.seek(0)
    return file
