"""Ids of rows that cannot be used are refused: they would pass for labels, covariates or groups, paired by place."""

from __future__ import annotations

import csv
from collections.abc import Collection, Mapping
from pathlib import Path

from service.analyses.dataset import FEATURES, Join
from service.analyses.format_errors import IdsNeedBoth, NoSuchIdColumn, RowsAfterJoin
from service.storage.formats.naming import shown
from service.storage.formats.typed_tables import kinds_in
from service.storage.npy import is_npy
from service.storage.tables import MAX_LINE_CHARACTERS

ONE_COLUMN = 1


def check_id_column_found(name: str, with_ids: Collection[str]) -> None:
    """Raise NoSuchIdColumn if an id column was named that x or y lacks; `with_ids`, which of them have it."""
    lacking = [part for part in FEATURES if part not in with_ids]
    if not lacking:
        return
    which = "Neither x nor y has an" if len(lacking) == len(FEATURES) else f"{lacking[0]} has no"
    raise NoSuchIdColumn(
        f"{which} id column {shown(name)!r}. Name the one that both have, or leave id_column out if row i of x belongs "
        "to row i of y.",
        part="id_column",
    )


def refuse_unjoined(paths: Mapping[str, Path], id_column: str, with_ids: Collection[str]) -> None:
    """Raise IdsNeedBoth for a table that has ids, of rows that were not joined.

    Groups of one column are taken whatever it is called, unless x or y has ids: it holds the groups.
    Arguments: paths, of groups, covariates or labels (CSV or .npy); with_ids, which of x and y have ids.
    """
    for part, path in paths.items():
        names = column_names(path)
        if id_column not in names or (part == "groups" and len(names) == ONE_COLUMN and not with_ids):
            continue
        only = f"only {' and '.join(with_ids)} has" if with_ids else "neither has"
        raise IdsNeedBoth(
            f"{part} has a column {shown(id_column)!r}, which is what the ids of rows are called, and x and y were not "
            f"joined on ids: {only} such a column. Send ids with both x and y; or leave the column out, and send all "
            "parts in one order. If it holds no ids, give it another name.",
            part=part,
        )


def check_rows_after_join(join: Join | None) -> None:
    """Raise RowsAfterJoin for rows without ids if the join has left out rows of x: the others moved up."""
    if join is not None and join.n_only_x:
        raise RowsAfterJoin(
            f"rows count the rows of x, and {join.n_only_x} of these were left out when x and y were joined on "
            f"{join.id_column}, so that the others have moved. Send the column {shown(join.id_column)!r} with the "
            "labels, and no rows.",
            part="rows",
        )


def column_names(path: Path) -> list[str]:
    """The names of a table's columns; none of what has none, or cannot be read, which its reader tells."""
    if is_npy(path):
        return []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for line in csv.reader(iter(lambda: file.readline(MAX_LINE_CHARACTERS), "")):
                if line and kinds_in(line) is None:
                    return [name.strip() for name in line]
    except (UnicodeDecodeError, csv.Error):
        return []
    return []
