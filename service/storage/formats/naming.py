"""Names that strangers gave to arrays and columns, as messages and records show them."""

from __future__ import annotations

from collections.abc import Sequence

from service.analyses.dataset import SHOWN_NAMES

MAX_SHOWN_CHARACTERS = 80
IN_MESSAGES = 10


def shown(name: str) -> str:
    """A name on one line, of bounded length, without what a terminal would obey."""
    cut = name if len(name) <= MAX_SHOWN_CHARACTERS else name[: MAX_SHOWN_CHARACTERS - 3] + "..."
    return "".join(character if character.isprintable() else "?" for character in cut)


def shown_all(names: Sequence[str]) -> tuple[str, ...]:
    """The first of some names."""
    return tuple(shown(name) for name in names[:SHOWN_NAMES])


def listed(names: Sequence[str]) -> str:
    """The first of some names, for a sentence."""
    words = ", ".join(shown(name) for name in names[:IN_MESSAGES])
    return words + (f" and {len(names) - IN_MESSAGES} more" if len(names) > IN_MESSAGES else "")
