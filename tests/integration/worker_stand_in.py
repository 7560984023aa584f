"""A real worker with a function that does what the test says: `python -m ... <behaviour> <journal>`.

Every attempt writes its own pid to the journal first.
"""

from __future__ import annotations

import os
import signal
import sys
import time

import numpy as np

from service.analyses.errors import StoreUnavailable
from service.settings import Settings
from service.worker.entry import run_worker


def attempt(analysis_id: str, behaviour: str, journal: str) -> None:
    with open(journal, "a") as file:
        file.write(f"{analysis_id} {os.getpid()}\n")
    if behaviour == "sleep":
        time.sleep(600)
    elif behaviour == "sleep_first":
        with open(journal) as file:
            if len(file.readlines()) == 1:
                time.sleep(600)
    elif behaviour == "store_away_twice":
        with open(journal) as file:
            if len(file.readlines()) < 3:
                raise StoreUnavailable("The store is away.")
    elif behaviour == "segfault":
        os.kill(os.getpid(), signal.SIGSEGV)
    elif behaviour == "abort":
        os.abort()
    elif behaviour == "devour":
        held = []
        while True:
            held.append(b"x" * 2**20)
    elif behaviour == "raise":
        raise RuntimeError("infrastructure fault")
    elif behaviour == "svd":
        np.linalg.svd(np.random.RandomState(0).normal(size=(6000, 5990)))  # minutes inside one call


if __name__ == "__main__":
    run_worker(Settings(), lambda analysis_id: attempt(analysis_id, *sys.argv[1:]))
