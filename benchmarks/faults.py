"""Nothing accepted is lost, whatever dies: make bench-faults.

For each fault a whole service runs small analyses of distinct data, in as many rounds as the fault is injected.  In
each round analyses are submitted, the fault strikes while they run or wait, and everybody waits for their ends.  They
are by the published procedure, which is quick, but for the first of each round, which is to be caught running.  An
analysis counts as accepted when its 202 has come, or when it is on the store.

`recovered` are those with exactly one final state; `lost` those that the service no longer knows; `twice` those with
more than one outcome; `stuck` those without any ROUND_WITHIN_S after the fault.  The longest recovery is the longest
time from a fault until an analysis that it had interrupted ran again.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import httpx2
import numpy as np

from benchmarks.fault_service import Service, kill, running_service, set_clock, wait_until
from benchmarks.results import DIRECTORY, write

T = TypeVar("T")

ANALYSES = 200
ROUND_WITHIN_S = 120.0
AT_ONCE = 4  # submissions
LOOK_S = 0.1
FINAL = ("succeeded", "failed", "cancelled")
FULL_DISK_BYTES = 96 * 1024**2
HOUR_S = 3600.0

Strike = Callable[[Service, Sequence[str]], Sequence[str]]
"""Does the harm to a service that runs these analyses, and returns the ids of further ones that are on the store."""


@dataclass(frozen=True)
class Fault:
    """What happens, how often, and what is needed for it."""

    name: str
    strike: Strike
    times: int
    with_clock: bool = False
    on_small_disk: bool = False
    ends_failed: str | None = None  # the code with which those end that are hit; nothing fails otherwise


@dataclass
class Endured:
    """What became of the analyses under one fault."""

    fault: str
    injected: int = 0
    accepted: int = 0
    recovered: int = 0
    lost: int = 0
    twice: int = 0
    stuck: int = 0
    failed: dict[str, int] = field(default_factory=dict)  # by code
    longest_s: float = 0.0  # until what was interrupted ran again
    expected: tuple[str, ...] = ()  # the codes of all failures that there have to be

    @property
    def holds(self) -> bool:
        """Whether every accepted analysis has exactly one final state, and those fail that have to, and no others."""
        is_whole = self.recovered == self.accepted and not (self.lost or self.twice or self.stuck)
        return is_whole and set(self.failed) == set(self.expected)


def main() -> None:
    """Print a table of all faults, and write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="names of faults to run, separated by commas")
    parser.add_argument("--analyses", type=int, default=ANALYSES)
    asked = parser.parse_args()
    print(
        f"{'fault':44}{'injected':>9}{'accepted':>9}{'recovered':>10}{'lost':>5}{'twice':>6}{'stuck':>6}{'longest':>9}"
    )
    rows = []
    for fault in FAULTS:
        if asked.only is None or fault.name in asked.only.split(","):
            times = min(fault.times, asked.analyses)
            with tempfile.TemporaryDirectory(prefix="phasegate-faults-") as name, service_for(fault, Path(name)) as one:
                endured = endure(one, [fault], asked.analyses, times)
            rows.append(endured)
            codes = ", ".join(f"{count} {code}" for code, count in endured.failed.items())
            print(
                f"{fault.name:44}{endured.injected:9}{endured.accepted:9}{endured.recovered:10}{endured.lost:5}"
                f"{endured.twice:6}{endured.stuck:6}{endured.longest_s:8.1f}s  {codes}",
                flush=True,
            )
    write(DIRECTORY / "faults.json", {"analyses": asked.analyses, "faults": [asdict(row) for row in rows]})
    if not all(row.holds for row in rows):
        raise SystemExit(1)


@contextmanager
def service_for(fault: Fault, folder: Path) -> Iterator[Service]:
    """A service that the fault can strike.  Raises CalledProcessError, FileNotFoundError for what it needs."""
    with _disk(folder, small=fault.on_small_disk), running_service(folder, with_clock=fault.with_clock) as service:
        yield service


