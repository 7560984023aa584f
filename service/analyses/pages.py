"""Lists, newest first, a page at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from service.analyses.errors import InvalidCursor
from service.analyses.identity import Kind, is_id

MOST_LOOKED_AT = 2000
"""Records read for one page: a filter that few of them pass makes a page short, not slow."""

LOOKED_AT_NEXT = 250  # at once, when the first look did not fill the page

Item = TypeVar("Item")


@dataclass(frozen=True)
class Page(Generic[Item]):
    """Some items of a list; `next_cursor` asks for those after them, and is None at the end of the list."""

    items: tuple[Item, ...]
    next_cursor: str | None


def page_of(
    ids_before: Callable[[str | None, int], Sequence[str]],
    look: Callable[[Sequence[str]], Iterable[Item | None]],
    kind: Kind,
    cursor: str | None,
    limit: int,
) -> Page[Item]:
    """The next `limit` items after the cursor; the cursor is the id of the last one looked at.

    Arguments: ids_before, so many ids older than one, newest first; look, the items of some ids, None where one is not
    to be listed.  A page may hold fewer items than `limit` and still have a cursor.  Raises InvalidCursor.
    """
    if cursor is not None and not is_id(cursor, kind):
        raise InvalidCursor("This is no cursor of this list. Send `next_cursor` of the page before, as it was.")
    items: list[Item] = []
    n_looked_at = 0
    while True:
        n_next = min(max(limit, LOOKED_AT_NEXT) if n_looked_at else limit, MOST_LOOKED_AT - n_looked_at)
        ids = ids_before(cursor, n_next + 1)
        some, more = ids[:n_next], len(ids) > n_next
        for place, item in enumerate(look(some), 1):
            if item is not None:
                items.append(item)
            if len(items) == limit:
                return Page(tuple(items), some[place - 1] if more or place < len(some) else None)
        if not more:
            return Page(tuple(items), None)
        n_looked_at, cursor = n_looked_at + n_next, some[-1]
        if n_looked_at >= MOST_LOOKED_AT:
            return Page(tuple(items), cursor)
