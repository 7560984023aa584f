"""The child process that converts one file: what is to be done comes as one argument, what came of it is printed.

It has limits of its own, and none of the secrets of the process that started it: whatever is wrong with a file, or with
a library that reads it, ends here.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from service.analyses.dataset import FEATURES, FileFormat, Understood
from service.storage.formats.limits import limit_before, limit_memory, refusal_of
from service.storage.formats.order import Answer, Order
from service.storage.formats.writing import Target


def main() -> None:
    """Convert the file that the first argument describes."""
    order = Order.read(sys.argv[1])
    limit_before(order.max_bytes, order.time_s)
    understood: list[Understood] = []
    refusal = refusal_of(
        lambda: understood.append(convert(order, lambda: limit_memory(order.memory_bytes))),
        f"{order.part} takes more memory or time to read than the service gives. Write it with fewer rows in each row "
        "group, as one column of fixed-size lists, or as .npy.",
    )
    sys.stdout.write(Answer(refusal=refusal, understood=understood[0] if understood else None).written())


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


if __name__ == "__main__":
    main()
