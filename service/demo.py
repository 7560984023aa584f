"""The demonstration: the whole service on a real pair that scikit-learn ships, over HTTP, from start to stop."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx2
import numpy as np
from rich.console import Console

from service.client import Phasegate
from service.estimation.labels import LabelType
from service.figures.terminal import draw
from service.remote.progress import wait_showing
from service.schemas.analyses import REPORT
from service.schemas.options import SubmittedOptions

N_LABELED = 300
SEED = 0
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 15.0
ANALYSIS_TIMEOUT_S = 300.0
NAMES = ("left half of the image", "right half of the image")


class DemoFailed(Exception):
    """The demonstration could not run."""


def run_demo(as_json: bool) -> None:
    """Start the service, upload handwritten digits (left half x right half), print the report, stop the service.

    The report goes to standard output, everything else to standard error.  Raises DemoFailed.
    """
    notes = Console(stderr=True, highlight=False)
    with tempfile.TemporaryDirectory(prefix="phasegate-demo-") as folder:
        files = write_digits(Path(folder) / "upload")
        notes.print(f"Handwritten digits: {NAMES[0]} (x), {NAMES[1]} (y), {N_LABELED} rows labeled.")
        with (
            running_service(Path(folder) / "data", notes) as address,
            Phasegate(address, api_key="", use_proxies=False) as client,
        ):
            notes.print(f"The service runs at {address}.")
            report = _analyse(client, files, notes)
    if as_json:
        print(json.dumps(report, indent=2, allow_nan=False))  # noqa: T201
        return
    notes.print()
    draw(REPORT.validate_python(report), Console(highlight=False), NAMES)
    notes.print("\nThe same as JSON: phasegate demo --json")


def write_digits(folder: Path) -> dict[str, Path]:
    """Write scikit-learn's handwritten digits as an upload: x.npy, y.npy, labels.csv, rows.npy."""
    from sklearn.datasets import load_digits  # imported here: it takes longer than every other command needs

    folder.mkdir(parents=True)
    digits = load_digits()
    rows = np.sort(np.random.default_rng(SEED).choice(len(digits.images), N_LABELED, replace=False))
    arrays = {
        "x": digits.images[:, :, :4].reshape(-1, 32).astype(np.float32),
        "y": digits.images[:, :, 4:].reshape(-1, 32).astype(np.float32),
        "rows": rows,
    }
    for name, values in arrays.items():
        np.save(folder / f"{name}.npy", values)
    lines = ["digit", *(str(label) for label in digits.target[rows])]
    (folder / "labels.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return {name: folder / f"{name}.npy" for name in arrays} | {"labels": folder / "labels.csv"}


@contextmanager
def running_service(data_dir: Path, notes: Console, said: Mapping[str, str] | None = None) -> Iterator[str]:
    """The whole service as a user starts it, on a free loopback port; stopped, with all its processes, at the end.

    Arguments: said, settings other than the defaults, as environment variables.
    """
    data_dir.mkdir(mode=0o700)
    log = data_dir.parent / "service.log"
    command = [sys.executable, "-m", "service.cli", "serve", "--port", "0", "--data-dir", str(data_dir)]
    # The demonstration is the same everywhere: what is set for another service is not for this one.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PHASEGATE_")}
    environment |= said or {}
    with (
        log.open("wb") as output,
        subprocess.Popen(command, stdout=output, stderr=output, env=environment) as tree,  # noqa: S603  # nosec B603
    ):
        try:
            yield _address(tree, data_dir / "address")
        except DemoFailed:
            notes.print(log.read_text(encoding="utf-8", errors="replace"), markup=False)
            raise
        finally:
            tree.terminate()
            tree.wait(STOP_TIMEOUT_S)


def _address(tree: subprocess.Popen[bytes], file: Path) -> str:
    """The service's address, once it is ready."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if tree.poll() is not None:
            raise DemoFailed(f"The service ended with exit code {tree.returncode}; its log is above.")
        if file.exists():
            address = file.read_text(encoding="utf-8").strip()
            try:
                if httpx2.get(f"{address}/readyz", timeout=5, trust_env=False).is_success:
                    return address
            except httpx2.TransportError:
                pass  # not listening yet
        time.sleep(0.1)
    raise DemoFailed(f"The service was not ready after {START_TIMEOUT_S:g} s; its log is above.")


def _analyse(client: Phasegate, files: dict[str, Path], notes: Console) -> object:
    options = SubmittedOptions(label_types={"digit": LabelType.CATEGORICAL})
    submitted = client.submit(files["x"], files["y"], files["labels"], files["rows"], options)
    notes.print(f"Uploaded as analysis {submitted.id}.")
    wait_showing(client, submitted.id, ANALYSIS_TIMEOUT_S, notes)
    return client.report_json(submitted.id)
