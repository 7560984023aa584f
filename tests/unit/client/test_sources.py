"""What can be uploaded, and what arrives of it."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from service.client import UnsupportedSource
from service.client.sources import opened_source
from service.estimation.labels import LabelType
from service.estimation.roles import LABELS
from service.storage.tables import read_columns

RNG = np.random.default_rng(5)


def sent(part, source, size=10_000):
    """What is sent, read in pieces of a size."""
    stream = opened_source(part, source).stream
    content = b"".join(iter(lambda: stream.read(size), b""))
    assert stream.seek(0, io.SEEK_END) == len(content)
    stream.seek(0)
    assert stream.read(8) == content[:8]
    stream.close()
    return content


def array_sent(part, source, **how):
    return np.load(io.BytesIO(sent(part, source, **how)), allow_pickle=False)


def saved(values):
    file = io.BytesIO()
    np.save(file, values, allow_pickle=False)
    return file.getvalue()


WIDE = RNG.standard_normal((7, 300_000))
TALL = RNG.standard_normal((300_000, 3))


@pytest.mark.parametrize(
    "values",
    [
        TALL,
        WIDE,
        TALL.astype(np.float16),
        np.asfortranarray(TALL),
        TALL.astype(">f4"),
        np.arange(12, dtype=np.uint8).reshape(4, 3),
        np.arange(5),
        np.array(["a", "bc"]),
        np.array([True, False]),
        np.zeros((0, 3)),
        np.zeros((3, 0)),
        np.arange(24.0).reshape(2, 3, 4),
    ],
    ids=lambda values: f"{values.dtype}-{values.shape}-{'F' if values.flags.f_contiguous else 'C'}",
)
def test_an_array_arrives_as_the_file_that_numpy_would_save(values):
    assert sent("rows", values) == saved(values)
    assert sent("rows", values, size=1 << 22) == saved(values)


@pytest.mark.parametrize(
    "values", [TALL[::2], TALL[:, 1:], TALL[::-1], WIDE[:, ::3], WIDE.T[::2], np.broadcast_to(1.0, (9, 4))]
)
def test_values_that_do_not_lie_one_behind_the_other_are_put_in_order(values):
    np.testing.assert_array_equal(array_sent("x", values), values)


def test_reading_may_go_back_and_forth():
    stream = opened_source("x", TALL[::2]).stream
    whole = saved(np.ascontiguousarray(TALL[::2]))
    for place in (3_000_000, 0, 1 << 20, 100, len(whole) - 3):
        stream.seek(place)
        found = stream.read(50)  # a header or a chunk may end before
        assert found == whole[place : place + len(found)]
        assert found


def test_a_memory_map_is_read_where_it_lies(tmp_path):
    np.save(tmp_path / "x.npy", TALL)
    assert sent("x", np.load(tmp_path / "x.npy", mmap_mode="r")) == (tmp_path / "x.npy").read_bytes()


def test_files_go_as_they_are(tmp_path):
    (tmp_path / "x.npy").write_bytes(b"whatever")
    with (tmp_path / "x.npy").open("rb") as file:
        for source in (tmp_path / "x.npy", str(tmp_path / "x.npy"), b"whatever", bytearray(b"whatever"), file):
            assert sent("x", source) == b"whatever"
        assert not file.closed


class OtherArray:
    """As arrays of other libraries show themselves."""

    def __init__(self, values):
        self._values = values

    def __array__(self, dtype=None, copy=None):
        return self._values


class OtherTensor:
    """As tensors show themselves that are no numpy arrays: by DLPack alone."""

    def __init__(self, values):
        self._values = values

    def __dlpack__(self, **how):
        return self._values.__dlpack__(**how)

    def __dlpack_device__(self):
        return self._values.__dlpack_device__()


@pytest.mark.parametrize(
    "source", [OtherArray(TALL[:9]), OtherTensor(TALL[:9]), TALL[:9].tolist(), memoryview(TALL[:9])]
)
def test_whatever_shows_itself_as_an_array_is_one(source):
    np.testing.assert_array_equal(array_sent("x", source), TALL[:9])


FRAME = {
    "a": np.arange(6, dtype=np.float32),
    "b": np.arange(6, dtype=np.int16) ** 2,
    "c": np.linspace(0, 1, 6),
}
TABLE = np.stack([np.asarray(column, dtype=np.float64) for column in FRAME.values()], axis=1)


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame(FRAME, index=list("uvwxyz")),
        pd.DataFrame(FRAME).astype({"b": "Int16", "a": "Float32"}),
        pd.DataFrame(FRAME).convert_dtypes(dtype_backend="pyarrow").astype({"c": "float64[pyarrow]"}),
        pl.DataFrame(FRAME),
        pa.table(FRAME),
        pa.record_batch(FRAME),
    ],
    ids=lambda frame: type(frame).__module__ + type(frame).__name__,
)
def test_columns_of_numbers_are_one_table(frame):
    arrived = array_sent("x", frame)
    np.testing.assert_array_equal(arrived, TABLE)
    assert arrived.dtype == np.float64


def test_columns_of_one_type_keep_it_and_a_single_column_is_a_table_of_one():
    for frame in (pd.DataFrame({"a": FRAME["a"]}), pl.DataFrame({"a": FRAME["a"]}), pa.table({"a": FRAME["a"]})):
        assert array_sent("x", frame).shape == (6, 1)
        assert array_sent("x", frame).dtype == np.float32
    assert array_sent("x", pd.DataFrame(RNG.standard_normal((50, 7)).astype(np.float32))).dtype == np.float32


def test_missing_numbers_are_nan():
    values = [1, None, 3]
    for frame in (
        pd.DataFrame({"a": pd.array(values, dtype="Int64"), "b": [0.5, 1, 2]}),
        pl.DataFrame({"a": values, "b": [0.5, 1, 2]}),
        pa.table({"a": values, "b": [0.5, 1, 2]}),
    ):
        np.testing.assert_array_equal(array_sent("y", frame), [[1, 0.5], [np.nan, 1], [3, 2]])


def test_a_column_of_lists_of_one_length_is_a_table():
    rows = RNG.standard_normal((5, 3))
    arrow = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), 3)
    for frame in (
        pl.DataFrame({"embedding": pl.Series(rows, dtype=pl.Array(pl.Float64, 3))}),
        pl.Series(rows, dtype=pl.Array(pl.Float64, 3)),
        pa.table({"embedding": arrow}),
        arrow,
        pa.chunked_array([arrow[:2], arrow[2:]]),
    ):
        np.testing.assert_array_equal(array_sent("x", frame), rows)
    both = array_sent("x", pa.table({"embedding": arrow, "more": np.arange(5.0)}))
    np.testing.assert_array_equal(both, np.column_stack([rows, np.arange(5.0)]))


def table_read(part, source, tmp_path):
    """The columns as the service reads them, and the types that were said with them."""
    opened = opened_source(part, source)
    path = tmp_path / "labels.csv"
    path.write_bytes(opened.stream.read(1 << 20))
    return {name: np.ma.asarray(values).tolist() for name, values in read_columns(path, LABELS).items()}, opened.types


NAMED = {
    "site": ["Kyiv, UA", None, 'the "old"', "ä"],
    "count": [3, None, 0, -12],
    "score": [0.1, 1.0, None, 1e-30],
    "is_new": [True, None, False, True],
}
READ = {**NAMED, "site": ["Kyiv, UA", "", 'the "old"', "ä"]}


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({
            "site": NAMED["site"],
            "count": pd.array(NAMED["count"], dtype="Int64"),
            "score": NAMED["score"],
            "is_new": pd.array(NAMED["is_new"], dtype="boolean"),
        }),
        pl.DataFrame(NAMED),
        pa.table(NAMED),
        NAMED,
        {name: np.array(values, dtype=object) for name, values in NAMED.items()},
        {name: pl.Series(values) for name, values in NAMED.items()},
    ],
    ids=["pandas", "polars", "pyarrow", "lists", "arrays", "series"],
)  # fmt: skip
def test_columns_by_name_arrive_with_their_names_types_and_gaps(frame, tmp_path):
    read, types = table_read("labels", frame, tmp_path)
    assert {name: [None if value != value else value for value in values] for name, values in read.items()} == READ
    assert types == {}


def test_what_a_library_calls_classes_is_said_to_be_classes(tmp_path):
    for frame in (
        pd.DataFrame({"digit": pd.Categorical([3, 1, 3]), "kind": pd.Categorical(["u", "v", None])}),
        pl.DataFrame({"digit": ["3", "1", "3"], "kind": ["u", "v", None]}).cast(pl.Categorical),
        pa.table(
            {
                "digit": pa.array(["3", "1", "3"]).dictionary_encode(),
                "kind": pa.array(["u", "v", None]).dictionary_encode(),
            }
        ),
    ):
        read, types = table_read("labels", frame, tmp_path)
        assert read == {"digit": [3, 1, 3], "kind": ["u", "v", ""]}
        assert types == dict.fromkeys(["digit", "kind"], LabelType.CATEGORICAL)


def test_text_that_looks_like_numbers_is_said_to_be_classes(tmp_path):
    said = {"plate": ["1", "2", "10"], "share": ["0.5", "1e3", "2"], "flag": ["true", "false", "true"]}
    _, types = table_read("labels", said, tmp_path)
    assert types == dict.fromkeys(said, LabelType.CATEGORICAL)
    read, types = table_read("labels", {"code": ["07", "7", "10"], "word": ["none", "a", "1"]}, tmp_path)
    assert (read, types) == ({"code": ["07", "7", "10"], "word": ["none", "a", "1"]}, {})


@pytest.mark.parametrize("values", [["1", "1.0"], ["1", "NA"], ["true", "True"], ["5", "+5"]])
def test_text_that_would_not_stay_apart_is_refused(values):
    with pytest.raises(UnsupportedSource, match="'c' \\+ text"):
        opened_source("labels", {"code": values})


def test_labels_without_names_are_named_as_the_service_names_columns_of_arrays(tmp_path):
    for source in (
        pd.Series(["a", None]),
        pl.Series(["a", None]),
        pa.array(["a", None]),
        np.array(["a", None], dtype=object),
    ):
        assert table_read("labels", source, tmp_path)[0] == {"label_0": ["a", ""]}
    masked = np.ma.MaskedArray([[1, 2], [3, 4]], mask=[[0, 1], [0, 0]])
    assert table_read("covariates", masked, tmp_path)[0] == {"covariate_0": [1, 3], "covariate_1": [None, 4]}
    np.testing.assert_array_equal(array_sent("labels", ["a", "b"]), ["a", "b"])
    assert table_read("labels", pd.Series(["a", "b"], name="kind"), tmp_path)[0] == {"kind": ["a", "b"]}


def test_rows_of_a_series_are_row_numbers():
    for rows in (pd.Series([4, 2, 7]), pl.Series([4, 2, 7]), pa.array([4, 2, 7]), [4, 2, 7]):
        np.testing.assert_array_equal(array_sent("rows", rows), [4, 2, 7])


def test_rows_of_a_frame_are_its_one_column_beside_the_ids():
    values = {"id": ["u", "v", "w"], "row": [4, 2, 7]}
    for rows in (pd.DataFrame(values), pl.DataFrame(values), pa.table(values), pd.DataFrame({"row": [4, 2, 7]})):
        np.testing.assert_array_equal(array_sent("rows", rows), [4, 2, 7])


def test_groups_of_a_frame_go_with_their_ids(tmp_path):
    values = {"id": ["u", "v", "w"], "subject": [1, 1, 2]}
    assert table_read("groups", pd.DataFrame(values), tmp_path)[0] == values
    assert table_read("groups", pd.DataFrame({"id": [1, 1, 2]}), tmp_path)[0] == {"id": [1, 1, 2]}


@pytest.mark.parametrize("frame_of", [pd.DataFrame, pl.DataFrame, pa.table])
@pytest.mark.parametrize("part", ["rows", "groups"])
def test_nobody_guesses_which_of_several_columns_is_meant(part, frame_of):
    several = frame_of({"fold": [0, 0, 1], "id": ["u", "v", "w"], "row": [4, 2, 7]})
    with pytest.raises(UnsupportedSource, match=r"with columns 'fold', 'row'\. Give the one .* frame\['row'\]"):
        opened_source(part, several)
    with pytest.raises(UnsupportedSource, match="'fold', 'id', 'row'"):
        opened_source(part, several, "subject")


def test_ids_alone_are_no_row_numbers():
    with pytest.raises(UnsupportedSource, match="no column but that of ids"):
        opened_source("rows", pd.DataFrame({"id": [4, 2, 7]}))


FLAGS = RNG.random((9, 4)) < 0.5
FLAGGED = {str(place): column for place, column in enumerate(FLAGS.T)}


@pytest.mark.parametrize(
    "source",
    [
        FLAGS,
        np.asfortranarray(FLAGS),
        FLAGS.tolist(),
        OtherArray(FLAGS),
        pd.DataFrame(FLAGGED),
        pd.DataFrame(FLAGGED).astype("boolean"),
        pl.DataFrame(FLAGGED),
        pa.table(FLAGGED),
    ],
    ids=["array", "by column", "lists", "other", "pandas", "pandas boolean", "polars", "pyarrow"],
)
def test_booleans_among_features_are_0_and_1(source):
    arrived = array_sent("x", source)
    np.testing.assert_array_equal(arrived, FLAGS)
    assert arrived.dtype == np.uint8


def test_booleans_beside_numbers_and_booleans_of_which_some_are_missing_are_numbers():
    for frame in (pd.DataFrame, pl.DataFrame, pa.table):
        beside = array_sent("x", frame({"a": np.float32([0.5, 2]), "b": np.array([True, False])}))
        np.testing.assert_array_equal(beside, [[0.5, 1], [2, 0]])
        assert beside.dtype == np.float32
    values = [True, None, False]
    for missing in (
        pd.DataFrame({"a": pd.array(values, dtype="boolean")}),
        pl.DataFrame({"a": values}),
        pa.table({"a": values}),
    ):
        np.testing.assert_array_equal(array_sent("y", missing), [[1], [np.nan], [0]])


@pytest.mark.parametrize(
    ("part", "source", "words"),
    [
        ("x", object(), "x is a builtins.object, which cannot be uploaded. Give a path"),
        ("x", {1, 2}, "a builtins.set"),
        ("x", 3.5, "a builtins.float"),
        ("x", np.float64(3.5), "single value"),
        ("x", {"a": [1.0]}, "columns by name"),
        ("x", np.array([[1, "a"]], dtype=object), "array of object, and features are real numbers"),
        ("x", np.ones((3, 2), complex), "real and imaginary parts"),
        ("x", np.ones((3, 2), np.longdouble), "float128"),
        ("x", np.array(["2026-11-26"], "M8[D]"), "datetime64"),
        ("x", [[1.0], [2.0, 3.0]], "that is no array"),
        ("x", np.ma.masked_less(TALL[:3], 0.0), "masked values"),
        ("x", io.StringIO("1,2"), "opened as text"),
        ("x", pd.DataFrame({"name": ["a"], "b": [1.0]}), "Column 'name' of x \\(pandas DataFrame\\) holds"),
        ("x", pd.DataFrame({"e": [[1.0, 2.0], [3.0, 4.0]]}), "numpy.stack"),
        ("x", pl.DataFrame({"name": ["a"]}), "Column 'name' of x \\(polars DataFrame\\) holds String"),
        ("x", pa.table({"when": pa.array([0], pa.timestamp("s"))}), "holds timestamp"),
        ("y", pl.DataFrame({"a": [1]}).lazy(), "frame.collect"),
        ("y", pd.DataFrame(index=range(3)), "without columns of numbers"),
        ("labels", {"when": np.array(["2026-11-26"], "M8[D]")}, "holds date. Make it all text"),
        ("labels", {"mixed": ["a", 1]}, "holds int and str"),
        ("labels", {"a": [1], "b": [1, 2]}, "differ in length"),
        ("labels", {"a": np.ones((2, 2))}, "has 2 dimensions"),
        ("rows", {"a": [1]}, "columns by name"),
    ],
)  # fmt: skip
def test_what_cannot_be_uploaded_is_refused_with_advice(part, source, words):
    with pytest.raises(UnsupportedSource, match=words) as refused:
        opened_source(part, source)
    assert str(refused.value).endswith((".", "columns."))


def test_a_file_that_is_not_there_is_an_error_of_the_system():
    with pytest.raises(FileNotFoundError):
        opened_source("x", Path("not-there.npy"))


@pytest.mark.parametrize("named", [{}, {"id_column": "subject"}])
def test_features_go_with_the_ids_of_their_rows(named):
    name, ids = named.get("id_column", "id"), ["s7", "07", "ü"]
    values = RNG.standard_normal((3, 2))
    for frame in (
        pd.DataFrame({"a": values[:, 0], name: ids, "b": values[:, 1]}),
        pl.DataFrame({name: ids, "a": values}),
    ):
        stream = opened_source("x", frame, **named).stream
        archive = np.load(io.BytesIO(stream.read(1 << 20)), allow_pickle=False)
        np.testing.assert_array_equal(archive["x"], values)
        np.testing.assert_array_equal(archive[name], ids)
        stream.close()
    stream = opened_source("x", pa.table({name: [3, 1, 2], "a": [0.5, 1.5, 2.5]}), **named).stream
    archive = np.load(io.BytesIO(stream.read(1 << 20)))
    stream.close()
    np.testing.assert_array_equal(archive[name], [3, 1, 2])
    assert archive["x"].shape == (3, 1)


def test_ids_of_labels_stay_ids(tmp_path):
    columns = {"id": ["1", "2"], "kind": ["a", "b"]}
    for labels in (columns, pd.DataFrame(columns)):
        assert table_read("labels", labels, tmp_path) == ({"id": [1, 2], "kind": ["a", "b"]}, {})


@pytest.mark.parametrize("ids", [[0.5, 1.5], ["a", None]])
def test_ids_that_name_no_rows_are_refused(ids):
    with pytest.raises(UnsupportedSource, match="Give every row an id"):
        opened_source("x", pl.DataFrame({"id": ids, "a": [1.0, 2.0]}))


INDEXED = pd.DataFrame({"a": [0.5, 1.5], "b": [2.5, 3.5]}, index=pd.Index(["u", "v"], name="id"))


@pytest.mark.parametrize("frame", [INDEXED, pa.Table.from_pandas(INDEXED)])
def test_an_index_named_like_the_id_column_is_the_ids(tmp_path, frame):
    with np.load(io.BytesIO(sent("x", frame))) as members:
        np.testing.assert_array_equal(members["x"], INDEXED)
        assert members["id"].tolist() == ["u", "v"]
    assert table_read("labels", frame, tmp_path)[0] == {"a": [0.5, 1.5], "b": [2.5, 3.5], "id": ["u", "v"]}


@pytest.mark.parametrize("name", [None, "day"])
def test_any_other_index_is_left_out(tmp_path, name):
    frame = INDEXED.rename_axis(name)
    for each in (frame, pa.Table.from_pandas(frame)):
        np.testing.assert_array_equal(array_sent("x", each), INDEXED)
        assert list(table_read("labels", each, tmp_path)[0]) == ["a", "b"]


def test_an_index_that_is_counted_is_the_ids_too():
    frame = INDEXED.reset_index(drop=True).rename_axis("id")
    for each in (frame, pa.Table.from_pandas(frame)):
        with np.load(io.BytesIO(sent("x", each))) as members:
            assert members["id"].tolist() == [0, 1]


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame, pa.table])
def test_whole_numbers_of_a_frame_that_would_become_others_are_refused(make):
    with pytest.raises(UnsupportedSource, match=r"'a' of x .* beyond 2\^53"):
        opened_source("x", make({"a": [1, 2**53 + 1], "b": [0.5, 1.5]}))
    assert array_sent("x", make({"a": [1, 2**60], "b": [0.5, 1.5]}))[1, 0] == 2**60
