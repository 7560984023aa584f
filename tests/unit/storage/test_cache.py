import errno
import hashlib
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from service.analyses.dataset import StoredFile
from service.analyses.errors import CacheTooSmall, InputAltered, StoreUnavailable
from service.storage.cache import FileCache, Wanted

KILOBYTE = 1000


@pytest.fixture
def cache(tmp_path) -> FileCache:
    made = FileCache(tmp_path / "cache", 3 * KILOBYTE)
    made.prepare()
    return made


class Origin:
    """Where a file comes from, a piece at a time, and how often it was asked for."""

    def __init__(self, name: str, size: int = KILOBYTE) -> None:
        self.content = (name.encode() * size)[:size]
        self.fetched = 0
        self.file = StoredFile(name, size, hashlib.sha256(self.content).hexdigest())

    def pieces(self):
        self.fetched += 1
        for start in range(0, len(self.content), 300):
            yield self.content[start : start + 300]

    @property
    def wanted(self) -> Wanted:
        return Wanted(self.file.name, self.file, self.pieces)


def names(tmp_path) -> set[str]:
    return {path.name for path in (tmp_path / "cache").iterdir()} - {"lock"}


def use(cache: FileCache, *origins: Origin) -> None:
    for cached in cache.fetch({origin.file.name: origin.wanted for origin in origins}).values():
        cached.let_go()


def test_a_file_is_fetched_once_and_then_there(cache):
    origin = Origin("x")
    for _ in range(2):
        cached = cache.fetch({"x": origin.wanted})["x"]
        assert cached.path.read_bytes() == origin.content
        cached.let_go()
    assert origin.fetched == 1


def test_the_least_recently_used_goes_first(cache, tmp_path):
    x, y, z, w = (Origin(name) for name in "xyzw")
    for origin in (x, y, z):
        use(cache, origin)
    use(cache, x)
    use(cache, w)
    assert names(tmp_path) == {origin.file.sha256 for origin in (x, z, w)}


def test_what_is_in_use_stays_whatever_else_is_wanted(cache, tmp_path):
    x, y, z, w = (Origin(name) for name in "xyzw")
    held = cache.fetch({"x": x.wanted})["x"]
    for origin in (y, z, w):
        use(cache, origin)
    assert x.file.sha256 in names(tmp_path)
    held.let_go()
    use(cache, y)
    assert x.file.sha256 not in names(tmp_path)


def test_who_finds_no_room_waits_for_it_and_holds_nothing_meanwhile(cache):
    x, y, z = Origin("x", 2 * KILOBYTE), Origin("y"), Origin("z", 2 * KILOBYTE)
    held = cache.fetch({"x": x.wanted})["x"]
    with ThreadPoolExecutor(1) as pool:
        both = pool.submit(cache.fetch, {"y": y.wanted, "z": z.wanted})
        with pytest.raises(TimeoutError):
            both.result(0.3)
        held.let_go()
        for cached in both.result(10).values():
            cached.let_go()
    assert (y.fetched, z.fetched) == (1, 1)


def test_room_that_does_not_come_is_no_fault_of_the_analysis(cache, tmp_path):
    hasty = FileCache(tmp_path / "cache", 3 * KILOBYTE, patience_s=0.05)
    held = cache.fetch({"x": Origin("x", 3 * KILOBYTE).wanted})["x"]
    with pytest.raises(StoreUnavailable, match="in use"):
        hasty.fetch({"y": Origin("y").wanted})
    held.let_go()


def test_files_that_never_fit_are_refused_before_anything_is_fetched(cache, tmp_path):
    x, y = Origin("x", 2 * KILOBYTE), Origin("y", 2 * KILOBYTE)
    with pytest.raises(CacheTooSmall, match=r"4000 bytes together.*takes 3000.*PHASEGATE_CACHE_BYTES"):
        cache.fetch({"x": x.wanted, "y": y.wanted})
    assert (x.fetched, y.fetched, names(tmp_path)) == (0, 0, set())


