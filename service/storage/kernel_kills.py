"""How many processes the kernel has killed for lack of memory in the memory group of this one (Linux)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

CONTROL_GROUPS = Path("/sys/fs/cgroup")
PROC = Path("/proc")


@dataclass(frozen=True)
class KernelKills:
    """A memory group, by a name that no other group of any host has, and how many of its processes were killed so far.

    As text "<group> <count>", which is how the queue keeps it.
    """

    group: str
    count: int

    def __str__(self) -> str:
        return f"{self.group} {self.count}" if self.group else ""

    def rose_since(self, before: KernelKills) -> bool:
        """Whether more processes of the same group have been killed than `before`."""
        return bool(self.group) and self.group == before.group and self.count > before.count


UNKNOWN = KernelKills("", 0)


def kernel_kills(control_groups: Path = CONTROL_GROUPS, proc: Path = PROC) -> KernelKills:
    """The count of this process's group; of the whole machine where no group keeps one; UNKNOWN where nobody does.

    Source: the kernel's Documentation/admin-guide/cgroup-v2.rst (memory.events) and cgroup-v1/memory.rst
    (memory.oom_control).  The count rises before the process is killed.
    """
    boot = _read(proc / "sys/kernel/random/boot_id").strip()
    for path in (*_group_files(control_groups, _read(proc / "self/cgroup")), proc / "vmstat"):
        found = re.search(r"^oom_kill (\d+)$", _read(path), re.MULTILINE)
        if found:
            place = path.parent.stat()
            return KernelKills(f"{boot}:{place.st_dev}:{place.st_ino}", int(found[1]))
    return UNKNOWN


def _group_files(control_groups: Path, membership: str) -> list[Path]:
    """Where this process's group may keep the count, likeliest first: the path within a container is seldom there."""
    places = []
    for line in membership.splitlines():
        _, controllers, path = line.split(":", 2)
        inner = path.lstrip("/")
        if "memory" in controllers.split(","):
            version_1 = control_groups / "memory"
            places += [version_1 / inner / "memory.oom_control", version_1 / "memory.oom_control"]
        elif not controllers:
            places += [control_groups / inner / "memory.events", control_groups / "memory.events"]
    return places


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
