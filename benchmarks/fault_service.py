"""A whole service that can be hurt: its processes, its log, its files, and its clock."""

from __future__ import annotations

import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import httpx2
from redis import Redis

T = TypeVar("T")

SOURCE = Path(__file__).with_name("clock.c")
READY_WITHIN_S = 60.0
STOP_WITHIN_S = 20.0
LOOK_S = 0.01


@dataclass(frozen=True)
class Service:
    """A running service: where it listens, what it keeps, and what it says."""

    address: str
    folder: Path
    root: int

    @property
    def data_dir(self) -> Path:
        """What it keeps."""
        return self.folder / "data"

    @property
    def server(self) -> Redis:
        """Its embedded server."""
        return Redis(unix_socket_path=str(self.data_dir / "server" / "valkey.sock"))

    def log(self) -> list[dict[str, object]]:
        """What it has said so far."""
        entries = []
        for line in (self.folder / "service.log").read_text(encoding="utf-8", errors="replace").splitlines():
            with suppress(ValueError):
                entries.append(json.loads(line))
        return entries

    def processes(self, part: str) -> list[int]:
        """Processes of the tree whose command has this in it."""
        return [pid for pid, command in descendants(self.root).items() if part in command]

    def starts(self) -> dict[str, int]:
        """How often each analysis has been started."""
        return dict(Counter(str(e["analysis_id"]) for e in self.log() if e.get("event") == "attempt_started"))

    def running(self) -> dict[str, int]:
        """The attempts that run now: the process of each analysis."""
        started = {str(e["analysis_id"]): int(str(e["pid"])) for e in self.log() if e.get("event") == "attempt_started"}
        alive = descendants(self.root)
        return {analysis_id: pid for analysis_id, pid in started.items() if pid in alive}

    def outcomes(self, analysis_id: str) -> int:
        """How many outcomes of an analysis are stored: reports, failures."""
        folder = self.data_dir / "analyses" / analysis_id
        return sum((folder / name).exists() for name in ("report.json", "failure.json"))


@contextmanager
def running_service(folder: Path, *, workers: int = 2, with_clock: bool = False) -> Iterator[Service]:
    """The whole service as a user starts it, without a limit of calls; stopped with all its processes at the end."""
    (folder / "data").mkdir(mode=0o700, parents=True, exist_ok=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PHASEGATE_")}
    environment |= {"PHASEGATE_RATE_PER_MINUTE": "0"}
    if with_clock:
        environment |= preloaded_clock(folder)
    command = [sys.executable, "-m", "service.cli", "serve", "--port", "0", "--workers", str(workers)]
    command += ["--data-dir", str(folder / "data")]
    with (
        (folder / "service.log").open("ab") as output,
        subprocess.Popen(command, stdout=output, stderr=output, env=environment) as tree,
    ):
        try:
            address = wait_until(lambda: _address(folder / "data"), READY_WITHIN_S)
            yield Service(address, folder, tree.pid)
        finally:
            tree.terminate()
            tree.wait(STOP_WITHIN_S)


def preloaded_clock(folder: Path) -> dict[str, str]:
    """The environment of processes whose clock `set_clock` sets.  Raises FileNotFoundError without a C compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        raise FileNotFoundError("There is no C compiler (cc), which the clock that can be set is made with.")
    library = folder / "clock.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", str(library), str(SOURCE), "-ldl", "-lm"], check=True)
    set_clock(folder, 0.0)
    return {"LD_PRELOAD": str(library), "CLOCK_FILE": str(folder / "clock")}


def set_clock(folder: Path, offset_s: float) -> None:
    """Set the clock of all processes of a service so many seconds off the time, at once and for all of them."""
    path = folder / "clock"
    path.touch()
    with path.open("r+b") as file:
        file.write(struct.pack("d", offset_s))


def descendants(root: int) -> dict[int, str]:
    """Commands of a process's living descendants."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdigit():
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if fields[0] != "Z":
                    children.setdefault(int(fields[1]), []).append(int(entry.name))
    found: dict[int, str] = {}
    waiting = list(children.get(root, []))
    while waiting:
        pid = waiting.pop()
        with suppress(OSError):
            found[pid] = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
            waiting += children.get(pid, [])
    return found


def kill(*pids: int) -> None:
    """SIGKILL to processes; those that are gone are left."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def wait_until(look: Callable[[], T], timeout_s: float) -> T:
    """The first true answer of `look`.  Raises TimeoutError."""
    deadline = time.monotonic() + timeout_s
    while not (answer := look()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {timeout_s:g} s")
        time.sleep(LOOK_S)
    return answer


def _address(data_dir: Path) -> str:
    """The service's address once it is ready, empty before."""
    try:
        address = (data_dir / "address").read_text(encoding="utf-8").strip()
        return address if httpx2.get(f"{address}/readyz", timeout=5, trust_env=False).is_success else ""
    except (FileNotFoundError, httpx2.TransportError):
        return ""
