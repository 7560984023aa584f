"""What a report was made from and with."""

from __future__ import annotations

import hashlib
import io
import json
import platform
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy
import threadpoolctl
from numpy.typing import NDArray

from service import __version__
from service.estimation.data_records import Digests, Provenance, Seeds, Versions
from service.estimation.labels import LabelColumn
from service.estimation.moments import Indices
from service.estimation.options import Options

CHUNK_ROWS = 4096


def provenance(
    x: NDArray[Any],
    y: NDArray[Any],
    columns: Sequence[LabelColumn],
    rows: Indices,
    options: Options,
    seed: Seeds | None,
    *,
    groups: NDArray[Any] | None = None,
    covariates: Sequence[LabelColumn] = (),
) -> Provenance:
    """Digests of the input, with options, versions, seeds and the number of BLAS threads in force."""
    blas = [pool for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]
    return Provenance(
        digests=Digests(
            x=array_digest(x),
            y=array_digest(y),
            labels=labels_digest(columns),
            rows=array_digest(rows),
            groups=None if groups is None else groups_digest(groups),
            covariates=labels_digest(covariates) if covariates else None,
        ),
        options=options,
        versions=Versions(
            phasegate=__version__,
            python=platform.python_version(),
            numpy=np.__version__,
            scipy=scipy.__version__,
            # numpy and scipy each bring their own; the order in which they are found is that of addresses in memory.
            blas=", ".join(
                sorted(
                    {
                        f"{pool['internal_api']} {pool['version']} {pool.get('architecture', '')}".strip()
                        for pool in blas
                    }
                )
            ),
        ),
        seed=seed,
        threads=max((int(pool["num_threads"]) for pool in blas), default=1),
    )


def array_digest(values: NDArray[Any]) -> str:
    """SHA-256 of the array's C-ordered .npy file, read in chunks."""
    header = io.BytesIO()
    description = np.lib.format.header_data_from_array_1_0(values[:0])
    description.update(shape=values.shape, fortran_order=False)
    np.lib.format.write_array_header_1_0(header, description)
    digest = hashlib.sha256(header.getvalue())
    for start in range(0, len(values), CHUNK_ROWS):
        digest.update(np.ascontiguousarray(values[start : start + CHUNK_ROWS]).data)
    return digest.hexdigest()


def labels_digest(columns: Sequence[LabelColumn]) -> str:
    """SHA-256 of names, types and values of the columns as compact JSON; null stands for a missing value."""
    return _json_digest([[column.name, column.type.value, _with_nulls(column)] for column in columns])


def groups_digest(groups: NDArray[Any]) -> str:
    """SHA-256 of the group ids (n,) as compact JSON: numbers or text."""
    return _json_digest(groups.tolist())


def _with_nulls(column: LabelColumn) -> list[Any]:
    values: list[Any] = column.values.tolist()
    if column.present is None:
        return values
    return [value if present else None for value, present in zip(values, column.present, strict=True)]


def _json_digest(value: list[Any]) -> str:
    return hashlib.sha256(json.dumps(value, separators=(",", ":")).encode()).hexdigest()
