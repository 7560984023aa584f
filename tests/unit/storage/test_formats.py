"""Every format gives the numbers that were put into it, and says what of it was taken."""

import io
import json
import pickle
import struct
import zipfile
from contextlib import ExitStack

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest
from safetensors.numpy import save_file

from service.analyses.dataset import FileFormat
from service.analyses.errors import ReadersBusy, UploadError
from service.estimation.labels import label_columns
from service.estimation.roles import LABELS
from service.storage.formats import children, csv_features, places
from service.storage.formats.__main__ import convert
from service.storage.formats.order import Order
from service.storage.formats.reading import converted
from service.storage.formats.recognition import check_said, recognise
from service.storage.npy import open_npy
from service.storage.tables import read_columns, read_groups, read_rows, read_table

RNG = np.random.default_rng(0)
X = RNG.standard_normal((40, 3)).astype(np.float32)
IDS = np.arange(40) * 7


def read(path, part="x", id_column="id", max_bytes=2**20):
    """What is made of a file in this process: the array or the table's path, what was understood, the ids."""
    target, ids = path.parent / "made", path.parent / "ids"
    ids.unlink(missing_ok=True)
    kind = recognise(path, part)
    understood = convert(Order(part, kind, str(path), str(target), str(ids), id_column, max_bytes, 2**40, 100))
    array = open_npy(target, part) if part in "xy" else target
    return array, understood, np.load(ids) if ids.exists() else None


def refused(path, part="x", **how):
    with pytest.raises(UploadError) as caught:
        read(path, part, **how)
    assert caught.value.part == part
    return caught.value.code, caught.value.message


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file"


def parquet(path, columns, **how):
    pa.parquet.write_table(pa.table(columns), path, **how)
    return path


def saved_z(path, compressed=False, **arrays):
    with path.open("wb") as file:
        (np.savez_compressed if compressed else np.savez)(file, **arrays)
    return path


def columns_of(table=X):
    return {f"f{place}": table[:, place] for place in range(table.shape[1])}


@pytest.mark.parametrize("compressed", [False, True])
def test_npz_has_one_table_of_numbers(path, compressed):
    array, understood, ids = read(saved_z(path, compressed, id=IDS, anything=X, note=np.array("a")))
    np.testing.assert_array_equal(array, X)
    assert array.dtype == np.float32
    assert (understood.taken, understood.left_out, understood.id_column) == (("anything",), ("note",), "id")
    np.testing.assert_array_equal(ids, IDS)


@pytest.mark.parametrize(("part", "name"), [("x", "x"), ("y", "y"), ("x", "features"), ("y", "embeddings")])
def test_of_several_tables_the_one_called_like_the_part_is_taken(path, part, name):
    array, understood, _ = read(saved_z(path, **{name: X, "other": X[:, :2]}), part)
    assert (array.shape, understood.taken) == ((40, 3), (name,))


def test_which_of_several_tables_is_meant_has_to_be_said(path):
    code, message = refused(saved_z(path, a=X, b=X[:, :2]))
    assert code == "which_array"
    assert "a (40, 3) float32, b (40, 2) float32" in message


def test_fortran_order_and_big_endian_members_are_read_as_they_are(path):
    array, _, _ = read(saved_z(path, x=np.asfortranarray(X.astype(">f8"))))
    np.testing.assert_array_equal(array, X)


def test_npz_members_with_objects_are_never_loaded(path):
    with zipfile.ZipFile(path, "w") as archive:
        member = io.BytesIO()
        np.save(member, np.array([[{}]], dtype=object), allow_pickle=True)
        archive.writestr("x.npy", member.getvalue())
    assert refused(path)[0] == "which_array"


def test_an_npz_bomb_is_refused_by_what_it_says_to_hold(path):
    code, message = refused(saved_z(path, True, x=np.zeros((10_000, 500))))
    assert path.stat().st_size < 100_000
    assert code == "expands_too_far"
    assert "40000128 bytes" in message


