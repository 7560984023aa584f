"""Files are converted in a child process each, a few at a time, so that none can bring down who received them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import BoundedSemaphore

from service.analyses.dataset import FileFormat, Understood
from service.analyses.errors import AnalysisError, ReadersBusy, UploadError
from service.analyses.format_errors import TooCostlyToRead
from service.storage.formats.order import Answer, Order, Refusal

MEMORY_BYTES = 1536 * 1024**2
TIME_S = 100
AT_A_TIME, WAITING = 2, 6  # more would keep the threads from which all calls are answered
PATIENCE_S = 30.0
KEPT_ENVIRONMENT = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "LANG", "TMPDIR")
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"), "1")
SHOWN_BYTES = 1000

_places, _line = BoundedSemaphore(AT_A_TIME), BoundedSemaphore(AT_A_TIME + WAITING)


class ReaderDied(Exception):
    """What a child, or a library in it, said of its end.  Not for those who sent the file."""


def converted(
    source: Path, part: str, kind: FileFormat, target: Path, ids: Path, id_column: str, max_bytes: int
) -> Understood:
    """Convert a file: x and y to .npy, with the ids of their rows if they have any, other parts to CSV.

    Arguments: target, what is written; ids, where ids go; max_bytes, how large either may become.

    Raises: UploadError of some kind for a file that cannot be read; ReadersBusy when too many are being read.
    """
    order = Order(
        part=part,
        format=kind,
        source=str(source.resolve()),
        target=str(target.resolve()),
        ids=str(ids.resolve()),
        id_column=id_column,
        max_bytes=max_bytes,
        memory_bytes=MEMORY_BYTES,
        time_s=TIME_S,
    )
    with reading_place():
        try:
            ended = subprocess.run(  # noqa: S603 - our own module  # nosec B603
                [sys.executable, "-P", "-m", "service.storage.formats", order.written()],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=2 * TIME_S,
                check=False,
                env={name: os.environ[name] for name in KEPT_ENVIRONMENT if name in os.environ} | ONE_THREAD,
            )
        except subprocess.TimeoutExpired:
            raise _too_costly(part) from None
    try:
        answer = Answer.read(ended.stdout)
    except (ValueError, KeyError, TypeError):
        # It was killed for what it took, or by a fault of a library, which only this file has met.
        raise _too_costly(part) from ReaderDied(f"exit code {ended.returncode}: {_end_of(ended.stderr)}")
    if answer.refusal is not None:
        cause = answer.refusal.cause
        raise _error_of(answer.refusal, part) from (ReaderDied(cause) if cause else None)
    if answer.understood is None:
        raise ValueError("the child says neither what it understood nor why it did not")
    return answer.understood


@contextmanager
def reading_place() -> Iterator[None]:
    """One of the few places in this process for work on what was sent.  Raises ReadersBusy."""
    with _taken(_line, 0), _taken(_places, PATIENCE_S):
        yield


@contextmanager
def _taken(places: BoundedSemaphore, timeout_s: float) -> Iterator[None]:
    if not places.acquire(timeout=timeout_s):
        raise ReadersBusy("Other uploads are being read. Try again later, or send .npy, which needs no reading.")
    try:
        yield
    finally:
        places.release()


def _too_costly(part: str) -> TooCostlyToRead:
    return TooCostlyToRead(
        f"{part} takes more memory or time to read than the service gives, or is made so that it cannot be read. Write "
        "it with fewer rows in each row group, as one column of fixed-size lists, or as .npy.",
        part=part,
    )


def _error_of(refusal: Refusal, part: str) -> AnalysisError:
    kinds = [UploadError]
    for kind in kinds:
        kinds.extend(kind.__subclasses__())
    found = next((kind for kind in kinds if getattr(kind, "code", None) == refusal.code), TooCostlyToRead)
    return found(refusal.message, part=part)


def _end_of(text: bytes) -> str:
    return text[-SHOWN_BYTES:].decode("utf-8", "replace")
