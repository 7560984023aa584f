"""Who may have something read, and when that ends."""

import os
import signal
import threading

import pytest

from service.analyses.dataset import FileFormat
from service.analyses.errors import ReadersBusy, UploadError
from service.storage.formats import children, places
from service.storage.formats.places import Places, Reader, ReadingStopped, reading_for
from service.storage.formats.reading import converted


class Work:
    """Somebody's work, in a thread, that lasts until it is let go or its place is called back."""

    def __init__(self, shared, caller):
        self.begun, self.let_go, self.called_back = threading.Event(), threading.Event(), threading.Event()
        self._shared, self._caller = shared, caller
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        with self._shared.taken(Reader(self._caller)) as place:
            self.begun.set()
            while not self.let_go.wait(0.01):
                if place.is_called_back:
                    self.called_back.set()
                    return

    def end(self):
        self.let_go.set()
        self._thread.join(10)


def test_a_caller_with_every_place_gives_one_back_to_a_caller_with_none():
    shared = Places(2)
    first, second = Work(shared, "a"), Work(shared, "a")
    assert first.begun.wait(10)
    assert second.begun.wait(10)
    third = Work(shared, "a")
    other = Work(shared, "b")
    assert other.begun.wait(10)
    assert first.called_back.is_set() != second.called_back.is_set()
    assert not third.begun.is_set(), "who has one waits behind who has none, and for his own"
    for work in (first, second, other, third):
        work.end()
    assert third.begun.is_set()


def test_nobody_keeps_others_from_the_line(monkeypatch):
    monkeypatch.setattr(places, "WAITING", 1)
    shared = Places(1)
    busy, waiting = Work(shared, "a"), None
    assert busy.begun.wait(10)
    try:
        waiting = Work(shared, "a")
        while not shared._line:
            waiting.begun.wait(0.01)
        with pytest.raises(ReadersBusy), shared.taken(Reader("a")):
            pass
        with pytest.raises(ReadingStopped), shared.taken(Reader("b", lambda: True)):
            pass
    finally:
        busy.end()
        waiting.end()


@pytest.fixture
def endless(tmp_path):
    """A file that never comes: whoever reads it waits."""
    os.mkfifo(tmp_path / "file")
    return tmp_path / "file", "x", FileFormat.CSV, tmp_path / "made", tmp_path / "ids", "id", 2**20


@pytest.fixture
def begun(monkeypatch):
    """The children that are begun."""
    found = []
    popen = children.subprocess.Popen

    def kept(*arguments, **named):
        found.append(popen(*arguments, **named))
        return found[-1]

    monkeypatch.setattr(children.subprocess, "Popen", kept)
    return found


def test_a_child_is_ended_when_nobody_waits_for_it(endless, begun):
    with reading_for(Reader("a", lambda: bool(begun))), pytest.raises(ReadingStopped):
        converted(*endless)
    assert [child.returncode for child in begun] == [-signal.SIGKILL]


def test_what_is_called_back_is_begun_again(endless, begun, monkeypatch):
    shared = Places(2)
    monkeypatch.setattr(children, "PLACES", shared)

    def is_over():
        if len(begun) == 1:
            for place in shared._taken:
                place.is_called_back = True
        return len(begun) == 2

    with reading_for(Reader("a", is_over)), pytest.raises(ReadingStopped):
        converted(*endless)
    assert [child.returncode for child in begun] == [-signal.SIGKILL] * 2


@pytest.mark.parametrize(
    ("end", "code"),
    [(signal.SIGABRT, "damaged_file"), (signal.SIGSEGV, "damaged_file"), (signal.SIGXCPU, "too_costly_to_read")],
)
def test_a_reader_that_breaks_off_is_told_from_one_that_takes_too_much(endless, begun, end, code):
    def is_over():
        if begun:
            begun[0].send_signal(end)
        return False

    with reading_for(Reader("a", is_over)), pytest.raises(UploadError) as caught:
        converted(*endless)
    assert caught.value.code == code
    assert isinstance(caught.value.__cause__, children.ReaderDied)
