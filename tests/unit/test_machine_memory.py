import os

import pytest

from service.serving.machine_memory import SHARE_OF_ANALYSES, memory_per_analysis

MACHINE = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@pytest.mark.parametrize(
    ("file", "text", "total"),
    [
        ("memory.max", "100000000\n", 100_000_000),
        ("memory.max", "max\n", MACHINE),
        ("memory/memory.limit_in_bytes", "50000000\n", 50_000_000),
        ("memory/memory.limit_in_bytes", "9223372036854771712\n", MACHINE),
        ("elsewhere", "1\n", MACHINE),
    ],
)
def test_workers_share_what_the_container_or_the_machine_has(tmp_path, file, text, total):
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(text)
    assert memory_per_analysis(3, tmp_path) == int(SHARE_OF_ANALYSES * total / 3)