def endure(service: Service, faults: Sequence[Fault], n_analyses: int, times: int, first_seed: int = 0) -> Endured:
    """Run analyses through faults that strike together, so many times, and see what becomes of them."""
    endured = Endured(
        " + ".join(fault.name for fault in faults),
        expected=tuple(sorted({fault.ends_failed for fault in faults if fault.ends_failed is not None})),
    )
    accepted: list[str] = []
    for number in range(times):
        first, last = (first_seed + (number + more) * n_analyses // times for more in (0, 1))
        ids = _submit_all(service, range(first, last))
        hit: list[str] = []
        for fault in faults:
            hit += fault.strike(service, ids)
            endured.injected += 1
        ids += hit
        accepted += ids
        endured.longest_s = max(endured.longest_s, _recovery_s(service, ids, hit))
    _count(service, accepted, endured)
    return endured


def _recovery_s(service: Service, ids: Sequence[str], hit: Sequence[str]) -> float:
    """Wait for the ends of analyses; seconds until those that were hit, or had to start again, had started."""
    struck = time.monotonic()
    before = service.starts()
    waiting_for = set(hit) - set(before)
    longest_s = 0.0
    while time.monotonic() - struck < ROUND_WITHIN_S:
        is_over = all(service.outcomes(analysis_id) for analysis_id in ids)
        for analysis_id, starts in service.starts().items():
            if analysis_id in waiting_for or starts > before.get(analysis_id, starts):
                longest_s = time.monotonic() - struck
                waiting_for.discard(analysis_id)
                before[analysis_id] = starts
        if is_over:
            break
        time.sleep(LOOK_S)
    return longest_s


def _count(service: Service, accepted: Sequence[str], endured: Endured) -> None:
    settled = [str(entry["analysis_id"]) for entry in service.log() if entry.get("event") == "analysis_settled"]
    for analysis_id in accepted:
        endured.accepted += 1
        answer = _get(service, f"/v1/analyses/{analysis_id}")
        analysis = answer.json()
        if answer.status_code == httpx2.codes.NOT_FOUND:
            endured.lost += 1
        elif analysis["state"] not in FINAL:
            endured.stuck += 1
        elif service.outcomes(analysis_id) != 1 or settled.count(analysis_id) > 1:
            endured.twice += 1
        else:
            endured.recovered += 1
        if analysis.get("error"):
            code = analysis["error"]["code"]
            endured.failed[code] = endured.failed.get(code, 0) + 1


# the faults


def _an_attempt(service: Service, ids: Sequence[str]) -> Sequence[str]:
    """The process that runs an analysis is killed, as soon as one of these runs."""
    kill(wait_until(lambda: [pid for one, pid in service.running().items() if one in ids], 30)[0])
    return ()


def _a_worker(service: Service, ids: Sequence[str]) -> Sequence[str]:
    """A worker is killed while it runs one of these, and with it what it runs."""
    attempt = wait_until(lambda: [pid for one, pid in service.running().items() if one in ids], 30)[0]
    with suppress(FileNotFoundError):
        status = Path(f"/proc/{attempt}/stat").read_text(encoding="ascii")
        kill(int(status.rpartition(")")[2].split()[1]), attempt)
    return ()


def _all_workers(service: Service, ids: Sequence[str]) -> Sequence[str]:
    """All workers are killed while one of them runs one of these."""
    wait_until(lambda: [one for one in service.running() if one in ids], 30)
    kill(*service.processes("service.cli worker"))
    return ()


def _api_during_an_upload(service: Service, ids: Sequence[str]) -> Sequence[str]:
    """The API is killed when it has half of an upload: nobody was told that it is accepted, and nothing stays of it."""
    at = urlsplit(service.address)
    with socket.create_connection((at.hostname, at.port or 80), timeout=10) as connection:
        head = b"POST /v1/analyses HTTP/1.1\r\nHost: " + at.netloc.encode() + b"\r\nContent-Length: 10000000\r\n"
        head += b"Content-Type: multipart/form-data; boundary=b\r\n\r\n"
        part = b'--b\r\nContent-Disposition: form-data; name="x"; filename="x"\r\n\r\n'
        connection.sendall(head + part + bytes(2_000_000))
        api = service.processes("service.cli api")
        wait_until(lambda: _has_open(api[0], service.data_dir / "tmp"), 10)
        kill(*api)
    _get(service, "/readyz")
    if list((service.data_dir / "tmp").iterdir()):
        raise RuntimeError("something of the upload is left")
    return ()


def _has_open(pid: int, folder: Path) -> bool:
    """Whether a process has a file of a folder open, be it without a name."""
    with suppress(OSError):
        return any(os.readlink(link).startswith(f"{folder}/") for link in Path(f"/proc/{pid}/fd").iterdir())
    return False


def _api_before_it_queues(service: Service, ids: Sequence[str]) -> Sequence[str]:
    """The API is killed when it has stored a submission and not yet queued it, and the server too.

    The server is stopped when the submission's mark appears, which is before the submission is there: the API then
    waits for the server's answer.  The server is killed after the API, or it would read the command that has been sent.
    """
    marks = service.data_dir / "unsettled"
    before = {mark.name for mark in marks.iterdir()}
    server, api = service.processes("valkey-server"), service.processes("service.cli api")
    sender = threading.Thread(target=_submit_once, args=(service, ANALYSES + time.monotonic_ns() % 10**9), daemon=True)
    sender.start()
    (new,) = _at_once(lambda: {mark.name for mark in marks.iterdir()} - before)
    os.kill(server[0], signal.SIGSTOP)
    _at_once(lambda: (service.data_dir / "analyses" / new / "submission.json").exists())
    kill(*api)
    kill(*server)
    sender.join()
    return (new,)


def _the_server(service: Service, ids: Sequence[str]) -> Sequence[str]:
    """The embedded server is killed while one of these runs."""
    wait_until(lambda: [one for one in service.running() if one in ids], 30)
    kill(*service.processes("valkey-server"))
    return ()


def _the_server_with_its_data(service: Service, ids: Sequence[str]) -> Sequence[str]:
    """The embedded server loses all its data, and is killed."""
    wait_until(lambda: [one for one in service.running() if one in ids], 30)
    service.server.flushall()
    kill(*service.processes("valkey-server"))
    return ()


def _a_full_disk(service: Service, ids: Sequence[str]) -> Sequence[str]:
    """The disk is full for five seconds, while these run or wait and more are sent."""
    filler = service.data_dir / "filler"
    further: list[str] = []
    with filler.open("wb") as file, suppress(OSError):
        while True:
            file.write(bytes(2**16))
            file.flush()
    until = time.monotonic() + 5
    while time.monotonic() < until:
        answer = _submit_once(service, 10**6 + time.monotonic_ns() % 10**9)
        if answer is not None:
            further.append(answer)
        time.sleep(0.2)
    filler.unlink()
    return further


def _an_array(alter: Callable[[Path], None]) -> Strike:
    def strike(service: Service, ids: Sequence[str]) -> Sequence[str]:
        """The features of a further one are altered on the store, before any worker can have read them."""
        with _paused(service.processes("service.cli worker")):
            hit = wait_until(lambda: _submit_once(service, 10**6 + time.monotonic_ns() % 10**9) or "", 30)
            dataset = _get(service, f"/v1/analyses/{hit}").json()["dataset_id"]
            (features,) = (service.data_dir / "datasets" / dataset).glob("x*")
            alter(features)
        return (hit,)

    return strike


@contextmanager
def _paused(processes: Sequence[int]) -> Iterator[None]:
    """Processes that stand still meanwhile; one that has ended stays ended."""

    def send(number: signal.Signals) -> None:
        for process in processes:
            with suppress(ProcessLookupError):
                os.kill(process, number)

    send(signal.SIGSTOP)
    try:
        yield
    finally:
        send(signal.SIGCONT)


def _truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _flip_one_bit(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        last = file.read(1)[0]
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last ^ 1]))