def test_an_archive_that_says_less_than_it_holds_is_refused(path):
    content = bytearray(saved_z(path, True, x=np.zeros((1000, 50))).read_bytes())
    entry = content.rfind(b"PK\x01\x02")
    content[entry + 24 : entry + 28] = struct.pack("<I", 2000)  # the directory's size of the unpacked member
    path.write_bytes(content)
    assert refused(path)[0] in ("npy_truncated", "invalid_npz")


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("model/data.pkl", pickle.dumps([1]), "torch_file"),
        ("table.csv", b"a\n1\n", "format_not_read"),
        ("x.npy", b"nothing", "invalid_npy"),
    ],
)
def test_other_archives_are_told_apart(path, name, content, code):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, content)
    found, message = refused(path)
    assert found == code
    if code == "torch_file":
        assert "safetensors.torch.save_file" in message


def test_encrypted_and_damaged_archives_are_refused(path):
    content = bytearray(saved_z(path, x=X).read_bytes())
    locked = bytearray(content)
    locked[locked.rfind(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(locked)
    assert refused(path)[0] == "invalid_npz"
    path.write_bytes(content[:200] + b"\xff" * 40 + content[240:])
    assert refused(path)[0] == "invalid_npz"
    path.write_bytes(content[:-30])
    assert refused(path)[0] == "invalid_npz"


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8", "uint16", "int64"])
def test_safetensors_keep_their_type(path, dtype):
    values = (X * 10).astype(dtype)
    save_file({"weights": values, "id": IDS}, path)
    array, understood, ids = read(path)
    np.testing.assert_array_equal(array, values)
    assert (array.dtype, understood.taken, understood.format) == (np.dtype(dtype), ("weights",), "safetensors")
    np.testing.assert_array_equal(ids, IDS)


def test_bfloat16_becomes_float32_exactly(path):
    halves = X.view(np.uint32) >> 16
    header = json.dumps({"x": {"dtype": "BF16", "shape": [40, 3], "data_offsets": [0, 240]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + halves.astype("<u2").tobytes())
    array, _, _ = read(path)
    assert array.dtype == np.float32
    np.testing.assert_array_equal(array.view(np.uint32), halves << 16)
    np.testing.assert_allclose(array, X, rtol=2**-7)


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "F32", "shape": [40, 3], "data_offsets": [0, 400]},
        {"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 480]},
        {"dtype": "F32", "shape": [40, 3], "data_offsets": [480, 960]},
        {"dtype": "F32", "shape": [-40, -3], "data_offsets": [0, 480]},
        {"dtype": "X", "shape": [40, 3], "data_offsets": [0, 480]},
        [],
    ],
)
def test_safetensors_whose_header_contradicts_the_file_are_refused(path, entry):
    header = json.dumps({"x": entry}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(480))
    assert refused(path)[0] == "invalid_safetensors"


def test_parquet_has_columns_in_the_order_of_the_file(path):
    array, understood, ids = read(parquet(path, {"z": X[:, 2], "id": IDS, "a": X[:, 0]}))
    np.testing.assert_array_equal(array, X[:, [2, 0]])
    assert (array.dtype, understood.taken, understood.n_taken, understood.n_rows) == (np.float32, ("z", "a"), 2, 40)
    np.testing.assert_array_equal(ids, IDS)


@pytest.mark.parametrize("kind", [pa.list_(pa.float32(), 3), pa.list_(pa.float32()), pa.large_list(pa.float32())])
@pytest.mark.parametrize("compression", ["snappy", "zstd"])
def test_one_column_of_lists_is_a_table(path, kind, compression):
    lists = pa.array(list(X), kind)
    array, understood, _ = read(parquet(path, {"embedding": lists}, row_group_size=7, compression=compression))
    np.testing.assert_array_equal(array, X)
    assert (understood.n_taken, understood.taken) == (1, ("embedding",))


def test_lists_of_different_lengths_are_refused_with_the_row(path):
    lists = [list(row) for row in X[:5].tolist()]
    lists[3].pop()
    code, message = refused(parquet(path, {"embedding": lists}))
    assert code == "unequal_lists"
    assert "row 3 " in message


@pytest.mark.parametrize(
    ("columns", "dtype"),
    [
        ({"a": pa.array([1, 2], pa.int16()), "b": pa.array([0.5, 1.5], pa.float16())}, "float32"),
        ({"a": pa.array([True, False]), "b": pa.array([0.5, 1.5], pa.float32())}, "float32"),
        ({"a": pa.array([1, 2], pa.int32()), "b": pa.array([0.5, 1.5], pa.float32())}, "float64"),
        ({"a": pa.array([1, 2**53], pa.int64())}, "float64"),
    ],
)
def test_mixed_numbers_become_the_smallest_type_that_holds_them(path, columns, dtype):
    array, _, _ = read(parquet(path, columns))
    assert array.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(array, np.column_stack([column.to_pylist() for column in columns.values()]))


def test_whole_numbers_that_no_real_number_holds_are_refused(path):
    code, message = refused(parquet(path, {"a": [1, 2**53 + 1]}))
    assert (code, "'a'" in message) == ("inexact_integers", True)


def test_nulls_are_nan(path):
    lists = pa.array([[1.0, None], [None, 2.0], None], pa.list_(pa.float32(), 2))
    np.testing.assert_array_equal(read(parquet(path, {"e": lists}))[0], [[1, np.nan], [np.nan, 2], [np.nan, np.nan]])
    array, _, _ = read(parquet(path, {"a": [1, None, 3], "b": [None, 0.5, 2.5]}))
    np.testing.assert_array_equal(array, [[1, np.nan], [np.nan, 0.5], [3, 2.5]])


LISTS_WITH_GAPS = [None, None, [1.0, 2.0], None, [None, 4.0], [5.0, 6.0], None]
ROWS_WITH_GAPS = [[np.nan] * 2, [np.nan] * 2, [1, 2], [np.nan] * 2, [np.nan, 4], [5, 6], [np.nan] * 2]


@pytest.mark.parametrize("kind", [pa.list_(pa.float32(), 2), pa.list_(pa.float32()), pa.large_list(pa.float32())])
@pytest.mark.parametrize("rows_at_a_time", [1, 3, 7])
def test_a_missing_list_is_a_row_of_nan(path, kind, rows_at_a_time):
    table = {"e": pa.array(LISTS_WITH_GAPS, kind)}
    np.testing.assert_array_equal(read(parquet(path, table, row_group_size=rows_at_a_time))[0], ROWS_WITH_GAPS)
    pa.feather.write_feather(pa.table(table), path, compression="uncompressed", chunksize=rows_at_a_time)
    np.testing.assert_array_equal(read(path)[0], ROWS_WITH_GAPS)


def test_what_lies_below_a_missing_list_is_no_data(path):
    values, missing = pa.array([1.0, 2.0, 7.0, 7.0, 5.0, 6.0]), pa.array([False, True, False])
    fixed = pa.FixedSizeListArray.from_arrays(values, 2, mask=missing)
    variable = pa.ListArray.from_arrays(pa.array([0, 2, 4, 6], pa.int32()), values, mask=missing)
    for lists in (fixed, variable):
        pa.feather.write_feather(pa.table({"e": lists}), path, compression="uncompressed")
        np.testing.assert_array_equal(read(path)[0], [[1, 2], [np.nan, np.nan], [5, 6]])


def test_lists_that_are_all_missing_are_no_table(path):
    assert refused(parquet(path, {"e": pa.array([None, None], pa.list_(pa.float32()))}))[0] == "npy_empty"


def test_columns_that_are_no_numbers_are_named(path):
    code, message = refused(parquet(path, {"a": [1.0], "name": ["n"], "when": [pd.Timestamp("2026-01-01")]}))
    assert code == "unsupported_columns"
    assert "name (Utf8), when (Timestamp" in message


def test_the_index_of_a_frame_is_left_out_and_told(path):
    frame = pd.DataFrame(columns_of(), index=[f"row {place}" for place in range(40)])
    frame.to_parquet(path)
    array, understood, _ = read(path)
    assert (array.shape, understood.left_out) == ((40, 3), ("__index_level_0__",))


def indexed(path, name, index=None, kind="parquet"):
    frame = pd.DataFrame(columns_of(), index=index)
    frame.index.name = name
    if kind == "parquet":
        frame.to_parquet(path)
    else:
        pa.feather.write_feather(pa.Table.from_pandas(frame), path, compression="uncompressed")
    return path


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_a_named_index_of_a_frame_is_left_out_and_told_unless_it_is_the_ids(path, kind):
    array, understood, ids = read(indexed(path, "day", IDS, kind))
    assert (array.shape, understood.left_out, understood.id_column, ids) == ((40, 3), ("day",), None, None)
    array, understood, ids = read(path, id_column="day")
    assert (array.shape, understood.left_out, understood.id_column) == ((40, 3), (), "day")
    np.testing.assert_array_equal(ids, IDS)


@pytest.mark.parametrize("index", [pd.RangeIndex(40), pd.RangeIndex(200, 120, -2)])
def test_an_index_that_is_counted_and_has_no_column_may_be_the_ids(path, index):
    array, understood, ids = read(indexed(path, "id", index))
    assert (array.shape, understood.left_out, understood.id_column) == ((40, 3), (), "id")
    np.testing.assert_array_equal(ids, index)
    _, understood, ids = read(indexed(path, "other", index))
    assert (understood.id_column, ids) == (None, None)
    table = pa.parquet.read_table(indexed(path, "id", index))
    pa.parquet.write_table(table.slice(0, 30), path)  # the index that was has stayed
    assert refused(path)[0] == "invalid_ids"


def test_the_index_of_a_table_is_its_ids_or_left_out(path):
    made, understood, _ = read(indexed(path, "day", IDS), "labels")
    assert (list(read_columns(made, LABELS)), understood.left_out) == (["f0", "f1", "f2"], ("day",))
    for index in (IDS, pd.RangeIndex(40)):
        made, understood, _ = read(indexed(path, "id", index), "labels")
        columns = read_columns(made, LABELS)
        assert (sorted(columns), understood.left_out) == (["f0", "f1", "f2", "id"], ())
        np.testing.assert_array_equal(columns["id"], index)
    frame = pd.DataFrame({"row": [5, 0, 3]}, index=pd.Index([7, 8, 9], name="id"))
    frame.to_parquet(path)
    np.testing.assert_array_equal(read_rows(read(path, "rows")[0]), [5, 0, 3])


@pytest.mark.parametrize(
    "said",
    [
        "[",
        "[]",
        '{"index_columns": 3}',
        '{"index_columns": [{"kind": "range"}]}',
        "[" * 100_000,
        '{"index_columns": [{"kind": "range", "name": "id", "start": 0, "stop": 40, "step": 0}]}',
        '{"index_columns": [{"kind": "range", "name": "id", "start": 0, "stop": 1e300, "step": 1}]}',
    ],
)
def test_what_says_nothing_of_an_index_is_passed_over(path, said):
    pa.parquet.write_table(pa.table(columns_of()).replace_schema_metadata({"pandas": said}), path)
    array, understood, ids = read(path)
    assert (array.shape, understood.left_out, ids) == ((40, 3), (), None)


def test_arrow_files_are_read_like_parquet(path):
    for compression in ("uncompressed", "lz4", "zstd"):
        pa.feather.write_feather(pa.table(columns_of() | {"id": IDS}), path, compression=compression, chunksize=9)
        array, understood, ids = read(path)
        np.testing.assert_array_equal(array, X)
        np.testing.assert_array_equal(ids, IDS)
        assert understood.format is FileFormat.ARROW


def test_an_arrow_batch_is_read_in_pieces(path):
    wide = RNG.standard_normal((700, 3000)).astype(np.float32)
    lists = pa.FixedSizeListArray.from_arrays(pa.array(wide.ravel()), 3000)
    pa.feather.write_feather(pa.table({"e": lists}), path, compression="uncompressed")
    array, _, _ = read(path, max_bytes=2**24)
    np.testing.assert_array_equal(array, wide)


def test_csv_has_a_header_and_numbers(path):
    frame = pd.DataFrame(columns_of().copy() | {"id": [f"s_{place}" for place in range(40)]})
    frame.to_csv(path, index=False)
    array, understood, ids = read(path)
    np.testing.assert_array_equal(array.astype(np.float32), X)
    assert (array.dtype, understood.taken, understood.id_column) == (np.float64, ("f0", "f1", "f2"), "id")
    assert ids.tolist() == [f"s_{place}".encode() for place in range(40)]


def test_csv_without_gaps_is_read_as_csv_with_gaps_is(path):
    values = RNG.standard_normal((300, 4)) * 10.0 ** RNG.integers(-300, 300, (300, 4))
    pd.DataFrame(values).to_csv(path, index=False)
    np.testing.assert_array_equal(read(path)[0], values)
    values[7, 1] = np.nan
    pd.DataFrame(values).to_csv(path, index=False)
    np.testing.assert_array_equal(read(path)[0], values)
    path.write_text('a,b\nNA,1\n\n -2 ,"3"\n')
    np.testing.assert_array_equal(read(path)[0], [[np.nan, 1], [-2, 3]])


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("1.5,2.5\n3,4\n", "csv_no_header"),
        (",a\n0,1.5\n", "csv_unnamed_column"),
        ("a;b\n1;2\n", "csv_separator"),
        ("a,a\n1,2\n", "csv_repeated_column"),
        ("a,b\n1\n", "csv_ragged"),
        ("a,b\n1,2\n1,2,3\n", "csv_ragged"),
        ("a,b\n1,cat\n", "csv_number"),
        ("a,b\n1,1_000\n", "csv_number"),
        ("a,b\n", "csv_empty"),
        ("id\n1\n", "csv_empty"),
        ('a,b\n1,"2\n', "csv_quote"),
        ("a,b\n1,\udcff\n", "csv_encoding"),
    ],
)
def test_csv_features_that_cannot_be_read_are_refused_each_with_its_own_code(path, text, code):
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    if code == "csv_encoding":
        path.write_bytes(b"a\n" + b"1\n" * 5000 + b"\xff\n")
    assert refused(path)[0] == code


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\r\r\n"])
def test_in_csv_of_one_column_an_empty_line_is_a_missing_value(path, end):
    for rows in (["1", "", "3", "4"], ["", "1", " ", "NA", "4"], ["", "x", "1"]):
        path.write_bytes(end.join(["a", *rows, "", ""]).encode())
        if "x" in rows:
            assert refused(path)[0] == "csv_number"
        else:
            wanted = [float(row) if row.isdigit() else np.nan for row in rows]
            np.testing.assert_array_equal(read(path)[0][:, 0], wanted)
            assert len(read_table(path, "labels", "label", 1)["a"]) == len(wanted)  # the same rule


