"""Work on what strangers sent is done by child processes, so that none of it can bring down who received it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from service.analyses.errors import AnalysisError, StoreUnavailable, UploadError
from service.analyses.format_errors import TooCostlyToRead
from service.storage.disk_files import NOT_STORED
from service.storage.formats.order import Refusal
from service.storage.formats.places import LOOK_S, Places, ReadingStopped, current_reader

MEMORY_BYTES = 1536 * 1024**2
TIME_S = 100
KEPT_ENVIRONMENT = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "LANG", "TMPDIR")
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"), "1")
SHOWN_BYTES = 1000
FOR_ITS_COST = (-signal.SIGKILL, -signal.SIGXCPU)  # by its own limits, or where memory ran out

PLACES = Places()


class ReaderDied(Exception):
    """What a child, or a library in it, said of its end.  Not for those who sent the file."""


@dataclass(frozen=True)
class Ended:
    """What a child left: its exit code, None if its time was over; what it printed."""

    code: int | None
    printed: bytes
    complained: bytes

    @property
    def was_too_costly(self) -> bool:
        """Whether it was killed for what it took."""
        return self.code is None or self.code in FOR_ITS_COST

    @property
    def death(self) -> ReaderDied:
        """Why it left no answer, for the log."""
        end = self.complained[-SHOWN_BYTES:].decode("utf-8", "replace")
        return ReaderDied(f"exit code {self.code}: {end}")


def run_child(module: str, order: str) -> Ended:
    """Run a module of ours, with an order as its argument, in one of the places for that.

    Work whose place is called back is begun again later: it must be such that it may be.
    Raises: ReadersBusy; ReadingStopped if nobody waits for it any more.
    """
    reader = current_reader()
    while True:
        with PLACES.taken(reader) as place:
            ended = _run(module, order, lambda: place.is_called_back or reader.is_over())
        if reader.is_over():
            raise ReadingStopped
        if ended is not None:
            return ended


def error_of(refusal: Refusal, part: str) -> AnalysisError:
    """The error that a child has met."""
    if refusal.code == StoreUnavailable.code:
        return StoreUnavailable(NOT_STORED)
    kinds = [UploadError]
    for kind in kinds:
        kinds.extend(kind.__subclasses__())
    found = next((kind for kind in kinds if getattr(kind, "code", None) == refusal.code), TooCostlyToRead)
    return found(refusal.message, part=refusal.part or part)


def _run(module: str, order: str, is_unwanted: Callable[[], bool]) -> Ended | None:
    """What the child left; None if it was ended because nobody wants it."""
    until = time.monotonic() + 2 * TIME_S
    with subprocess.Popen(  # noqa: S603 - our own module  # nosec B603
        [sys.executable, "-P", "-m", module, order],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={name: os.environ[name] for name in KEPT_ENVIRONMENT if name in os.environ} | ONE_THREAD,
        start_new_session=True,  # Ctrl-C is for the service, which ends its children itself
    ) as child:
        try:
            while True:
                try:
                    printed, complained = child.communicate(timeout=LOOK_S)
                except subprocess.TimeoutExpired:
                    if is_unwanted():
                        return None
                    if time.monotonic() >= until:
                        return Ended(None, b"", b"")
                else:
                    return Ended(child.returncode, printed, complained)
        finally:
            child.kill()