@pytest.mark.parametrize("altered", [lambda c: c[:-1], lambda c: c + b"x", lambda c: c[:-1] + b"?", lambda c: b""])
def test_content_that_is_not_that_of_the_digest_is_refused_and_not_kept(cache, tmp_path, altered):
    x, good = Origin("x"), Origin("g")
    x.content = altered(x.content)
    with pytest.raises(InputAltered, match="digest"):
        cache.fetch({"g": good.wanted, "x": x.wanted})
    assert x.file.sha256 not in names(tmp_path)
    assert not any(name.endswith(".part") for name in names(tmp_path))


def test_a_file_has_its_name_when_it_is_whole_on_the_disk(cache, tmp_path, monkeypatch):
    synced = {}
    fsync, pwrite = os.fsync, os.pwrite

    def looked_at(descriptor):
        synced[os.readlink(f"/proc/self/fd/{descriptor}")] = os.pread(descriptor, 2 * KILOBYTE, 0)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", looked_at)
    monkeypatch.setattr(os, "pwrite", lambda descriptor, piece, at: pwrite(descriptor, bytes(piece)[:7], at))
    x = Origin("x")
    use(cache, x)
    assert synced == {str(tmp_path / "cache" / f"{x.file.sha256}.part"): x.content}
    assert (tmp_path / "cache" / x.file.sha256).read_bytes() == x.content


def test_room_that_the_disk_does_not_have_is_refused_before_anything_is_fetched(cache, tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    x, y = Origin("x"), Origin("y")
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(StoreUnavailable, match="disk may be full"):
        cache.fetch({"x": x.wanted, "y": y.wanted})
    assert (x.fetched, y.fetched, names(tmp_path)) == (0, 0, set())


def test_a_cached_file_whose_content_has_changed_is_fetched_anew_by_who_reads_it(cache, tmp_path):
    x, y = Origin("x"), Origin("y")
    use(cache, x, y)
    place = tmp_path / "cache" / x.file.sha256
    before = cache.fetch({"x": x.wanted})["x"]
    place.write_bytes(bytes(KILOBYTE))
    cached = cache.fetch({"x": x.wanted, "y": y.wanted}, verified=True)
    assert cached["x"].path.read_bytes() == x.content
    for file in (before, *cached.values()):
        file.let_go()
    assert (x.fetched, y.fetched) == (2, 1)
    assert names(tmp_path) == {x.file.sha256, y.file.sha256}


def test_two_who_want_the_same_file_fetch_it_once(cache):
    x = Origin("x")
    begun, go_on = Event(), Event()
    pieces = x.pieces

    def slow():
        begun.set()
        assert go_on.wait(10)
        yield from pieces()

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(cache.fetch, {"x": Wanted("x", x.file, slow)})
        assert begun.wait(10)
        second = pool.submit(cache.fetch, {"x": x.wanted})
        with pytest.raises(TimeoutError):
            second.result(0.3)
        go_on.set()
        for fetched in (first, second):
            cached = fetched.result(10)["x"]
            assert cached.path.read_bytes() == x.content
            cached.let_go()
    assert x.fetched == 1


def test_a_file_wanted_as_two_parts_is_one(cache):
    x = Origin("x", 2 * KILOBYTE)
    both = cache.fetch({"x": x.wanted, "y": x.wanted})
    assert both["x"].path == both["y"].path
    both["x"].let_go()
    both["y"].let_go()
    assert x.fetched == 1


KILLED = """
import os, signal, sys
from pathlib import Path
from service.analyses.dataset import StoredFile
from service.storage.cache import FileCache, Wanted

def pieces():
    yield b"x" * 300
    os.kill(os.getpid(), signal.SIGKILL)

file = StoredFile("x", 1000, sys.argv[2])
FileCache(Path(sys.argv[1]), 3000).fetch({"x": Wanted("x", file, pieces)})
"""


def test_who_is_killed_while_he_fetches_leaves_nothing_that_counts(cache, tmp_path):
    x, others = Origin("x"), [Origin(name) for name in "ab"]
    command = [sys.executable, "-c", KILLED, str(tmp_path / "cache"), x.file.sha256]
    root = str(Path(__file__).parents[3])
    killed = subprocess.run(command, env={**os.environ, "PYTHONPATH": root}, timeout=60, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert names(tmp_path) == {f"{x.file.sha256}.part"}
    use(cache, *others, x)
    assert names(tmp_path) == {origin.file.sha256 for origin in (*others, x)}
    assert x.fetched == 1