def test_in_csv_of_several_columns_an_empty_line_is_no_row(path):
    path.write_text("a,b\n1,2\n\n3,4\n\n")
    np.testing.assert_array_equal(read(path)[0], [[1, 2], [3, 4]])


@pytest.mark.parametrize(
    "field", ["1_000", "\uff11\uff12", "\xa01", "1\x0b", "\x0c1", "\u0661", "0x1", "\u0131nf", "1d3"]
)
@pytest.mark.parametrize("other", [",2", ",", ""])
def test_no_numbers_are_taken_for_numbers_that_only_some_readers_know(path, field, other):
    path.write_text(f"a{',b' if other else ''}\n3{other}\n{field}{other}\n", encoding="utf-8")
    assert refused(path)[0] == "csv_number"


def test_what_follows_a_quote_within_its_field_is_refused(path):
    path.write_text('a,b\n1,2\n"1"2,3\n')
    assert refused(path)[0] == "csv_quote"
    path.write_text('"a","b"\n"1",2\n')
    np.testing.assert_array_equal(read(path)[0], [[1, 2]])


def test_csv_with_a_quoted_header_is_read_by_the_library(path, monkeypatch):
    path.write_text('\n"a","b"\n1,2\n')
    monkeypatch.setattr(csv_features, "_convert_lines", None)
    np.testing.assert_array_equal(read(path)[0], [[1, 2]])


