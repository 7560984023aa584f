"""What is being read ends with whoever waits for it: with its client, and with the API."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import httpx2
import numpy as np

from tests.e2e.samples import npy

from .test_draining import api, free_port, readiness
from .waiting import wait_until

SLOW = ("a,b\n" + "1.5,na\n" * 1_000_000).encode()  # takes seconds, long enough to be stopped
FILES = {"x": ("x.csv", SLOW), "y": ("y.npy", npy(np.zeros((30, 2)))), "labels": ("labels.npy", npy(np.arange(30.0)))}


def children(process: subprocess.Popen[bytes]) -> list[int]:
    """Those that read: a child that has not become one yet is its parent still, which would be stopped with it."""
    found: list[int] = []
    for thread in Path(f"/proc/{process.pid}/task").iterdir():
        with suppress(FileNotFoundError):
            found.extend(int(pid) for pid in (thread / "children").read_text().split())
    return [pid for pid in found if b"service.storage.formats" in read_if_there(Path(f"/proc/{pid}/cmdline"))]


def read_if_there(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def stop_reading(process: subprocess.Popen[bytes]) -> None:
    """Let the child that reads never come to its end."""
    wait_until(lambda: children(process), 20)
    os.kill(children(process)[0], signal.SIGSTOP)


def staged(data_dir: Path) -> list[Path]:
    return list(data_dir.rglob("upload-*"))


def test_reading_ends_with_its_client_and_with_the_api(tmp_path: Path, valkey_url: str) -> None:
    data_dir, number = tmp_path / "data", free_port()
    address = f"http://127.0.0.1:{number}/v1"
    with api(data_dir, valkey_url, PHASEGATE_PORT=str(number), PHASEGATE_DRAIN_S="12") as process:
        wait_until(lambda: readiness(number)[0], 30)
        opened = httpx2.post(f"{address}/datasets", json={"parts": []}, timeout=10).json()["id"]
        with socket.create_connection(("127.0.0.1", number), timeout=10) as connection:
            head = f"PUT /v1/datasets/{opened}/x HTTP/1.1\r\nHost: 127.0.0.1:{number}\r\nContent-Length: {len(SLOW)}"
            connection.sendall(f"{head}\r\n\r\n".encode() + SLOW)
            stop_reading(process)
            assert staged(data_dir)
        wait_until(lambda: not children(process), 10)
        wait_until(lambda: not staged(data_dir), 10)
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(httpx2.post, f"{address}/analyses", files=FILES, timeout=60)
            stop_reading(process)
            process.terminate()
            answer = asked.result(timeout=20)
        assert (answer.status_code, answer.json()["code"]) == (503, "draining")
        assert "Retry-After" in answer.headers
        assert process.wait(15) == 0
        assert not staged(data_dir)
