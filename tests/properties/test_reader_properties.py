"""Whatever bytes a stranger sends as a file, its reader either reads it or says what is wrong, within bounded memory.

Short and derandomized here; `make fuzz` runs as many examples as PHASEGATE_FUZZ_EXAMPLES says, another way each time.
"""

from __future__ import annotations

import io
import os
import struct
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from service.analyses.dataset import FileFormat
from service.analyses.errors import UploadError
from service.estimation.covariates import covariate_columns
from service.estimation.errors import EstimationError
from service.estimation.groups import check_group_ids
from service.estimation.inputs import check_label_rows, check_pairs
from service.estimation.labels import label_columns
from service.estimation.roles import COVARIATES, LABELS
from service.storage.formats import csv_features
from service.storage.formats.__main__ import convert
from service.storage.formats.order import Order
from service.storage.formats.reading import converted
from service.storage.formats.recognition import recognise
from service.storage.formats.writing import Target
from service.storage.input_files import map_features, read_group_ids, read_labels
from service.storage.npy import MAGIC, open_npy
from service.storage.tables import read_columns, read_groups, read_rows

EXAMPLES = int(os.environ.get("PHASEGATE_FUZZ_EXAMPLES", "0"))
FUZZED = settings(
    derandomize=not EXAMPLES,
    deadline=None,
    max_examples=EXAMPLES or 150,
    suppress_health_check=list(HealthCheck),
)
LARGEST_BYTES = 20_000_000
"""Of memory for files of some kilobytes: what a CSV reader needs for its longest line, several times over."""

REFUSALS = (UploadError, EstimationError)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzzed") / "file"


@pytest.fixture(autouse=True)
def counted(request: pytest.FixtureRequest) -> Iterator[None]:
    """A long run says how many examples there were."""
    started = time.monotonic()
    yield
    if EXAMPLES:
        sys.stdout.write(f"{request.node.name}: {EXAMPLES} examples in {time.monotonic() - started:.1f} s\n")


def outcome(read: Callable[[], Any]) -> Any:
    """What a reader gives, or its refusal: nothing else may come of any bytes, and not much memory may be taken."""
    tracemalloc.start()
    try:
        found = read()
    except REFUSALS as refusal:
        found = refusal
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < LARGEST_BYTES
    if isinstance(found, REFUSALS):
        assert found.code
        assert len(found.message) < 1500
        assert not set(found.message) & set("\x00\x1b\n")
        found.message.encode("utf-8")
    return found


def saved(values: np.ndarray, version: tuple[int, int] | None = None) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, values, version=version, allow_pickle=False)
    return file.getvalue()


VALID = [
    saved(np.arange(12, dtype=np.float32).reshape(4, 3)),
    saved(np.asfortranarray(np.arange(12.0).reshape(4, 3))),
    saved(np.arange(6, dtype=">i8"), (2, 0)),
    saved(np.array(["a", "bc", "\u00e9", ""])),
    saved(np.array([True, False])),
    saved(np.array([1 + 2j, 3])),
    saved(np.array([("a", 1)], dtype=[("name", "U2"), ("n", "i4")])),
    saved(np.array(["2024-01-01"], dtype="M8[D]")),
]


@st.composite
def mutated(draw, originals: list[bytes]) -> bytes:
    """A valid file with some bytes changed, cut out, put in, or repeated."""
    content = bytearray(draw(st.sampled_from(originals)))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(content)))
        match draw(st.sampled_from(["change", "cut", "insert", "end", "repeat"])):
            case "change" if at < len(content):
                content[at] = draw(st.integers(0, 255))
            case "cut":
                del content[at : at + draw(st.integers(1, 40))]
            case "insert":
                content[at:at] = draw(st.binary(max_size=40))
            case "repeat":
                content[at:at] = content[at : at + 40] * draw(st.integers(1, 8))
            case "end":
                del content[at:]
    return bytes(content)


LENGTHS = st.integers(-2, 70) | st.sampled_from([2**31, 2**40, 2**60, 2**63, 2**64, 10**400])
DESCRIPTIONS = (
    st.sampled_from(
        ["<f8", ">f4", "|u1", "<U3", "|O", "|V0", "<U0", "<c16", "<f16", "<M8[s]", "S5", "(2,2)<f8", "<i8,<f4"]
    )
    | st.sampled_from(["<f2147483648", "<U1000000000", "|V2147483647", "m8[1000000000Y]", "\x00", "f8" * 50])
    | st.text(max_size=8)
)
SHAPES = st.lists(LENGTHS, max_size=4).map(tuple) | st.just((True, 2)) | st.just("4") | st.just([3]) | st.just(7)