WHOLE = [2**53, 2**60, -(2**63), 10**18]
INEXACT = [2**53 + 1, -(2**53) - 1, 2**63 - 1, 10**18 + 1]


@pytest.mark.parametrize("value", WHOLE + INEXACT)
def test_whole_numbers_are_refused_where_they_would_become_others(path, value):
    def check():
        if value in INEXACT:
            assert refused(path)[0] == "inexact_integers"
        else:
            assert float(read(path)[0][1, 0]) == value

    column = np.array([1, value, 3])
    for table in ({"a": column, "b": column}, {"a": pa.array([1, value, None])}, {"e": list(column[:, None])}):
        parquet(path, table)
        check()
    saved_z(path, x=column[:, None])
    check()
    save_file({"x": column[:, None]}, path)
    check()
    for end in (",2", ",", ""):
        path.write_text(f"a{',b' if end else ''}\n1{end}\n{value}{end}\n")
        check()


def test_damaged_parquet_and_arrow_files_are_refused(path):
    whole = parquet(path, columns_of()).read_bytes()
    for content in (whole[:-20], whole[:8], b"PAR1" + bytes(100) + b"PAR1", whole[:4] + b"\xff" * 30 + whole[34:]):
        path.write_bytes(content)
        assert refused(path)[0] == "invalid_parquet"
    pa.feather.write_feather(pa.table(columns_of()), path, compression="zstd")
    whole = path.read_bytes()
    for content in (whole[:-20], whole[:12], b"ARROW1\x00\x00" + bytes(100) + b"ARROW1"):
        path.write_bytes(content)
        assert refused(path)[0] == "invalid_arrow"


