"""Tensors in safetensors files: the library checks the header, and the one tensor that is wanted is mapped."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from service.analyses.dataset import FileFormat, Understood
from service.analyses.format_errors import InvalidSafetensors
from service.analyses.upload_errors import EmptyArray
from service.storage.formats.choice import Held, choose
from service.storage.formats.exactness import check_exact
from service.storage.formats.writing import Ids, Target, write_rows

LENGTH_BYTES = 8
MAX_HEADER_BYTES = 1024**2
TYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "<u2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "|i1",
    "U64": "<u8",
    "U32": "<u4",
    "U16": "<u2",
    "U8": "|u1",
    "BOOL": "|b1",
}
"""What each type is called by numpy, which has no bfloat16."""


@dataclass(frozen=True)
class Tensor(Held):
    """A tensor in a file: its place there."""

    offset: int


def convert_features(source: Path, target: Target, id_column: str) -> Understood:
    """Write the features, bfloat16 as float32, and their ids.  Raises UploadError."""
    tensors = _tensors(source, target.part)
    choice = choose(list(tensors.values()), target.part, id_column)
    features = tensors[choice.features.name]
    if 0 in features.shape:
        raise EmptyArray(
            f"{target.part} has no values: its shape is {features.shape}. Send a tensor with data.", part=target.part
        )
    mapped = _mapped(source, features)
    check_exact(mapped, features.name, target.part)
    dtype = np.dtype(np.float32) if features.dtype == "BF16" else mapped.dtype
    write_rows(target, mapped, dtype, _widened if features.dtype == "BF16" else None)
    if choice.ids is not None:
        ids = Ids(target.part, id_column)
        found = np.array(_mapped(source, tensors[id_column]))
        ids.add(_widened(found) if tensors[id_column].dtype == "BF16" else found)
        ids.write(target.ids)
    return choice.understood(FileFormat.SAFETENSORS)


def read_columns(source: Path, target: Target) -> dict[str, NDArray[Any]]:
    """All tensors of a file, each of one dimension: a column called like it.  Raises UploadError."""
    found = _tensors(source, target.part)
    return {
        name: _widened(_mapped(source, tensor)) if tensor.dtype == "BF16" else _mapped(source, tensor)
        for name, tensor in found.items()
        if tensor.dtype in TYPES
    }


Decode = Callable[[NDArray[Any]], NDArray[Any]]


def _widened(values: NDArray[Any]) -> NDArray[Any]:
    """bfloat16 as float32: the upper half of its bits."""
    return (values.astype(np.uint32) << 16).view(np.float32)


def _mapped(source: Path, tensor: Tensor) -> NDArray[Any]:
    if 0 in tensor.shape:
        return np.empty(tensor.shape, TYPES[tensor.dtype])
    return np.memmap(source, TYPES[tensor.dtype], "r", tensor.offset, tensor.shape)


def _tensors(source: Path, part: str) -> dict[str, Tensor]:
    broken = InvalidSafetensors(
        f"{part} is a safetensors file that cannot be read: it is damaged or incomplete. Save and send it again.",
        part=part,
    )
    with source.open("rb") as file:
        length = int.from_bytes(file.read(LENGTH_BYTES), "little")
        if length > MAX_HEADER_BYTES:
            raise InvalidSafetensors(
                f"{part} has a header of {length} bytes, more than {MAX_HEADER_BYTES}. Save one tensor in it.",
                part=part,
            )
        header = file.read(length)
    try:
        with safe_open(source, framework="numpy") as checked:  # types, shapes and offsets that go together, no gaps
            names = set(checked.keys())
        described: dict[str, Any] = json.loads(header)
    except (SafetensorError, ValueError, RecursionError) as error:
        raise broken from error
    start = LENGTH_BYTES + length
    return {
        name: Tensor(
            name=name,
            shape=tuple(described[name]["shape"]),
            dtype=described[name]["dtype"],
            is_number=described[name]["dtype"] in TYPES,
            offset=start + described[name]["data_offsets"][0],
        )
        for name in described
        if name in names
    }
