"""Files of formats that are unpacked, made to cost more than they weigh: part of what a stranger may send."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np
from arro3.core import Array, DataType, Table
from arro3.io import write_ipc, write_parquet

Refused = tuple[str, bytes, int, str]


def features() -> Iterator[Refused]:
    """Name, content, status and code of files that are sent as x."""
    yield "npz, 1 GB of zeros", npz_bomb(), 413, "expands_too_far"
    yield "npz of 60 thousand members", many_members(60_000), 422, "invalid_npz"
    yield "npz with a pickle", zipped({"archive/data.pkl": b"\x80\x02"}), 422, "torch_file"
    yield "npz of objects", zipped({"x.npy": objects()}), 422, "which_array"
    yield "safetensors claims 2^80 bytes", tensor(2**40, 2**40), 422, "invalid_safetensors"
    yield "safetensors with holes", tensor(4, 4, begin=8), 422, "invalid_safetensors"
    yield "Parquet, 80 MB of one value", parquet({"a": np.zeros(10_000_000)}), 413, "expands_too_far"
    yield "Parquet, cut off", parquet({"a": np.arange(1000.0)})[:-10], 422, "invalid_parquet"
    yield "Parquet, footer of 2 GB", b"PAR1" + struct.pack("<I", 2**31 - 1) + b"PAR1", 422, "invalid_parquet"
    yield "Parquet, encrypted", b"PARE" + bytes(1000) + b"PARE", 422, "format_not_read"
    yield "Parquet of text", parquet({"a": np.array(["a", "b"])}), 422, "unsupported_columns"
    yield "Arrow, cut off", arrow({"a": np.arange(1000.0)})[:-10], 422, "invalid_arrow"
    yield "HDF5", b"\x89HDF\r\n\x1a\n" + bytes(1000), 422, "format_not_read"
    yield "gzip", b"\x1f\x8b\x08" + bytes(1000), 422, "format_not_read"
    yield "CSV line without end", b"a,b\n" + b"1" * 24_000_000, 422, "csv_line_too_long"
    yield (
        "CSV of a million columns",
        b",".join(b"c%d" % place for place in range(1_000_000)) + b"\n1",
        422,
        "csv_too_many_columns",
    )
    yield "CSV, text in the last line", b"a,b\n" + b"1,2\n" * 2_000_000 + b"1,cat\n", 422, "csv_number"


def tables() -> Iterator[Refused]:
    """Name, content, status and code of files that are sent as labels."""
    yield "Parquet, text of 2 GB", text_bomb(), 422, "damaged_file"  # its reader breaks off where memory ends
    yield "Parquet, ten million labels", parquet({"a": np.zeros(10_000_000)}), 413, "labels_too_large"
    yield "npz, labels of 1 GB", npz_bomb(), 413, "expands_too_far"


def npz_bomb() -> bytes:
    """A megabyte that unpacks to a thousand."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (125_000, 1000)})
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("x.npy", "w") as member:
        member.write(header.getvalue())
        for _ in range(1000):
            member.write(bytes(1_000_000))
    return file.getvalue()


def many_members(count: int) -> bytes:
    """An archive with a long directory."""
    return zipped({f"{place:090}.npy": b"" for place in range(count)})


def zipped(members: dict[str, bytes]) -> bytes:
    """An archive."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def objects() -> bytes:
    """A .npy file with a pickle in it."""
    file = io.BytesIO()
    np.save(file, np.array([[{}]], dtype=object), allow_pickle=True)
    return file.getvalue()


def tensor(rows: int, columns: int, begin: int = 0) -> bytes:
    """A safetensors file whose header claims a tensor of some shape."""
    described = {"dtype": "F32", "shape": [rows, columns], "data_offsets": [begin, begin + 64]}
    header = json.dumps({"x": described}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(64 + begin)


def parquet(columns: dict[str, np.ndarray[Any, Any]]) -> bytes:
    """A Parquet file, compressed."""
    file = io.BytesIO()
    write_parquet(_table(columns), file, compression="zstd(3)")
    return file.getvalue()


def arrow(columns: dict[str, np.ndarray[Any, Any]]) -> bytes:
    """An Arrow file."""
    file = io.BytesIO()
    write_ipc(_table(columns), file)
    return file.getvalue()


def text_bomb() -> bytes:
    """A megabyte of text, two thousand times in few bytes."""
    file = io.BytesIO()
    text = Array(["x" * 2**20] * 2000, DataType.string())
    write_parquet(Table.from_pydict({"a": text}), file, compression="zstd(3)")
    return file.getvalue()


def _table(columns: dict[str, np.ndarray[Any, Any]]) -> Table:
    arrays: dict[str, Any] = {
        name: Array(values.tolist(), DataType.string()) if values.dtype.kind == "U" else Array.from_numpy(values)
        for name, values in columns.items()
    }
    return Table.from_pydict(arrays)
