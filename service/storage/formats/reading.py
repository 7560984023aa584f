"""Files are converted in a child process each: its order, and what its answer or its end means."""

from __future__ import annotations

from pathlib import Path

from service.analyses.dataset import FileFormat, Understood
from service.analyses.format_errors import DamagedFile, TooCostlyToRead
from service.storage.formats import children
from service.storage.formats.children import Ended, ReaderDied, error_of, run_child
from service.storage.formats.order import Answer, Order

MODULE = "service.storage.formats"


def converted(
    source: Path, part: str, kind: FileFormat, target: Path, ids: Path, id_column: str, max_bytes: int
) -> Understood:
    """Convert a file: x and y to .npy, with the ids of their rows if they have any, other parts to CSV.

    Arguments: target, what is written; ids, where ids go; max_bytes, how large either may become.

    Raises: UploadError of some kind for a file that cannot be read; ReadersBusy when too many are being read;
    StoreUnavailable; ReadingStopped.
    """
    order = Order(
        part=part,
        format=kind,
        source=str(source.resolve()),
        target=str(target.resolve()),
        ids=str(ids.resolve()),
        id_column=id_column,
        max_bytes=max_bytes,
        memory_bytes=children.MEMORY_BYTES,
        time_s=children.TIME_S,
    )
    ended = run_child(MODULE, order.written())
    try:
        answer = Answer.read(ended.printed)
    except (ValueError, KeyError, TypeError):
        raise _died(ended, part) from ended.death
    if answer.refusal is not None:
        cause = answer.refusal.cause
        raise error_of(answer.refusal, part) from (ReaderDied(cause) if cause else None)
    if answer.understood is None:
        raise ValueError("the child says neither what it understood nor why it did not")
    return answer.understood


def _died(ended: Ended, part: str) -> TooCostlyToRead | DamagedFile:
    if ended.was_too_costly:
        return TooCostlyToRead(
            f"{part} takes more memory or time to read than the service gives. Write it with fewer rows in each row "
            "group, as one column of fixed-size lists, or as .npy.",
            part=part,
        )
    return DamagedFile(
        f"{part} cannot be read: what reads files of its format broke off in the middle. It is damaged, or needs more "
        "memory than the service gives. Write and send it again; if that does not help, write it as .npy.",
        part=part,
    )