def _the_clock(offset_s: float) -> Strike:
    def strike(service: Service, ids: Sequence[str]) -> Sequence[str]:
        """The clock of API, workers and server is set while one of these runs; it stays so for the next round."""
        wait_until(lambda: [one for one in service.running() if one in ids], 30)
        has = json.loads(_clock(service).read_text() or "0") if _clock(service).exists() else 0.0
        _clock(service).write_text(json.dumps(has + offset_s))
        set_clock(service.folder, has + offset_s)
        return ()

    return strike


def _clock(service: Service) -> Path:
    return service.folder / "clock-is-off-by"


FAULTS = (
    Fault("SIGKILL of an attempt's process", _an_attempt, 20),
    Fault("SIGKILL of a worker and its attempt", _a_worker, 8),
    Fault("SIGKILL of all workers", _all_workers, 8),
    Fault("SIGKILL of the API during an upload", _api_during_an_upload, 10),
    Fault("SIGKILL of the API before it queues", _api_before_it_queues, 5),
    Fault("SIGKILL of the embedded server", _the_server, 10),
    Fault("embedded server without its data", _the_server_with_its_data, 5),
    Fault("full disk", _a_full_disk, 4, on_small_disk=True),
    Fault("truncated array", _an_array(_truncate), 10, ends_failed="input_altered"),
    Fault("altered array", _an_array(_flip_one_bit), 10, ends_failed="input_altered"),
    Fault("clock set forwards by an hour", _the_clock(HOUR_S), 5, with_clock=True),
    Fault("clock set back by an hour", _the_clock(-HOUR_S), 5, with_clock=True),
)


