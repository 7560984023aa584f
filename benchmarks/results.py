"""Where benchmark results go, and on what machine they were measured."""

from __future__ import annotations

import json
import math
import os
import platform
from pathlib import Path
from typing import Any

import numpy as np
import scipy
import threadpoolctl

from service import __version__

DIRECTORY = Path(__file__).parent / "results"


def machine() -> dict[str, str | int]:
    """Versions, processor cores and BLAS threads: what a figure depends on besides the code."""
    pools = [pool for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]
    return {
        "phasegate": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "machine": platform.machine(),
        "cores": os.cpu_count() or 1,
        "blas_threads": max((int(pool["num_threads"]) for pool in pools), default=1),
    }


def write(path: Path, result: dict[str, Any]) -> None:
    """Write `result` with the machine's description as JSON; NaN, which JSON lacks, becomes null."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"machine": machine(), **_plain(result)}, indent=1, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
