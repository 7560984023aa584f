"""What one job of the queue looks like in Redis, and which jobs are refused.

Whoever can write to the queue can write any hash.  RQ would import whatever function, method or callback such a hash
names, unpickle it, or send its webhooks.  So nothing of a hash ever reaches RQ: `read_call` reads it with zlib and
json alone, accepts exactly the fields that `job_fields` writes, and everything else is refused.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping

from redis import Redis
from rq.job import Job, Retry
from rq.serializers import JSONSerializer

from service.analyses.analysis import Progress
from service.analyses.ports import LossReason
from service.storage.keys import QUEUE_NAME, is_analysis_id

FUNCTION_NAME = "run_analysis"
MAX_RETRIES = 2
MAX_FIELD_BYTES = 4096

RQ_FIELDS = frozenset(
    {"created_at", "data", "description", "enqueued_at", "failure_ttl", "origin", "result_ttl", "retries_left"}
    | {"status", "timeout"}
)
OWN_FIELDS = frozenset(
    {"ended_at", "execution", "kernel_kills", "loss", "meta", "signal", "spared", "started_at", "worker_name"}
)


class UnfitJob(Exception):
    """A job that a worker must not run; the message is the short reason."""


def job_fields(connection: Redis, analysis_id: str, time_limit_s: int) -> dict[str, str | bytes | int]:
    """The hash of a waiting analysis, in the format of RQ, without the fields that could name anything to import."""
    job = Job.create(
        FUNCTION_NAME,
        args=(analysis_id,),
        connection=connection,
        id=analysis_id,
        origin=QUEUE_NAME,
        timeout=time_limit_s,
        result_ttl=0,  # the report is on the store: nothing to keep here once it is written
        failure_ttl=-1,  # kept until forget()
        retry=Retry(max=MAX_RETRIES),
        serializer=JSONSerializer,
        description=f"{FUNCTION_NAME}({analysis_id})",
    )
    fields = {name: value for name, value in job.to_dict().items() if name in RQ_FIELDS}
    return fields | {"status": "queued", "enqueued_at": fields["created_at"]}


def read_call(analysis_id: str, fields: Mapping[bytes, bytes]) -> str:
    """The function name of a job whose only argument is its own id.  Raises UnfitJob for any other job."""
    for field, value in fields.items():
        if len(value) > MAX_FIELD_BYTES:
            raise UnfitJob("oversized field")
        name = field.decode("ascii", "replace")
        if value and name not in RQ_FIELDS and name not in OWN_FIELDS:
            raise UnfitJob(f"unexpected field {name[:40]!r}")
    call = _decode_call(fields.get(b"data", b""))
    if not isinstance(call, list) or len(call) != 4:
        raise UnfitJob("not a call")
    name, instance, args, kwargs = call
    if not isinstance(name, str):
        raise UnfitJob("no function name")
    if instance is not None:
        raise UnfitJob("a method of an instance")
    if kwargs != {}:
        raise UnfitJob("keyword arguments")
    if not isinstance(args, list) or len(args) != 1 or not is_analysis_id(args[0]):
        raise UnfitJob("wrong arguments")
    if args[0] != analysis_id:
        raise UnfitJob("argument is not the job's own id")
    return name


def _decode_call(data: bytes) -> object:
    inflate = zlib.decompressobj()
    try:
        # A length limit, because 4 kB of zlib can hold 4 MB.
        call: object = json.loads(inflate.decompress(data, MAX_FIELD_BYTES))
    except (zlib.error, ValueError, RecursionError) as error:
        raise UnfitJob("unreadable data") from error
    return call


def encode_progress(progress: Progress) -> str:
    """The `meta` field of a running analysis."""
    return json.dumps({"stage": progress.stage, "fraction": progress.fraction})


def decode_progress(meta: bytes | None) -> Progress | None:
    """Progress from the `meta` field; None if there is none, or none that can be read."""
    try:
        value = json.loads(meta) if meta else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    stage, fraction = value.get("stage"), value.get("fraction")
    if not isinstance(stage, str) or isinstance(fraction, bool) or not isinstance(fraction, int | float):
        return None
    return Progress(stage, float(fraction)) if 0 <= fraction <= 1 else None


def decode_signal(name: bytes | None) -> str | None:
    """Name of the signal that ended the last attempt; None if none did, or none that the kernel knows."""
    text = (name or b"").decode("ascii", "replace")
    return text if re.fullmatch(r"SIG[A-Z0-9+]{1,12}", text) else None


def decode_loss(loss: bytes | None) -> LossReason:
    """Why the queue gave up; an entry that does not say counts as refused, since no worker wrote it."""
    try:
        return LossReason((loss or b"").decode("ascii", "replace"))
    except ValueError:
        return LossReason.REFUSED
