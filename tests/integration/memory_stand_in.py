"""Runs analyses, each in a process of its own with so much memory: `python -m ... <data> <id>:<bytes> ...`

Prints how each of them ended: succeeded, the code of its failure, or the exit code of its process.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from service.analyses.execution import run
from service.analyses.tenancy import DEFAULT_TENANT
from service.storage.disk import DiskStores
from service.storage.redis_queue import RedisQueue, open_connection
from service.worker.attempt import OUT_OF_MEMORY_EXIT_CODE
from service.worker.memory_limit import limit_memory


def main(data_dir: str, *asked: str) -> None:
    store = DiskStores(Path(data_dir), max_label_bytes=1_000_000).of(DEFAULT_TENANT)
    queue = RedisQueue(open_connection(f"unix://{data_dir}/no.sock", timeout_s=0.1, retries=0), time_limit_s=60)
    for one in asked:
        analysis_id, limit_bytes = one.split(":")
        child = os.fork()
        if child == 0:
            limit_memory(int(limit_bytes))
            try:
                run(store, queue, analysis_id, lambda progress: None)
            except MemoryError:
                os._exit(OUT_OF_MEMORY_EXIT_CODE)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        outcome = store.analyses.outcome(analysis_id)
        failure = outcome.failure.code if outcome and outcome.failure else "succeeded"
        ending = failure if status == 0 and outcome else f"exit-code={os.waitstatus_to_exitcode(status)}"
        sys.stderr.write(f"{ending}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
