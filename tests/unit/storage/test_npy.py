import pickle
import struct
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from service.analyses.errors import InvalidArrayFile
from service.analyses.upload_errors import (
    ArrayOfRecords,
    EmptyArray,
    HeaderBeyondFile,
    HeaderTooLong,
    ImpossibleArray,
    PickledArray,
    ScalarArray,
    TooManyDimensions,
    TrailingBytes,
    TruncatedArray,
    UnknownArrayVersion,
    UnreadableHeader,
)
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
    ],
    ids=["float32", "fortran", "big-endian", "float16", "text"],
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
    with pytest.raises(PickledArray, match="Python objects"):
        open_npy(path, "x")
    path.write_bytes(pickle.dumps(Hostile()))
    with pytest.raises(PickledArray, match="pickle, which is never loaded"):
        open_npy(path, "x")
    assert not marker.exists()


def test_a_header_that_claims_more_than_the_file_has_allocates_nothing(tmp_path):
    path = with_header(tmp_path / "a.npy", "{'descr': '<f8', 'fortran_order': False, 'shape': (1152921504606846976,)}")
    tracemalloc.start()
    with pytest.raises(ImpossibleArray, match="more data than any file holds"):
        open_npy(path, "x")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000


SHAPED = "{{'descr': '<f8', 'fortran_order': False, 'shape': {}}}"


@pytest.mark.parametrize(
    ("header", "error", "message"),
    [
        (SHAPED.format("(2, -1)"), UnreadableHeader, "impossible shape"),
        (SHAPED.format("(2, True)"), UnreadableHeader, "impossible shape"),
        (SHAPED.format("(1, 1, 1)"), TooManyDimensions, "3 dimensions"),
        (SHAPED.format("()"), ScalarArray, "single value"),
        (SHAPED.format("(0, 3)"), EmptyArray, r"its shape is \(0, 3\)"),
        (SHAPED.format("(5,)"), TruncatedArray, "announces 40 bytes of data and has 8"),
        (SHAPED.format(f"({10**3000}, {10**3000})"), ImpossibleArray, "more data than any file holds"),
        ("{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (1,)}", ArrayOfRecords, "named fields"),
        ("{'descr': [('a', '|O')], 'fortran_order': False, 'shape': (1,)}", PickledArray, "Python objects"),
        ("{'descr': '<f8', 'fortran_order': False}", UnreadableHeader, "header is damaged"),
        ("{'descr': 'nonsense', 'fortran_order': False, 'shape': (1,)}", UnreadableHeader, "header is damaged"),
        ("__import__('os').system('true')", UnreadableHeader, "header is damaged"),
        ("(" * 5000, UnreadableHeader, "header is damaged"),
        ("{" + " " * 20_000 + "}", HeaderTooLong, "a header of 20003 bytes, more than 10000"),
    ],
)
def test_malformed_headers_are_refused(tmp_path, header, error, message):
    with pytest.raises(error, match=message) as caught:
        open_npy(with_header(tmp_path / "a.npy", header, b"\0" * 8), "y")
    assert caught.value.part == "y"


@pytest.mark.parametrize(("version", "length"), [((1, 0), "<H"), ((2, 0), "<I")])
def test_a_header_longer_than_the_file_is_refused(tmp_path, version, length):
    path = tmp_path / "a.npy"
    path.write_bytes(b"\x93NUMPY" + bytes(version) + struct.pack(length, 60_000) + b"{'descr': '<f8'")
    with pytest.raises(HeaderBeyondFile, match="a header of 60000 bytes, which the file does not have"):
        open_npy(path, "x")


@pytest.mark.parametrize("cut", [1, 7, 9, 60, 127, 130])
def test_a_cut_file_is_refused(tmp_path, cut):
    path = saved(tmp_path / "a.npy", np.arange(10.0))
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(InvalidArrayFile):
        open_npy(path, "x")


def test_trailing_bytes_are_refused(tmp_path):
    path = saved(tmp_path / "a.npy", np.arange(10.0))
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(TrailingBytes, match="announces 80 bytes of data and has 81"):
        open_npy(path, "x")


def test_an_archive_is_no_npy_file_and_never_unpacked_here(tmp_path):
    path = tmp_path / "a.npy"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", bytes(200_000_000))
    assert path.stat().st_size < 1_000_000, "a bomb"
    tracemalloc.start()
    with pytest.raises(InvalidArrayFile, match=r"not a \.npy file"):
        open_npy(path, "x")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100_000


def test_version_2_headers_are_read_and_version_3_refused(tmp_path):
    header = "{'descr': '<f8', 'fortran_order': False, 'shape': (1,)}"
    assert open_npy(with_header(tmp_path / "a.npy", header, b"\0" * 8, (2, 0)), "x").shape == (1,)
    with pytest.raises(UnknownArrayVersion, match=r"version 3\.0"):
        open_npy(with_header(tmp_path / "b.npy", header, b"\0" * 8, (3, 0)), "x")


@pytest.mark.parametrize(
    ("descr", "shape", "error"),
    [
        ("<f8", (0, 2**62), ImpossibleArray),
        ("<f8", (0, 2**70), ImpossibleArray),
        ("<f8", (2**39, 2**39), ImpossibleArray),
        ("<U0", (2**40, 2**40), EmptyArray),
    ],
)
def test_arrays_of_impossible_shape_are_refused(tmp_path, descr, shape, error):
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}}}"
    with pytest.raises(error):
        open_npy(with_header(tmp_path / "a.npy", header), "x")