@st.composite
def headed(draw) -> bytes:
    """A file of some version whose header claims whatever it likes."""
    described = draw(DESCRIPTIONS | st.lists(st.tuples(st.text(max_size=3), DESCRIPTIONS), max_size=3))
    fields = {"descr": described, "fortran_order": draw(st.booleans() | st.integers(0, 2)), "shape": draw(SHAPES)}
    if draw(st.integers(0, 9)) == 0:
        del fields[draw(st.sampled_from(sorted(fields)))]
    nested = draw(st.sampled_from(["", "", "", "(" * 3000, "[" * 900 + "]" * 900, "-" * 5000, "1+1j, ", "'\\d'"]))
    text = (nested + repr(fields)).encode("utf-8", "replace")
    version = draw(st.sampled_from([(1, 0), (1, 0), (2, 0), (3, 0), (0, 0), (255, 255)]))
    length = draw(st.just(len(text)) | st.sampled_from([0, 1, 60_000, len(text) - 1]))
    packed = struct.pack("<H", length % 2**16) if version[0] == 1 else struct.pack("<I", length % 2**32)
    return MAGIC + bytes(version) + packed + text + draw(st.binary(max_size=64))


ARRAYS = mutated(VALID) | headed() | st.binary(max_size=200) | st.binary(max_size=60).map(lambda rest: MAGIC + rest)


@FUZZED
@given(content=ARRAYS)
def test_any_bytes_are_read_as_an_array_or_refused(path, content):
    path.write_bytes(content)
    found = outcome(lambda: open_npy(path, "x"))
    if isinstance(found, UploadError):
        assert found.part == "x"
    else:
        assert found.nbytes <= len(content)
        assert not found.flags.writeable
        assert found.ndim in (1, 2)


@FUZZED
@given(content=ARRAYS)
def test_any_array_is_checked_as_features_groups_rows_and_labels_or_refused(path, content):
    path.write_bytes(content)
    outcome(lambda: check_pairs(*(map_features(path, path).x,) * 2))
    outcome(lambda: check_group_ids(read_group_ids(path), 4))
    outcome(lambda: check_label_rows(10, 4, read_labels(path, path).rows))
    outcome(lambda: label_columns(read_labels(path).columns, "categorical"))
    outcome(lambda: label_columns(read_labels(path).columns))


FIELDS = st.one_of(
    st.integers(-(10**20), 10**20).map(str),
    st.floats().map(str),
    st.sampled_from(
        ["", "NA", "true", "False", "007", "inf", "-nan", "1e999", "0x10", "1_000", '"a,b"', '"', '""', "\t"]
    ),
    st.sampled_from(
        ["=cmd|' /C calc'!A0", "../../etc/passwd", "<b>&amp;", "\x1b[2J", "\x00", "\ufeff", "\u202e", "\u2028"]
    ),
    st.text(max_size=12),
    st.just("x" * 1001),
)
LINES = st.lists(FIELDS, max_size=4).map(",".join)
TABLES = st.builds(
    lambda lines, end, start, encoding: (start + end.join(lines)).encode(encoding, "surrogatepass"),
    st.lists(LINES, max_size=8),
    st.sampled_from(["\n", "\r\n", "\r", "\r\r\n"]),
    st.sampled_from(["", "\ufeff", "a,b\n", "a\n", "\n\n", ";\n"]),
    st.sampled_from(["utf-8", "utf-8", "utf-8", "utf-16"]),
)
CSV = [
    b"kind,score\na,1.5\nb,2.5\n",
    b'\xef\xbb\xbf"a ""b""",c\r\n1,2\r\n,NA\r\n',
    b"subject\n007\n7\n\n12\n",
    b"3\n1\n2\n",
]
ANY_TABLE = TABLES | mutated(CSV) | st.binary(max_size=300)


@FUZZED
@given(content=ANY_TABLE)
def test_any_bytes_are_read_as_a_table_or_refused(path, content):
    path.write_bytes(content)
    for part, read in (
        ("labels", lambda: read_columns(path, LABELS)),
        ("covariates", lambda: read_columns(path, COVARIATES)),
        ("groups", lambda: {"one": read_groups(path)}),
        ("rows", lambda: {"one": read_rows(path)}),
    ):
        found = outcome(read)
        if isinstance(found, UploadError):
            assert found.part == part
        else:
            assert len({len(column) for column in found.values()}) == 1


@FUZZED
@given(content=ANY_TABLE, types=st.sampled_from([None, "categorical", "numeric"]))
def test_any_table_is_typed_as_labels_covariates_groups_and_rows_or_refused(path, content, types):
    path.write_bytes(content)
    outcome(lambda: label_columns(read_labels(path).columns, types))
    outcome(lambda: covariate_columns(read_columns(path, COVARIATES), types))
    outcome(lambda: check_group_ids(read_group_ids(path), 3))
    outcome(lambda: check_label_rows(10, 3, read_labels(path, path).rows))


