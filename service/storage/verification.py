"""Is a stored file still what was received?"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from service.analyses.dataset import StoredFile
from service.analyses.errors import InputAltered


def verify_files(folder: Path, files: Mapping[str, StoredFile]) -> None:
    """Raise InputAltered unless every file in the folder has the size and the SHA-256 of its record.

    A file that cannot be read at all raises OSError.
    """
    for part, file in files.items():
        path = folder / file.name
        with path.open("rb") as opened:
            is_whole = path.stat().st_size == file.size_bytes
            if not is_whole or hashlib.file_digest(opened, "sha256").hexdigest() != file.sha256:
                raise altered(part)


def altered(part: str) -> InputAltered:
    """The error for a stored part that is not what was received."""
    return InputAltered(
        f"The stored {part} is not what was received: its size or its digest has changed. Send it again, and tell the "
        "operator that a file of the array store was altered.",
        part=part,
    )
