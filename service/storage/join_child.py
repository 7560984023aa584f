"""The child process that joins rows on their ids: its order comes as one argument, what came of it is printed."""

from __future__ import annotations

import sys

from service.storage.disk_receiving import Place
from service.storage.formats.limits import limit_before, limit_memory, refusal_of
from service.storage.join_orders import ANSWER, ORDER, JoinAnswer, JoinOrder, too_costly
from service.storage.row_joins import join_rows, match_labels

MORE_DIGITS, LEAST_BYTES = 4, 64 * 1024**2


def main() -> None:
    """Join what the first argument describes."""
    order = ORDER.validate_json(sys.argv[1])
    # What is written is what is read, in another order: numbers in tables may be written with more digits.
    largest_bytes = max(path.stat().st_size for path in order.paths.values())
    limit_before(MORE_DIGITS * largest_bytes + LEAST_BYTES, order.time_s)
    limit_memory(order.memory_bytes)
    answers: list[JoinAnswer] = []
    refusal = refusal_of(
        lambda: answers.append(answer_to(order)), too_costly("labels" if "labels" in order.paths else "x and y")
    )
    sys.stdout.write(ANSWER.dump_json(answers[0] if answers else JoinAnswer(refusal=refusal)).decode())


def answer_to(order: JoinOrder) -> JoinAnswer:
    """Do it.  Raises UploadError."""
    place = Place(order.folder, order.suffix, order.id_column)
    if "labels" in order.paths:
        made, label_join = match_labels(place, order.paths["labels"], order.files["labels"], order.paths["ids"])
        return JoinAnswer(made=made, label_join=label_join)
    made, join = join_rows(place, order.paths, order.files)
    return JoinAnswer(made=made, join=join)


if __name__ == "__main__":
    main()
