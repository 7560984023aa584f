from __future__ import annotations

from pathlib import Path

import pytest

from service.storage.kernel_kills import UNKNOWN, KernelKills, kernel_kills

VERSION_2 = "0::/system.slice/phasegate.service\n"
VERSION_1 = "9:name=systemd:/\n4:memory:/docker/0123\n0::/\n"


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(
    ("membership", "file", "text"),
    [
        (VERSION_2, "groups/system.slice/phasegate.service/memory.events", "low 0\noom 4\noom_kill 3\n"),
        (VERSION_2, "groups/memory.events", "oom 4\noom_kill 3\noom_group_kill 1\n"),
        (VERSION_1, "groups/memory/docker/0123/memory.oom_control", "oom_kill_disable 0\noom_kill 3\n"),
        (VERSION_1, "groups/memory/memory.oom_control", "under_oom 0\noom_kill 3\n"),
        (VERSION_2, "proc/vmstat", "nr_free_pages 9\noom_kill 3\n"),
    ],
)
def test_the_count_is_found_where_the_kernel_keeps_it(tmp_path: Path, membership: str, file: str, text: str) -> None:
    write(tmp_path / "proc/self/cgroup", membership)
    write(tmp_path / "proc/sys/kernel/random/boot_id", "boot\n")
    write(tmp_path / file, text)
    found = kernel_kills(tmp_path / "groups", tmp_path / "proc")
    assert found.count == 3
    assert found.group.startswith("boot:")
    assert " " not in found.group
    write(tmp_path / file, text.replace("oom_kill 3", "oom_kill 4"))
    assert kernel_kills(tmp_path / "groups", tmp_path / "proc").rose_since(found)


def test_nobody_counts(tmp_path: Path) -> None:
    assert kernel_kills(tmp_path, tmp_path) is UNKNOWN
    assert not UNKNOWN.rose_since(UNKNOWN)
    assert str(UNKNOWN) == ""


def test_another_groups_count_says_nothing() -> None:
    assert not KernelKills("a", 5).rose_since(KernelKills("b", 4))
    assert not KernelKills("a", 5).rose_since(KernelKills("a", 5))


def test_this_machine_counts() -> None:
    assert kernel_kills().group
