"""Files are counted as they are read."""

import os
from pathlib import Path

import pytest

from service.client.uploads import opened


def test_what_has_been_read_of_all_files_is_counted_again_when_one_is_read_again(tmp_path):
    (tmp_path / "x").write_bytes(b"12345")
    (tmp_path / "y").write_bytes(b"678")
    seen = []
    with opened({"x": tmp_path / "x", "rows": None, "y": tmp_path / "y"}, lambda *now: seen.append(now)) as files:
        assert list(files) == ["x", "y"]
        assert (files["x"].read(4), files["x"].read(), files["y"].read(), files["y"].read(1)) == (
            b"1234",
            b"5",
            b"678",
            b"",
        )
        files["x"].seek(0)
        files["x"].read(2)
    assert seen == [(4, 8), (5, 8), (8, 8), (8, 8), (5, 8)]
    assert all(file.closed for file in files.values())


def test_a_file_that_is_not_there_leaves_none_open(tmp_path):
    (tmp_path / "x").write_bytes(b"1")
    with pytest.raises(FileNotFoundError), opened({"x": tmp_path / "x", "y": tmp_path / "y"}):
        raise AssertionError("nothing is to be sent")


def test_a_pipe_is_named_whose_size_nobody_knows():
    reading, writing = os.pipe()
    try:
        with pytest.raises(OSError, match=f"/dev/fd/{reading}"), opened({"labels": Path(f"/dev/fd/{reading}")}):
            raise AssertionError("nothing is to be sent")
    finally:
        os.close(reading)
        os.close(writing)
