"""What stands for a missing value in text, for those who write tables and those who read them."""

from __future__ import annotations

import re

ABSENT = frozenset({"na", "n/a", "null", "none", "nil", "missing", "?", "-", "."})
"""Words for it, in lower case, in columns of numbers or booleans."""

NAN = re.compile(r"[+-]?nan", re.IGNORECASE | re.ASCII)


def is_absent(text: str) -> bool:
    """Whether text without spaces around it stands for no value."""
    return text == "" or text.lower() in ABSENT or NAN.fullmatch(text) is not None
