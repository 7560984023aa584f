"""Rows with the same ids, found on two sides: whole numbers (int64), or text as UTF-8 of fixed width."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.analyses.dataset import SHOWN_IDS
from service.analyses.format_errors import RepeatedIds
from service.storage.formats.naming import shown

DIGITS = 20  # of any whole number of 64 bits, with its sign
WORD_BYTES = 8


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
    ones, others = _comparable(first, second)
    _refuse_repeated(ones, np.sort(ones), first, parts[0])
    order = np.argsort(others, kind="stable")
    ordered = others[order]
    _refuse_repeated(others, ordered, second, parts[1])
    places = np.searchsorted(ordered, ones)
    places[places == len(ordered)] = 0
    found = ordered[places] == ones if len(ordered) else np.zeros(len(ones), np.bool_)
    matched = order[places[found]]
    of_second = np.zeros(len(others), np.bool_)
    of_second[matched] = True
    return Matches(np.flatnonzero(found), matched, np.flatnonzero(~found), np.flatnonzero(~of_second))


def shown_ids(ids: NDArray[Any], places: NDArray[np.int64]) -> tuple[str, ...]:
    """The first of the ids at some places, as text."""
    return tuple(_as_text(each) for each in ids[places[:SHOWN_IDS]].tolist())


def _as_text(an_id: int | bytes) -> str:
    return shown(an_id.decode("utf-8", "replace") if isinstance(an_id, bytes) else str(an_id))


def _refuse_repeated(codes: NDArray[Any], ordered: NDArray[Any], ids: NDArray[Any], part: str) -> None:
    again = ordered[1:][ordered[1:] == ordered[:-1]]
    if not len(again):
        return
    repeated = np.unique(again)
    places = [int(np.argmax(codes == each)) for each in repeated[:SHOWN_IDS]]
    some = ", ".join(repr(each) for each in shown_ids(ids, np.array(places)))
    more = f" and {len(repeated) - SHOWN_IDS} more" if len(repeated) > SHOWN_IDS else ""
    raise RepeatedIds(
        f"{part} has {len(repeated)} ids that stand for more than one of its {len(ids)} rows: {some}{more}. Which rows "
        "belong together cannot be told then: give every row an id of its own.",
        part=part,
    )


def _comparable(first: NDArray[Any], second: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Numbers that are equal where the ids are.  The number 7 and the text 7 are the same id, the text 007 another."""
    if first.dtype.kind != "S" and second.dtype.kind != "S":
        return first, second
    width = max(each.dtype.itemsize if each.dtype.kind == "S" else DIGITS for each in (first, second))
    width = -(-width // WORD_BYTES) * WORD_BYTES
    # Comparing text byte by byte is slow: it is sorted by the few whole words in which ids differ.
    words = np.concatenate([each.astype(f"S{width}").view(np.uint64) for each in (first, second)])
    words = words.reshape(-1, width // WORD_BYTES)
    differing = [word for word in words.T if np.any(word != word[0])] or [words[:, 0]]
    order = np.lexsort(differing)
    is_new = np.zeros(len(order), np.bool_)
    for word in differing:
        ordered = word[order]
        is_new[1:] |= ordered[1:] != ordered[:-1]
    codes = np.empty(len(order), np.int64)
    codes[order] = np.cumsum(is_new)
    return codes[: len(first)], codes[len(first) :]
