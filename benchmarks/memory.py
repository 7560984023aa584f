"""What an analysis is said to need of memory beside what it takes: make bench-memory.

Every size is estimated in a process of its own, on features that are mapped from files, as a worker does it.  What it
takes is by how much the process's address space grew at the most (VmPeak): an upper bound of what RLIMIT_DATA counts.
Then the same is run once more under the limit that the estimate gives, and must end.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
import tempfile
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.results import DIRECTORY, write
from service.estimation.estimate import estimate
from service.estimation.labels import label_columns
from service.estimation.memory import Sizes, needed_bytes, take_what_stays
from service.estimation.options import Options
from service.estimation.terms import Method
from service.worker.entry import PRELOADED
from service.worker.memory_limit import limited_memory

SEED = 0
MEGABYTE = 1e6


@dataclass(frozen=True)
class Case:
    """One size of a problem."""

    n: int
    dx: int
    dy: int
    n_labeled: int
    n_targets: int = 3
    dtype: str = "float64"

    @property
    def sizes(self) -> Sizes:
        """As the estimate is told of it."""
        return Sizes(self.n, self.dx, self.dy, self.n_labeled, self.n_targets)


CASES = (
    Case(300, 7, 5, 100),
    Case(2_000, 64, 48, 500),
    Case(2_000, 64, 48, 2_000),
    Case(20_000, 300, 200, 2_000),
    Case(20_000, 300, 200, 20_000),
    Case(20_000, 300, 200, 2_000, 60),
    Case(200_000, 40, 24, 1_000),
    Case(200_000, 40, 24, 200_000),
    Case(1_000_000, 6, 4, 1_000, dtype="float32"),
    Case(10_000, 2_000, 1_900, 1_000, dtype="float32"),
    Case(5_000, 4_096, 900, 1_000, dtype="float32"),
    Case(500, 20_000, 64, 300, dtype="float32"),
    Case(3_000, 20_000, 3_000, 500, dtype="float32"),
    Case(6_000, 12_000, 512, 600, dtype="float32"),
    Case(120, 200_000, 30, 100, dtype="float32"),
)
LABELED_WHOLE = 5_000  # the published procedure holds the labeled rows: beyond this many values it takes too long here


def main() -> None:
    """Print a table of estimate and measurement for every size and both methods, and write it as JSON."""
    print(
        f"{'method':11}{'n':>9}{'dx':>8}{'dy':>6}{'labeled':>9}{'targets':>8}{'takes':>9}{'said':>9}{'factor':>8}  MB"
    )
    rows = []
    for case in CASES:
        with tempfile.TemporaryDirectory(prefix="phasegate-bench-") as name:
            folder = Path(name)
            _draw(case, folder)
            for method in (Method.CALIBRATED, Method.REFERENCE):
                said = needed_bytes(case.sizes, Options(method=method))
                took = _measured(case, folder, method, None)
                ended = _measured(case, folder, method, said) is not None
                if took is None:
                    raise RuntimeError(f"{case} with {method} did not end")
                rows.append({"method": method, **vars(case), "takes_bytes": took, "said_bytes": said, "ended": ended})
                print(
                    f"{method:11}{case.n:9}{case.dx:8}{case.dy:6}{case.n_labeled:9}{case.n_targets:8}"
                    f"{took / MEGABYTE:9.0f}{said / MEGABYTE:9.0f}{said / took:8.2f}  {'' if ended else 'NOT ENDED'}",
                    flush=True,
                )
    factors = [row["said_bytes"] / row["takes_bytes"] for row in rows]
    print(f"The estimate is {min(factors):.2f} to {max(factors):.2f} times what is taken.")
    write(DIRECTORY / "memory.json", {"sizes": rows})


def _draw(case: Case, folder: Path) -> None:
    """Write features and labels of a problem with some signal."""
    rng = np.random.default_rng(SEED)
    shared = rng.standard_normal((case.n, 3))
    for part, d in (("x", case.dx), ("y", case.dy)):
        mapped = np.lib.format.open_memmap(folder / f"{part}.npy", "w+", case.dtype, (case.n, d))
        for start in range(0, case.n, 1000):
            rows = slice(start, min(start + 1000, case.n))
            mapped[rows] = rng.standard_normal((rows.stop - rows.start, d))
            mapped[rows, :3] += 2 * shared[rows]
        mapped.flush()
    labeled = np.sort(rng.choice(case.n, case.n_labeled, replace=False))
    noise = rng.standard_normal((case.n_labeled, case.n_targets))
    np.save(folder / "labels.npy", shared[labeled] @ rng.standard_normal((3, case.n_targets)) + noise)
    np.save(folder / "rows.npy", labeled)


def _measured(case: Case, folder: Path, method: Method, limit_bytes: int | None) -> int | None:
    """Bytes that an estimation takes in a process of its own; None when it does not end within the limit."""
    command = [sys.executable, "-m", "benchmarks.memory", str(folder), method, str(limit_bytes or 0)]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode != 0:
        print(result.stderr[-500:], file=sys.stderr)
    return int(result.stdout) if result.returncode == 0 else None


def _estimate_here(folder: Path, method: Method, limit_bytes: int) -> None:
    """Estimate, and print by how much the address space grew at the most."""
    for module in PRELOADED:
        importlib.import_module(module)
    take_what_stays()
    x, y = (np.load(folder / f"{part}.npy", mmap_mode="r") for part in ("x", "y"))
    labels, rows = np.load(folder / "labels.npy"), np.load(folder / "rows.npy")
    columns = label_columns({f"t{number}": column for number, column in enumerate(labels.T)}, None)
    before = _status_bytes("VmSize")
    with limited_memory(limit_bytes) if limit_bytes else nullcontext():
        estimate(x, y, columns, rows, replace(Options(), method=method))
    print(_status_bytes("VmPeak") - before)


def _status_bytes(name: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        _estimate_here(Path(sys.argv[1]), Method(sys.argv[2]), int(sys.argv[3]))
    else:
        main()
