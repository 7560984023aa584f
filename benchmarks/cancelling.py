"""How long a running analysis goes on after it is cancelled: make bench-cancel.

A whole service with one worker runs analyses of some seconds.  Each is cancelled over HTTP while it runs, and the time
until its process is gone is taken; once as it is, and once with the message to the worker lost, so that the worker has
to see for itself that its lease has been taken away.
"""

from __future__ import annotations

import io
import json
import re
import tempfile
import time
from pathlib import Path
from statistics import median

import httpx2
import numpy as np
from redis import Redis
from rich.console import Console

from benchmarks.results import DIRECTORY, write
from service.demo import running_service
from service.storage import queue_scripts

REPETITIONS = 20
LIMIT_S = 2.0
SEED = 0


def main() -> None:
    """Print a table of both ways, and write the times as JSON."""
    console = Console(stderr=True)
    with tempfile.TemporaryDirectory(prefix="phasegate-bench-") as name:
        folder = Path(name)
        with running_service(folder / "data", console) as address:
            server = Redis(unix_socket_path=str(folder / "data" / "server" / "valkey.sock"))
            with httpx2.Client(base_url=address, timeout=60, trust_env=False) as http:
                times = {
                    "worker is told": [one(http, folder / "service.log", None) for _ in range(REPETITIONS)],
                    "message is lost": [one(http, folder / "service.log", server) for _ in range(REPETITIONS)],
                }
    print(
        f"{'':18}{'median':>9}{'longest':>9}   seconds from the request to the end of the process, {REPETITIONS} times"
    )
    for how, taken in times.items():
        print(f"{how:18}{median(taken):9.2f}{max(taken):9.2f}")
    write(DIRECTORY / "cancelling.json", {"limit_s": LIMIT_S, "seconds": times})


def one(http: httpx2.Client, log: Path, server: Redis | None) -> float:
    """Seconds from the cancellation of a running analysis to the end of its process."""
    analysis = http.post("/v1/analyses", files=long_upload()).json()
    while http.get(analysis["links"]["self"]).json()["progress"]["fraction"] <= 0:
        time.sleep(0.02)
    pid = attempt_of(log, analysis["id"])
    started = time.perf_counter()
    if server is None:
        http.post(f"{analysis['links']['self']}/cancel").raise_for_status()
    else:
        queue_scripts.forget(server, analysis["id"])
    while Path(f"/proc/{pid}").exists():
        time.sleep(0.005)
    taken = time.perf_counter() - started
    http.post(f"{analysis['links']['self']}/cancel").raise_for_status()
    return taken


def attempt_of(log: Path, analysis_id: str) -> int:
    """Process id of the attempt at an analysis."""
    for line in reversed(log.read_text(encoding="utf-8").splitlines()):
        if re.search("attempt_started", line):
            entry = json.loads(line)
            if entry["analysis_id"] == analysis_id:
                return int(entry["pid"])
    raise LookupError(analysis_id)


def long_upload() -> dict[str, tuple[str, bytes]]:
    """A problem that takes tens of seconds."""
    rng = np.random.default_rng(SEED)
    x = rng.standard_normal((4000, 250))
    y = x[:, :240] + rng.standard_normal((4000, 240))
    files = {}
    for name, values in (("x", x), ("y", y), ("labels", x[:, :3])):
        buffer = io.BytesIO()
        np.save(buffer, values)
        files[name] = (name, buffer.getvalue())
    return files


if __name__ == "__main__":
    main()
