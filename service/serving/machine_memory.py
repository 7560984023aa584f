"""How much memory an analysis may take when nobody says it: an equal share for every worker of this machine (Linux)."""

from __future__ import annotations

import os
from pathlib import Path

SHARE_OF_ANALYSES = 0.75  # the rest is for API, queue, the workers themselves, and the file cache

CONTROL_GROUPS = Path("/sys/fs/cgroup")
LIMIT_FILES = ("memory.max", "memory/memory.limit_in_bytes")


def memory_per_analysis(n_workers: int, control_groups: Path = CONTROL_GROUPS) -> int:
    """Bytes: of the machine's memory, or of the container's where that is limited to less."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for name in LIMIT_FILES:
        try:
            text = (control_groups / name).read_text(encoding="ascii").strip()
        except OSError:
            continue
        if text.isdigit():  # not "max"
            total = min(total, int(text))
    return int(SHARE_OF_ANALYSES * total / n_workers)
