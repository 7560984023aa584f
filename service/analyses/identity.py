"""Ids of datasets, label sets, analyses, decisions.  Nothing that is not an id ever becomes part of a path or a key."""

from __future__ import annotations

import re
import secrets
import time
from datetime import datetime
from enum import StrEnum


class Kind(StrEnum):
    """What an id names; its first letters."""

    DATASET = "ds"
    LABEL_SET = "ls"
    ANALYSIS = "an"
    DECISION = "de"
    WEBHOOK = "wh"
    DELIVERY = "wd"


def new_stem() -> str:
    """What follows the kind in a fresh id: milliseconds since 1970 and 80 random bits, so that ids sort by time and
    cannot be guessed.
    """
    return f"{int(time.time() * 1000):012x}{secrets.token_hex(10)}"


def new_id(kind: Kind, stem: str | None = None) -> str:
    """A fresh id, or the one with a stem that was chosen before."""
    return f"{kind}-{stem or new_stem()}"


def stem_of(an_id: str) -> str:
    """What follows the kind in an id."""
    return an_id.partition("-")[2]


def first_id(kind: Kind, moment: datetime) -> str:
    """What sorts before every id that was made at this moment or later, and after all earlier ones."""
    return f"{kind}-{int(moment.timestamp() * 1000):012x}"


def made_at_s(an_id: str) -> float:
    """When an id was made: seconds since 1970."""
    return int(stem_of(an_id)[:12], 16) / 1000


def is_id(text: str, kind: Kind) -> bool:
    """Whether `text` has the form of an id of this kind."""
    return re.fullmatch(f"{kind}-[0-9a-f]{{32}}", text) is not None
