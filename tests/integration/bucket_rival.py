"""A process on a host of its own that works on one bucket with others: a line of JSON in, a line of JSON out.

In: what to do (`submit`, `delete_dataset`, `delete_label_set`, `add_label_set`), and with what.
Out: `done`, or the code of the error.
"""

import io
import json
import sys
from datetime import timedelta
from pathlib import Path

from service import logs
from service.analyses import intake
from service.analyses.errors import AnalysisError
from service.analyses.ports import Store
from service.analyses.submission import submit
from service.analyses.tenancy import DEFAULT_TENANT
from service.estimation.options import Options
from service.storage.bucket import Bucket
from service.storage.bucket_address import BucketAddress, Credentials
from service.storage.bucket_stores import BucketStores
from service.storage.redis_queue import RedisQueue, open_connection


def act(store: Store, queue: RedisQueue, action: str, dataset_id: str, label_set_id: str) -> None:
    if action == "submit":
        submit(store, queue, dataset_id, label_set_id, Options())
    elif action == "delete_dataset":
        intake.delete_dataset(store, dataset_id)
    elif action == "delete_label_set":
        intake.delete_label_set(store, label_set_id)
    elif action == "add_label_set":
        intake.add_label_set(store, dataset_id, {"labels": io.BytesIO(b"kind\n" + b"a\nb\n" * 10)}, None)
    else:
        raise ValueError(action)


def main() -> None:
    logs.configure("ERROR")  # to standard error
    address = json.loads(sys.argv[1])
    credentials = Credentials(**address.pop("credentials"))
    stores = BucketStores(
        Bucket(BucketAddress(**address, credentials=credentials)),
        Path(sys.argv[2]),
        max_label_bytes=1_000_000,
        cache_bytes=10_000_000,
        abandoned=timedelta(hours=1),
    )
    stores.prepare()
    # The queue is away: what is stored stands all the same.
    queue = RedisQueue(open_connection("unix:///nowhere.sock", retries=0), time_limit_s=60)
    _say("ready")
    for line in sys.stdin:
        try:
            act(stores.of(DEFAULT_TENANT), queue, **json.loads(line))
            result = "done"
        except AnalysisError as error:
            result = error.code
        _say(json.dumps(result))


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
