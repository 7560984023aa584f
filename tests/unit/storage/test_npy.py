import io
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from service.analyses.errors import InvalidArrayFile
from service.storage.npy import open_npy


def saved(path: Path, values: np.ndarray) -> Path:
    np.save(path, values, allow_pickle=values.dtype.hasobject)
    return path


def with_header(path: Path, header: str, data: bytes = b"", version: tuple[int, int] = (1, 0)) -> Path:
    text = header.encode("latin-1") + b"\n"
    length = struct.pack("<H" if version == (1, 0) else "<I", len(text))
    path.write_bytes(b"\x93NUMPY" + bytes(version) + length + text + data)
    return path


@pytest.mark.parametrize(
    "values",
    [
        np.arange(12, dtype=np.float32).reshape(4, 3),
        np.asfortranarray(np.arange(12, dtype=np.float64).reshape(4, 3)),
        np.arange(12, dtype=">i4").reshape(4, 3),
        np.arange(5, dtype=np.float16),
        np.array(["a", "b\u00e9"]),
        np.empty((0, 3)),
        np.float64(3.0),
    ],
    ids=["float32", "fortran", "big-endian", "float16", "text", "empty", "scalar"],
)
def test_what_numpy_saves_is_read_back(tmp_path, values):
    read = open_npy(saved(tmp_path / "a.npy", np.asarray(values)), "x")
    assert read.dtype == np.asarray(values).dtype
    np.testing.assert_array_equal(read, values)


def test_an_array_is_mapped_and_not_loaded(tmp_path):
    path = saved(tmp_path / "a.npy", np.zeros((1000, 1000)))
    tracemalloc.start()
    read = open_npy(path, "x")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert isinstance(read, np.memmap)
    assert peak < 1_000_000
    assert not read.flags.writeable


def test_objects_are_refused_without_unpickling(tmp_path):
    marker = tmp_path / "executed"

    class Hostile:
        def __reduce__(self):
            return (Path.touch, (marker,))

    path = saved(tmp_path / "a.npy", np.array([Hostile()], dtype=object))
    with pytest.raises(InvalidArrayFile, match="Python objects"):
        open_npy(path, "x")
    assert not marker.exists()


def test_a_header_that_claims_more_than_the_file_has_allocates_nothing(tmp_path):
    path = with_header(tmp_path / "a.npy", "{'descr': '<f8', 'fortran_order': False, 'shape': (1152921504606846976,)}")
    tracemalloc.start()
    with pytest.raises(InvalidArrayFile, match="announces 9223372036854775808 bytes of data and has 0"):
        open_npy(path, "x")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("{'descr': '<f8', 'fortran_order': False, 'shape': (2, -1)}", "impossible shape"),
        ("{'descr': '<f8', 'fortran_order': False, 'shape': (2, True)}", "impossible shape"),
        ("{'descr': '<f8', 'fortran_order': False, 'shape': (1, 1, 1)}", "3 dimensions"),
        ("{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (1,)}", "named fields"),
        ("{'descr': '<f8', 'fortran_order': False}", "not a .npy file"),
        ("{'descr': 'nonsense', 'fortran_order': False, 'shape': (1,)}", "not a .npy file"),
        ("__import__('os').system('true')", "not a .npy file"),
        ("(" * 5000, "not a .npy file"),
        ("{" + " " * 20_000 + "}", "not a .npy file"),
    ],
)
def test_malformed_headers_are_refused(tmp_path, header, message):
    with pytest.raises(InvalidArrayFile, match=message) as caught:
        open_npy(with_header(tmp_path / "a.npy", header, b"\0" * 8), "y")
    assert caught.value.part == "y"


@pytest.mark.parametrize("cut", [1, 7, 9, 60, 127, 130])
def test_a_cut_file_is_refused(tmp_path, cut):
    path = saved(tmp_path / "a.npy", np.arange(10.0))
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(InvalidArrayFile):
        open_npy(path, "x")


def test_trailing_bytes_are_refused(tmp_path):
    path = saved(tmp_path / "a.npy", np.arange(10.0))
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(InvalidArrayFile, match="announces 80 bytes of data and has 81"):
        open_npy(path, "x")


def test_an_npz_archive_is_named_as_such(tmp_path):
    buffer = io.BytesIO()
    np.savez(buffer, x=np.arange(3))
    path = tmp_path / "a.npy"
    path.write_bytes(buffer.getvalue())
    with pytest.raises(InvalidArrayFile, match="npz archive"):
        open_npy(path, "x")


def test_version_2_headers_are_read_and_version_3_refused(tmp_path):
    header = "{'descr': '<f8', 'fortran_order': False, 'shape': (1,)}"
    assert open_npy(with_header(tmp_path / "a.npy", header, b"\0" * 8, (2, 0)), "x").shape == (1,)
    with pytest.raises(InvalidArrayFile, match=r"version 3\.0"):
        open_npy(with_header(tmp_path / "b.npy", header, b"\0" * 8, (3, 0)), "x")


@pytest.mark.parametrize(("descr", "shape"), [("<f8", (0, 2**62)), ("<f8", (0, 2**70)), ("<U0", (2**40, 2**40))])
def test_empty_arrays_of_impossible_shape_are_refused(tmp_path, descr, shape):
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}}}"
    with pytest.raises(InvalidArrayFile, match="impossible shape or type"):
        open_npy(with_header(tmp_path / "a.npy", header), "x")
