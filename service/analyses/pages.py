"""Lists, newest first, a page at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from service.analyses.errors import InvalidCursor
from service.analyses.identity import Kind, is_id

MOST_LOOKED_AT = 2000
"""Records read for one page: a filter that few of them pass makes a page short, not slow."""

Item = TypeVar("Item")


@dataclass(frozen=True)
class Page(Generic[Item]):
    """Some items of a list; `next_cursor` asks for those after them, and is None at the end of the list."""

    items: tuple[Item, ...]
    next_cursor: str | None


def page_of(
    ids_before: Callable[[str | None], Sequence[str]],
    look: Callable[[Sequence[str]], Iterable[Item | None]],
    kind: Kind,
    cursor: str | None,
    limit: int,
) -> Page[Item]:
    """The next `limit` items after the cursor; the cursor is the id of the last one looked at.

    Arguments: ids_before, ids older than one, newest first; look, the items of some ids, None where one is not to be
    listed.  A page may hold fewer items than `limit` and still have a cursor.  Raises InvalidCursor.
    """
    if cursor is not None and not is_id(cursor, kind):
        raise InvalidCursor("This is no cursor of this list. Send `next_cursor` of the page before, as it was.")
    ids = ids_before(cursor)
    items: list[Item] = []
    for start in range(0, min(len(ids), MOST_LOOKED_AT), limit):
        some = ids[start : start + limit]
        for place, item in enumerate(look(some), start + 1):
            if item is not None:
                items.append(item)
            if len(items) == limit:
                return Page(tuple(items), ids[place - 1] if place < len(ids) else None)
    return Page(tuple(items), ids[MOST_LOOKED_AT - 1] if len(ids) > MOST_LOOKED_AT else None)
