"""What hostile input costs a service: make bench-hostile.

Every input of `hostile_inputs` is sent to a whole service over HTTP.  Taken are the answer, the seconds until it came,
by how much the peak of the API process's memory grew meanwhile, and the files that stayed behind.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx2
from rich.console import Console

from benchmarks.hostile_inputs import SETTINGS, Answer, Hostile, inputs
from benchmarks.results import DIRECTORY, write
from service.demo import running_service

LARGEST_GROWTH_BYTES = 256 * 1024**2
SETTLING_S = 15.0
STORED = ("tmp", "datasets", "label-sets", "analyses", "unsettled", "tenants")


@dataclass(frozen=True)
class Measured:
    """What one input did."""

    name: str
    status: int
    code: str
    seconds: float
    growth_bytes: int
    left_behind: tuple[str, ...]
    faults: tuple[str, ...]


def main() -> None:
    """Print a table and write it as JSON; exit code 1 when an input was not answered as it must be."""
    with tempfile.TemporaryDirectory(prefix="phasegate-bench-") as name:
        folder = Path(name)
        with running_service(folder / "data", Console(stderr=True), SETTINGS) as address:
            api = api_process(folder / "service.log")
            print(f"{'':32}{'status':>7}  {'code':24}{'s':>6}{'MB':>6}{'left':>6}   MB: growth of the peak of memory")
            measured = []
            for hostile in inputs():
                found = measure(hostile, address, api, folder / "data")
                measured.append(found)
                print(
                    f"{found.name:32}{found.status or '-':>7}  {found.code:24}{found.seconds:6.2f}"
                    f"{found.growth_bytes / 1e6:6.0f}{len(found.left_behind):6}   {'; '.join(found.faults)}",
                    flush=True,
                )
    write(DIRECTORY / "hostile.json", {"inputs": [asdict(found) for found in measured]})
    print(f"{len(measured)} inputs, largest growth {max(found.growth_bytes for found in measured) / 1e6:.0f} MB")
    sys.exit(any(found.faults for found in measured))


def api_process(log: Path) -> int:
    """Process id of the API, from the log of its service."""
    for line in log.read_text(encoding="utf-8").splitlines():
        if '"child_started"' in line and (entry := json.loads(line))["child"] == "api":
            return int(entry["pid"])
    raise LookupError("the log names no API")


def measure(hostile: Hostile, address: str, api: int, data_dir: Path) -> Measured:
    """Send an input and look at what it did."""
    before = stored(data_dir)
    Path(f"/proc/{api}/clear_refs").write_text("5", encoding="ascii")  # the peak is counted from here
    lowest = peak_bytes(api)
    started = time.perf_counter()
    with httpx2.Client(base_url=address, timeout=60, trust_env=False) as http:
        try:
            answer = hostile.send(http)
        except httpx2.TransportError as error:
            answer = Answer(0, type(error).__name__)
    seconds = time.perf_counter() - started
    growth = peak_bytes(api) - lowest
    deadline = time.monotonic() + SETTLING_S
    while (left := stored(data_dir) - before) and time.monotonic() < deadline:
        time.sleep(0.05)  # what a client that has gone was sending is removed a moment later
    faults = []
    if (answer.status, answer.code) != (hostile.status, hostile.code):
        faults.append(f"must be {hostile.status} {hostile.code}")
    if growth > LARGEST_GROWTH_BYTES:
        faults.append("takes too much memory")
    if left:
        faults.append("leaves files behind")
    return Measured(hostile.name, answer.status, answer.code, seconds, growth, tuple(sorted(left)), tuple(faults))


def stored(data_dir: Path) -> set[str]:
    """Every file of the store."""
    return {str(path.relative_to(data_dir)) for folder in STORED for path in (data_dir / folder).rglob("*")}


def peak_bytes(pid: int) -> int:
    """The most memory that a process has had since it was last asked to forget it."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(encoding="ascii"))
    if found is None:
        raise LookupError(f"/proc/{pid}/status says nothing of VmHWM")
    return int(found[1]) * 1024


if __name__ == "__main__":
    main()