def test_parquet_that_expands_too_far_is_refused(path):
    parquet(path, {"a": np.zeros(200_000)}, compression="zstd")
    assert path.stat().st_size < 5000
    assert refused(path)[0] == "expands_too_far"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (pickle.dumps([0]), "npy_pickled"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "format_not_read"),
        (b"\x1f\x8b\x08" + bytes(100), "format_not_read"),
        (b"PARE" + bytes(100), "format_not_read"),
        (bytes(100), "unknown_format"),
        (pickle.dumps([0], 0), "npy_pickled"),
        (pickle.dumps(X, 0), "npy_pickled"),
        (b"Rar!\x1a\x07\x01\x00" + bytes(100), "format_not_read"),
        (b"x.npy".ljust(257, b"\x00") + b"ustar\x0000", "format_not_read"),
        (b'\xef\xbb\xbf {"x": [[1, 2]]}', "format_not_read"),
        (b"[[1, 2], [3, 4]]", "format_not_read"),
        (b"\n<!DOCTYPE html><html></html>", "format_not_read"),
        (b'<?xml version="1.0"?>', "format_not_read"),
    ],
)
def test_what_is_never_read_is_refused_by_its_first_bytes(path, content, code):
    path.write_bytes(content)
    with pytest.raises(UploadError) as caught:
        recognise(path, "x")
    assert caught.value.code == code


