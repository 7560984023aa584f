"""The child process that converts one file: what is to be done comes as one argument, what came of it is printed.

It has limits of its own, and none of the secrets of the process that started it: whatever is wrong with a file, or with
a library that reads it, ends here.
"""

from __future__ import annotations

import errno
import resource
import sys
from collections.abc import Callable
from pathlib import Path

from service.analyses.dataset import FEATURES, FileFormat, Understood
from service.analyses.errors import UploadError
from service.analyses.format_errors import TooCostlyToRead
from service.storage.formats.order import Answer, Order, Refusal
from service.storage.formats.writing import Target

SPARE_BYTES = 1024**2  # that a file may be longer than the data in it
SHOWN_CHARACTERS = 1000


def main() -> None:
    """Convert the file that the first argument describes."""
    order = Order.read(sys.argv[1])
    _limit_before(order)
    try:
        answer = Answer(understood=convert(order, lambda: _limit_memory(order)))
    except UploadError as error:
        cause = "" if error.__cause__ is None else repr(error.__cause__)[:SHOWN_CHARACTERS]
        answer = Answer(refusal=Refusal(error.code, error.message, cause))
    except (MemoryError, OSError) as error:
        if isinstance(error, OSError) and error.errno not in (errno.ENOMEM, errno.EFBIG):
            raise
        answer = Answer(refusal=Refusal(TooCostlyToRead.code, too_costly(order.part), repr(error)[:SHOWN_CHARACTERS]))
    sys.stdout.write(answer.written())


def convert(order: Order, ready: Callable[[], None] = lambda: None) -> Understood:
    """Read the file with what reads its format, which is imported only then; `ready` is called before the reading.

    Raises UploadError.
    """
    source = Path(order.source)
    target = Target(order.part, Path(order.target), Path(order.ids), order.max_bytes)
    if order.format in (FileFormat.PARQUET, FileFormat.ARROW):
        from service.storage.formats.arrow_columns import refusing
        from service.storage.formats.arrow_features import convert_features as from_arrow
        from service.storage.formats.columns import convert_table

        ready()
        with refusing(order.format, order.part):
            if order.part in FEATURES:
                return from_arrow(source, target, order.id_column, order.format)
            return convert_table(source, target, order.format, order.id_column)
    if order.part not in FEATURES:
        from service.storage.formats.columns import convert_table

        ready()
        return convert_table(source, target, order.format, order.id_column)
    from service.storage.formats import csv_features, npz, safetensors_files

    readers = {
        FileFormat.NPZ: npz.convert_features,
        FileFormat.SAFETENSORS: safetensors_files.convert_features,
        FileFormat.CSV: csv_features.convert_features,
    }
    ready()
    return readers[order.format](source, target, order.id_column)


def too_costly(part: str) -> str:
    """What is said of a file that needs more memory or time than there is for it."""
    return (
        f"{part} takes more memory or time to read than the service gives. Write it with fewer rows in each row group, "
        "as one column of fixed-size lists, or as .npy."
    )


def _limit_before(order: Order) -> None:
    """What may be limited before the libraries are there; where memory runs out, this process is to be the victim."""
    Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _lower(resource.RLIMIT_CPU, order.time_s)
    _lower(resource.RLIMIT_FSIZE, order.max_bytes + SPARE_BYTES)


def _limit_memory(order: Order) -> None:
    """So much more than the libraries have taken."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    taken = next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmData:"))
    _lower(resource.RLIMIT_DATA, taken + order.memory_bytes)


def _lower(what: int, limit: int) -> None:
    _, hard = resource.getrlimit(what)
    limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    resource.setrlimit(what, (limit, limit))


if __name__ == "__main__":
    main()