def archive(**arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def columnar(table: pa.Table, **how: Any) -> bytes:
    file = io.BytesIO()
    if how:
        pa.parquet.write_table(table, file, **how)
    else:
        pa.feather.write_feather(table, file, compression="zstd")
    return file.getvalue()


SMALL = np.arange(12, dtype=np.float32).reshape(4, 3)
TABLES_OF_NUMBERS = [
    archive(x=SMALL),
    archive(x=np.asfortranarray(SMALL), id=np.array(["a", "b", "c", "d"])),
    archive(kind=np.array(["u", "v"]), dose=np.array([0.5, 1.5])),
    save({"x": SMALL}),
    save({"a": SMALL, "b": SMALL[:, :2], "id": np.arange(4)}),
    save({"flag": np.array([True, False])}),
    b"a,b,id\n1,2,s1\n3,,s2\n",
    b"a\n1\n\n3\n",
]
LIMIT = 1_000_000


@FUZZED
@given(content=mutated(TABLES_OF_NUMBERS), part=st.sampled_from(["x", "labels"]))
def test_any_archive_tensors_or_csv_are_converted_or_refused(path, content, part):
    path.write_bytes(content)
    made = path.with_name("made")

    def read() -> Any:
        found = recognise(path, part)
        if found is FileFormat.NPY or (found is FileFormat.CSV and part == "labels"):
            return None
        order = Order(part, found, str(path), str(made), str(path.with_name("ids")), "id", LIMIT, 0, 0)
        if found in (FileFormat.PARQUET, FileFormat.ARROW):
            return None
        return convert(order)

    found = outcome(read)
    if isinstance(found, UploadError):
        assert found.part == part
    elif found is not None:
        assert made.stat().st_size <= LIMIT + 256
        if part == "x":
            assert len(open_npy(made, "x")) == found.n_rows


PLAIN_NUMBERS = st.integers(-(10**20), 10**20).map(str) | st.floats().map(str)
NEARLY_NUMBERS = PLAIN_NUMBERS | st.sampled_from(
    ["", "NA", '"1"', '"1"2', '1"2"', " 1", "+.5", "5.", "1e", "-Inf", "nan", "1_0", "0x1", "\xa01", "\uff11", "1\x00"]
)
ROWS_OF_NUMBERS = st.lists(PLAIN_NUMBERS, min_size=2, max_size=2).map(",".join)
NEARLY_ROWS = ROWS_OF_NUMBERS | st.lists(NEARLY_NUMBERS, min_size=1, max_size=3).map(",".join)


@settings(FUZZED, max_examples=EXAMPLES or 100)
@given(
    rows=st.lists(ROWS_OF_NUMBERS, min_size=1, max_size=5) | st.lists(NEARLY_ROWS, min_size=1, max_size=5),
    header=st.sampled_from(["a,b", '"a",b', "id,b"]),
    end=st.sampled_from(["\n", "\r\n", "\r", "\r\r\n", "\n\n"]),
)
def test_the_quick_reader_of_csv_makes_of_every_file_what_the_strict_one_makes(path, monkeypatch, rows, header, end):
    path.write_bytes(end.join([header, *rows, ""]).encode())
    ids = path.with_name("ids")
    made = []
    for is_plain in (csv_features._is_plain, lambda *_: False):
        ids.unlink(missing_ok=True)
        with monkeypatch.context() as patched:
            patched.setattr(csv_features, "_is_plain", is_plain)  # the second time the strict one reads all of it
            target = Target("x", path.with_name("made"), ids, LIMIT)
            found = outcome(lambda target=target: csv_features.convert_features(path, target, "id"))
        if isinstance(found, REFUSALS):
            made.append((found.code, found.message))
        else:
            text = ids.read_bytes() if ids.exists() else b""
            made.append((found, repr(np.load(target.path).tolist()), text))
    assert made[0] == made[1]


COLUMNAR = [
    columnar(table, **how)
    for table in (
        pa.table({"a": SMALL[:, 0], "id": np.arange(4)}),
        pa.table({"e": pa.FixedSizeListArray.from_arrays(pa.array(SMALL.ravel()), 3)}),
        pa.table({"t": pa.array(["u", None]).dictionary_encode(), "flag": [True, None]}),
    )
    for how in ({"compression": "snappy"}, {"compression": "none", "use_dictionary": False}, {})
]


@settings(FUZZED, max_examples=EXAMPLES or 12)
@given(content=mutated(COLUMNAR), part=st.sampled_from(["x", "labels"]))
def test_any_parquet_or_arrow_file_is_converted_or_refused(path, content, part):
    path.write_bytes(content)
    made = path.with_name("made")

    def read() -> Any:
        found = recognise(path, part)
        if found not in (FileFormat.PARQUET, FileFormat.ARROW):
            return None
        return converted(path, part, found, made, path.with_name("ids"), "id", LIMIT)

    found = outcome(read)
    if isinstance(found, UploadError):
        assert found.part == part