@pytest.mark.parametrize("name", ["[CO2]", "<lod", "{a}", "c", "(l"])
def test_names_of_columns_may_begin_like_other_text(path, name):
    path.write_text(f"{name},b\n1,2\n")
    assert read(path)[1].taken == (name, "b")


def test_npz_of_too_many_arrays_or_of_two_with_one_name_is_refused_each_in_its_words(path):
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(1001):
            archive.writestr(f"{number}.npy", b"")
    assert "1001 arrays, more than 1000" in refused(path)[1]
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", b"")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("x.npy", b"")
    assert "more than one array named 'x'" in refused(path)[1]


def test_ids_of_bfloat16_are_no_ids(path):
    header = {
        "x": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]},
        "id": {"dtype": "BF16", "shape": [2], "data_offsets": [16, 20]},
    }
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(20))
    assert refused(path)[0] == "invalid_ids"


def test_a_content_type_that_names_another_format_is_refused(path):
    parquet(path, columns_of())
    found = recognise(path, "x")
    for silent in (None, "application/octet-stream", "text/plain", "application/vnd.apache.parquet; v=2"):
        check_said(silent, found, "x")
    with pytest.raises(UploadError, match="is a Parquet file and its Content-Type says CSV") as caught:
        check_said("text/csv; charset=utf-8", found, "x")
    assert caught.value.code == "format_mismatch"


TYPED = {
    "text": pa.array(["1", None, "true"]),
    "coded": pa.array(["u", "v", "u"]).dictionary_encode(),
    "flag": pa.array([True, None, False]),
    "count": pa.array([1, 2, None], pa.int32()),
    "size": pa.array([1.0, None, 3.0], pa.float32()),
    "none": pa.nulls(3),
}


def test_tables_keep_the_types_that_their_columns_have(path):
    made, understood, _ = read(parquet(path, TYPED), "labels")
    columns = read_columns(made, LABELS)
    assert {name: column.dtype.kind for name, column in columns.items()} == {
        "text": "T",
        "coded": "T",
        "flag": "b",
        "count": "i",
        "size": "f",
        "none": "f",
    }
    typed = {column.name: column for column in label_columns(columns, {"count": "categorical"})}
    assert {name: list(c.present) if c.present is not None else None for name, c in typed.items()} == {
        "text": [True, False, True],
        "coded": None,
        "flag": [True, False, True],
        "count": [True, True, False],
        "size": [True, False, True],
        "none": [False, False, False],
    }
    assert (typed["text"].type, typed["flag"].type, typed["size"].type) == ("categorical", "categorical", "numeric")
    assert (understood.n_rows, understood.n_taken) == (3, 6)