# what it takes


def _submit_all(service: Service, seeds: range) -> list[str]:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(lambda seed: _submit(service, seed, is_long=seed == seeds[0]), seeds))


def _submit(service: Service, seed: int, *, is_long: bool) -> str:
    """Submit an analysis until it is accepted."""
    return wait_until(lambda: _submit_once(service, seed, is_long=is_long), ROUND_WITHIN_S) or ""


def _submit_once(service: Service, seed: int, *, is_long: bool = False) -> str | None:
    """Submit an analysis; its id if it is accepted.  A long one takes a second, so that it can be caught running."""
    options = {"options": json.dumps({"method": "calibrated" if is_long else "reference"})}
    try:
        answer = httpx2.post(
            f"{service.address}/v1/analyses", files=upload(seed), data=options, timeout=30, trust_env=False
        )
    except httpx2.TransportError:
        return None
    return str(answer.json()["id"]) if answer.status_code == httpx2.codes.ACCEPTED else None


def upload(seed: int) -> dict[str, tuple[str, bytes]]:
    """A small problem, other data for every seed."""
    rng = np.random.default_rng(seed)
    shared = rng.standard_normal((120, 2))
    x, y = (shared @ rng.standard_normal((2, d)) + rng.standard_normal((120, d)) for d in (6, 8))
    files = {}
    for name, values in (("x", x), ("y", y), ("labels", shared)):
        buffer = io.BytesIO()
        np.save(buffer, values)
        files[name] = (name, buffer.getvalue())
    return files


def _get(service: Service, path: str) -> httpx2.Response:
    """An answer of the service, however often its API is killed meanwhile."""

    def look() -> httpx2.Response | None:
        with suppress(httpx2.TransportError):
            return httpx2.get(f"{service.address}{path}", timeout=30, trust_env=False)
        return None

    found = None
    until = time.monotonic() + ROUND_WITHIN_S
    while found is None and time.monotonic() < until:
        found = look()
    if found is None:
        raise TimeoutError(f"no answer to {path}")
    return found


def _at_once(look: Callable[[], T]) -> T:
    """The first true answer, looked for without a pause."""
    until = time.monotonic() + 30
    while not (answer := look()):
        if time.monotonic() > until:
            raise TimeoutError("it has not happened")
    return answer


@contextmanager
def _disk(folder: Path, *, small: bool) -> Iterator[None]:
    """A small disk of its own for the data, which takes the right to mount one.  Raises CalledProcessError."""
    if not small:
        yield
        return
    data = folder / "data"
    data.mkdir(mode=0o700)
    command = ["mount", "-t", "tmpfs", "-o", f"size={FULL_DISK_BYTES},mode=0700", "phasegate", str(data)]
    subprocess.run(command, check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(data)], check=True, capture_output=True)


if __name__ == "__main__":
    main()
