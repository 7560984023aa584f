"""Files whose rows have ids are joined by a child process: memory for that is limited, as it is for reading them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import structlog
from pydantic import ValidationError

from service.analyses.dataset import STORED_PARTS, Join, LabelJoin, StoredFile
from service.analyses.format_errors import IdsWithRows, TooCostlyToRead
from service.storage.disk_receiving import Place
from service.storage.formats import children
from service.storage.formats.children import ReaderDied, error_of, run_child
from service.storage.join_orders import ANSWER, ORDER, JoinAnswer, JoinOrder, too_costly
from service.storage.unjoined_ids import column_names

MODULE = "service.storage.join_child"

log = structlog.get_logger("phasegate.store")


def join_files(
    place: Place, paths: Mapping[str, Path], files: Mapping[str, StoredFile]
) -> tuple[dict[str, StoredFile], Join]:
    """Join x and y on their ids, and give groups and covariates that have ids the order of the joined rows.

    Arguments: place, where what is rewritten goes; paths and files, of x, y, their ids, and what is beside them.

    Returns: the files that have been made, that of the joined ids among them; what became of the rows.
    Raises: InvalidIds of some kind; UploadError; ReadersBusy; StoreUnavailable; ReadingStopped.
    """
    theirs = [part for part in STORED_PARTS if part in paths]  # labels may have come with them
    answer = _joined(
        place, {part: paths[part] for part in theirs}, {part: files[part] for part in theirs if part in files}, "y"
    )
    if answer.join is None:
        raise ValueError("the child has joined nothing")
    return answer.made, answer.join


def match_label_file(
    place: Place, path: Path, file: StoredFile, ids: Path, *, has_rows: bool
) -> tuple[dict[str, StoredFile], LabelJoin] | None:
    """Find the rows of labels by their ids, where the table of labels has a column of ids; None if it has none.

    Arguments: ids, the file of those of the dataset's rows.
    Returns: labels without that column and without what belongs to no row, and their rows; what was left out.
    Raises: as `join_files`.
    """
    if place.id_column not in column_names(path):
        return None
    if has_rows:
        raise IdsWithRows(
            f"labels have ids, in {place.id_column}, and rows were sent too. Send one of them: the ids say which rows "
            "the labels belong to.",
            part="rows",
        )
    answer = _joined(place, {"labels": path, "ids": ids}, {"labels": file}, "labels")
    if answer.label_join is None:
        raise ValueError("the child has matched nothing")
    return answer.made, answer.label_join


def _joined(place: Place, paths: Mapping[str, Path], files: Mapping[str, StoredFile], part: str) -> JoinAnswer:
    order = JoinOrder(
        folder=place.folder.resolve(),
        suffix=place.suffix,
        id_column=place.id_column,
        paths={name: path.resolve() for name, path in paths.items()},
        files={
            name: StoredFile(each.name, each.size_bytes, each.sha256, received=each.received)
            for name, each in files.items()
        },
        memory_bytes=children.MEMORY_BYTES,
        time_s=children.TIME_S,
    )
    ended = run_child(MODULE, ORDER.dump_json(order).decode())
    try:
        answer = ANSWER.validate_json(ended.printed)
    except ValidationError:
        if ended.code is not None and ended.code >= 0:
            raise ended.death from None  # a fault of ours, that no file is to blame for
        log.warning("join_failed", cause=str(ended.death))
        raise TooCostlyToRead(too_costly(part), part=part) from ended.death
    if answer.refusal is not None:
        cause = answer.refusal.cause
        raise error_of(answer.refusal, part) from (ReaderDied(cause) if cause else None)
    return answer