def test_whole_numbers_as_labels_still_need_a_type(path):
    made, _, _ = read(parquet(path, {"count": [1, 2, 3]}), "labels")
    with pytest.raises(Exception, match="count"):
        label_columns(read_columns(made, LABELS))


def test_text_is_kept_to_the_letter(path):
    values = ["", "NA", " padded ", 'a "quoted", one', "007", "1.0", "ü", "#phasegate-types:text"]
    made, _, _ = read(parquet(path, {"t": values}), "labels")
    assert read_columns(made, LABELS)["t"].tolist() == values


def test_arrays_of_one_dimension_are_columns(path):
    made, _, _ = read(saved_z(path, kind=np.array(["a", "b"]), dose=np.array([1.5, np.nan])), "labels")
    columns = read_columns(made, LABELS)
    assert columns["kind"].tolist() == ["a", "b"]
    np.testing.assert_array_equal(columns["dose"], [1.5, np.nan])
    save_file({"site": np.array([3, 1, 3])}, path)
    made, _, _ = read(path, "groups")
    np.testing.assert_array_equal(read_groups(made), [3, 1, 3])
    assert refused(saved_z(path, a=X), "labels")[0] == "unsupported_columns"
    assert refused(saved_z(path, a=X[:, 0], b=X[:3, 0]), "labels")[0] == "csv_ragged"


def test_rows_come_in_a_column(path):
    made, _, _ = read(parquet(path, {"row": [5, 0, 3]}), "rows")
    np.testing.assert_array_equal(read_rows(made), [5, 0, 3])


def test_tables_that_are_no_table_of_labels_are_refused(path):
    code, message = refused(parquet(path, {"a": [1.0], "e": [[1.0]]}), "covariates")
    assert code == "unsupported_columns"
    assert "e (List" in message
    assert refused(parquet(path, {"a": np.zeros(2_000_001)}), "labels")[0] == "labels_too_large"


def test_files_are_converted_in_a_process_of_their_own(path, tmp_path):
    parquet(path, columns_of() | {"id": IDS})
    understood = converted(path, "x", FileFormat.PARQUET, tmp_path / "made", tmp_path / "ids", "id", 2**20)
    np.testing.assert_array_equal(open_npy(tmp_path / "made", "x"), X)
    assert (understood.n_rows, understood.id_column, understood.taken) == (40, "id", ("f0", "f1", "f2"))


def test_what_takes_too_much_memory_ends_its_own_process_alone(path, tmp_path, monkeypatch):
    monkeypatch.setattr(children, "MEMORY_BYTES", 100 * 1024**2)
    text = pa.array(["x" * 2**20])  # once in the file, and a megabyte in each of its rows
    parquet(path, {"a": pa.DictionaryArray.from_arrays(pa.array([0] * 400), text)}, compression="zstd")
    assert path.stat().st_size < 2000
    with pytest.raises(UploadError) as caught:
        converted(path, "labels", FileFormat.PARQUET, tmp_path / "made", tmp_path / "ids", "id", 2**20)
    assert caught.value.code == "too_costly_to_read"


def test_what_takes_too_much_time_is_ended(path, tmp_path, monkeypatch):
    monkeypatch.setattr(children, "TIME_S", 0)
    parquet(path, columns_of())
    with pytest.raises(UploadError) as caught:
        converted(path, "x", FileFormat.PARQUET, tmp_path / "made", tmp_path / "ids", "id", 2**20)
    assert caught.value.code == "too_costly_to_read"


def test_no_more_files_are_read_at_once_than_there_are_places(path, tmp_path, monkeypatch):
    monkeypatch.setattr(places, "PATIENCE_S", 0.01)
    parquet(path, columns_of())
    how = (path, "x", FileFormat.PARQUET, tmp_path / "made", tmp_path / "ids", "id", 2**20)
    with ExitStack() as taken:
        for _ in range(places.AT_A_TIME):
            taken.enter_context(children.PLACES.taken(places.Reader()))
        with pytest.raises(ReadersBusy):
            converted(*how)
    assert converted(*how).n_rows == 40
