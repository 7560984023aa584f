"""Metadata: a few short strings that a caller attaches to an analysis, to find it again."""

from __future__ import annotations

import re
from collections.abc import Mapping

from service.analyses.errors import InvalidMetadata

MAX_ENTRIES = 16
MAX_KEY_CHARACTERS = 64
MAX_VALUE_CHARACTERS = 512
KEY_PATTERN = rf"^[A-Za-z0-9_.-]{{1,{MAX_KEY_CHARACTERS}}}$"
_KEY = re.compile(KEY_PATTERN)


def check_metadata(metadata: Mapping[str, str]) -> None:
    """Refuse too many entries, and names and values that are too long or not plain.  Raises InvalidMetadata."""
    if len(metadata) > MAX_ENTRIES:
        raise InvalidMetadata(
            f"The metadata have {len(metadata)} entries. Send at most {MAX_ENTRIES}.", part="metadata"
        )
    for key, value in metadata.items():
        if not _KEY.fullmatch(key):
            raise InvalidMetadata(
                f"{key[:80]!r} cannot be a name of metadata. Use 1 to {MAX_KEY_CHARACTERS} letters, digits, '_', '.' "
                "and '-'.",
                part="metadata",
            )
        if len(value) > MAX_VALUE_CHARACTERS or not value.isprintable():
            raise InvalidMetadata(
                f"The value of metadata {key!r} is longer than {MAX_VALUE_CHARACTERS} characters or not printable. "
                "Send a short line of text.",
                part="metadata",
            )
