"""Rows with the same ids, found on two sides: whole numbers (int64), or text as UTF-8 of fixed width."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.analyses.dataset import SHOWN_IDS
from service.analyses.format_errors import RepeatedIds
from service.storage.formats.naming import shown

TEXT = "S20"  # as long as any whole number of 64 bits


@dataclass(frozen=True)
class Matches:
    """`first` and `second`, places (k,) of the same id on both sides, in the order of the first; what only one has."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    only_first: NDArray[np.int64]
    only_second: NDArray[np.int64]


def match(first: NDArray[Any], second: NDArray[Any], parts: tuple[str, str]) -> Matches:
    """Where two sides, (n,) and (m,), have the same ids.  Sorts one of them, and takes no more memory than that needs.

    Raises RepeatedIds if an id stands for more than one row of a side.
    """
    first, second = _comparable(first, second)
    check_unique(first, parts[0])
    order = np.argsort(second, kind="stable")
    ordered = second[order]
    _refuse_repeated(ordered, second, parts[1])
    places = np.searchsorted(ordered, first)
    places[places == len(ordered)] = 0
    found = ordered[places] == first if len(ordered) else np.zeros(len(first), np.bool_)
    matched = order[places[found]]
    of_second = np.zeros(len(second), np.bool_)
    of_second[matched] = True
    return Matches(np.flatnonzero(found), matched, np.flatnonzero(~found), np.flatnonzero(~of_second))


def check_unique(ids: NDArray[Any], part: str) -> None:
    """Raise RepeatedIds if an id stands for more than one row."""
    _refuse_repeated(np.sort(ids), ids, part)


def shown_ids(ids: NDArray[Any], places: NDArray[np.int64]) -> tuple[str, ...]:
    """The first of the ids at some places, as text."""
    return tuple(_as_text(each) for each in ids[places[:SHOWN_IDS]].tolist())


def _as_text(an_id: int | bytes) -> str:
    return shown(an_id.decode("utf-8", "replace") if isinstance(an_id, bytes) else str(an_id))


def _refuse_repeated(ordered: NDArray[Any], ids: NDArray[Any], part: str) -> None:
    again = ordered[1:][ordered[1:] == ordered[:-1]]
    if not len(again):
        return
    repeated = np.unique(again)
    some = ", ".join(repr(_as_text(each)) for each in repeated[:SHOWN_IDS].tolist())
    more = f" and {len(repeated) - SHOWN_IDS} more" if len(repeated) > SHOWN_IDS else ""
    raise RepeatedIds(
        f"{part} has {len(repeated)} ids that stand for more than one of its {len(ids)} rows: {some}{more}. Which rows "
        "belong together cannot be told then: give every row an id of its own.",
        part=part,
    )


def _comparable(first: NDArray[Any], second: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Both as numbers, or both as text: the number 7 and the text 7 are the same id, the text 007 is another."""
    if first.dtype.kind == second.dtype.kind:
        return first, second
    return (first.astype(TEXT), second) if second.dtype.kind == "S" else (first, second.astype(TEXT))
