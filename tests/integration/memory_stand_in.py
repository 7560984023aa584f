"""Runs analyses, each in a process of its own with so much memory: `python -m ... <stores> <id>:<bytes> ...`

Prints how each of them ended: succeeded, the code of its failure, or the exit code of its process.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from service.analyses.execution import run
from service.analyses.ports import Stores
from service.analyses.tenancy import DEFAULT_TENANT
from service.storage.bucket_address import BucketAddress, Credentials
from service.storage.redis_queue import RedisQueue, open_connection
from service.worker.attempt import OUT_OF_MEMORY_EXIT_CODE
from service.worker.memory_limit import limited_memory
from tests.places import BucketPlace, DiskPlace


def main(stores: str, *asked: str) -> None:
    queue = RedisQueue(open_connection("unix:///nowhere.sock", timeout_s=0.1, retries=0), time_limit_s=60)
    for one in asked:
        analysis_id, limit_bytes = one.split(":")
        status = in_a_child(partial(run_one, stores, queue, analysis_id, int(limit_bytes)))
        ending = in_a_child(partial(tell, stores, analysis_id)) if status == 0 else status
        if ending:
            sys.stderr.write(f"exit-code={ending}\n")


def run_one(stores: str, queue: RedisQueue, analysis_id: str, limit_bytes: int) -> None:
    store = opened(stores).of(DEFAULT_TENANT)
    run(store, queue, analysis_id, lambda progress: None, lambda: limited_memory(limit_bytes))


def tell(stores: str, analysis_id: str) -> None:
    outcome = opened(stores).of(DEFAULT_TENANT).analyses.outcome(analysis_id)
    sys.stderr.write(f"{outcome.failure.code if outcome.failure else 'succeeded'}\n")
    sys.stderr.flush()


def opened(stores: str) -> Stores:
    """The stores that a test has told of as JSON: those of a bucket have an address."""
    told = json.loads(stores)
    folder = Path(told["folder"])
    if told.get("address") is None:
        return DiskPlace(folder, max_label_bytes=1_000_000).open()
    credentials = Credentials(**told["address"].pop("credentials"))
    address = BucketAddress(**told["address"], credentials=credentials)
    return BucketPlace(address, folder, max_label_bytes=1_000_000).open()


def in_a_child(function: Callable[[], None]) -> int:
    """The exit code of a child that calls a function: a bucket is used by no process that forks."""
    child = os.fork()
    if child == 0:
        exit_code = 1
        try:
            function()
            exit_code = 0
        except MemoryError:
            exit_code = OUT_OF_MEMORY_EXIT_CODE
        finally:
            os._exit(exit_code)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    main(*sys.argv[1:])
