"""The parts of a call: opened together, read again from their start, and counted."""

import hashlib
import os
from pathlib import Path

import pytest

from service.client.uploads import Upload


def test_what_has_been_read_of_all_parts_is_told_when_it_changes_and_again_after_a_new_start(tmp_path):
    (tmp_path / "x").write_bytes(b"12345")
    (tmp_path / "y").write_bytes(b"678")
    seen = []
    with Upload({"x": tmp_path / "x", "rows": None, "y": tmp_path / "y"}, lambda *now: seen.append(now)) as upload:
        x, y = upload.streams["x"], upload.streams["y"]
        assert list(upload.streams) == ["x", "y"]
        for stream, size, read in ((x, 4, b"1234"), (x, 9, b"5"), (y, 9, b"678"), (y, 1, b"")):
            assert stream.read(size) == read
            upload.tell()
        upload.rewind()
        assert x.read(2) == b"12"
        upload.tell()
    assert seen == [(4, 8), (5, 8), (8, 8), (2, 8)]
    assert x.closed
    assert y.closed


def test_a_part_is_read_for_its_digest_and_then_from_its_start(tmp_path):
    (tmp_path / "x").write_bytes(b"12345")
    with Upload({"x": tmp_path / "x"}) as upload:
        assert upload.sha256("x") == hashlib.sha256(b"12345").digest()
        assert upload.streams["x"].read(9) == b"12345"


def test_a_file_that_is_not_there_leaves_none_open(tmp_path):
    (tmp_path / "x").write_bytes(b"1")
    with pytest.raises(FileNotFoundError):
        Upload({"x": tmp_path / "x", "y": tmp_path / "y"})


def test_a_pipe_is_named_whose_size_nobody_knows():
    reading, writing = os.pipe()
    try:
        with pytest.raises(OSError, match=f"/dev/fd/{reading}"):
            Upload({"labels": Path(f"/dev/fd/{reading}")})
    finally:
        os.close(reading)
        os.close(writing)
