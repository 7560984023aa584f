"""Tensors of torch, which is not imported here: whoever gives a tensor has."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.client.arrays import Rows, rows_of_array
from service.client.errors import UnsupportedSource


def rows_of_tensor(part: str, source: Any) -> Rows | None:
    """A tensor's rows; None when it is none.

    A tensor on the CPU is read where it lies.  One on another device, or of a type that numpy has not (bfloat16, which
    becomes float32 without loss), is fetched and converted a chunk at a time.
    Raises UnsupportedSource for what has no rows of real numbers.
    """
    torch: Any = sys.modules.get("torch")
    if torch is None or not isinstance(source, torch.Tensor):
        return None
    is_dense = source.layout is torch.strided and not source.is_meta
    if not is_dense or source.is_complex() or source.is_quantized or source.ndim == 0:
        raise UnsupportedSource(
            f"{part} is a tensor of {source.dtype} with layout {source.layout} and {source.ndim} dimensions. Give a "
            "dense tensor of real numbers with one row per sample: tensor.to_dense(), torch.view_as_real(tensor)."
        )
    values = source.detach()
    is_known = not values.dtype.is_floating_point or values.dtype in (torch.float16, torch.float32, torch.float64)
    if is_known and values.device.type == "cpu":
        return rows_of_array(values.resolve_neg().numpy())

    def take(start: int, stop: int) -> NDArray[Any]:
        some = values[start:stop].to("cpu")
        taken: NDArray[Any] = (some if is_known else some.to(torch.float32)).resolve_neg().numpy()
        return taken

    dtype: np.dtype[Any] = take(0, 0).dtype
    return Rows(tuple(values.shape), dtype, take)
