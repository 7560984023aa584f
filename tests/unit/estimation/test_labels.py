import numpy as np
import pytest

from service.estimation.errors import (
    LabelNames,
    LabelTypeMismatch,
    LabelTypeRequired,
    TooManyLabelTargets,
    UnsupportedType,
    WrongShape,
)
from service.estimation.labels import (
    LabelType,
    class_counts,
    encode,
    encode_column,
    has_label,
    in_rows,
    label_columns,
    target_names,
    varies,
)
from service.estimation.roles import MAX_TARGETS

CATEGORICAL, NUMERIC = LabelType.CATEGORICAL, LabelType.NUMERIC


def refused(error, code, values, types, *words):
    with pytest.raises(error) as caught:
        encode(label_columns(values, types))
    assert caught.value.code == code
    assert caught.value.part == "labels"
    for word in words:
        assert word in caught.value.message


def one(values, said=None):
    (column,) = label_columns({"a": np.asarray(values)}, said)
    return column


@pytest.mark.parametrize(
    ("values", "said", "expected"),
    [
        (["b", "a"], None, CATEGORICAL),
        (["b", "a"], CATEGORICAL, CATEGORICAL),
        ([True, False], None, CATEGORICAL),
        ([True, False], NUMERIC, NUMERIC),
        ([0.5, 1.5], None, NUMERIC),
        ([0.5, 1.5], CATEGORICAL, CATEGORICAL),
        (np.float16([0.5, 1.5]), None, NUMERIC),
        (np.array([0.5, 1.5], dtype=">f4"), None, NUMERIC),
        ([1, 2], CATEGORICAL, CATEGORICAL),
        ([1, 2], NUMERIC, NUMERIC),
        (np.uint8([1, 2]), "numeric", NUMERIC),
    ],
)
def test_type(values, said, expected):
    column = one(values, said)
    assert column.type is expected
    assert isinstance(column.type, LabelType)


@pytest.mark.parametrize("dtype", ["i1", "i8", "u1", ">i4"])
def test_integers_need_a_type(dtype):
    values = {"age": np.arange(4).astype(dtype)}
    refused(LabelTypeRequired, "label_type_required", values, None, "'age'", '"age": "categorical"', '"numeric"')


def test_text_cannot_be_numeric():
    refused(LabelTypeMismatch, "label_type_mismatch", {"a": np.array(["x", "1"])}, NUMERIC, "'a'", "text")


@pytest.mark.parametrize("dtype", [complex, object, np.longdouble, "S3", "M8[D]"])
def test_unsupported(dtype):
    values = np.arange(4).astype("i8").astype(dtype)
    refused(UnsupportedType, "unsupported_dtype", {"a": values}, None, "'a'", str(values.dtype))


@pytest.mark.parametrize(
    ("values", "types", "word"),
    [
        ({"": np.ones(3)}, None, "no name"),
        ({"  ": np.ones(3)}, None, "no name"),
        ({"a": np.ones(3)}, {"b": NUMERIC}, "'b'"),
        (np.ones((3, 2)), {"a": NUMERIC}, "'label_0', 'label_1'"),
    ],
)
def test_names(values, types, word):
    refused(LabelNames, "label_names", values, types, word)


def test_long_lists_of_names_are_cut():
    refused(LabelNames, "label_names", np.ones((3, 13)), {"z": NUMERIC}, "'label_9' and 3 more")


@pytest.mark.parametrize(
    ("values", "word"),
    [
        (np.ones((3, 2, 1)), "3 dimensions"),
        (np.float64(1.0), "0 dimensions"),
        (np.ones((3, 0)), "no column"),
        ({}, "no column"),
        ({"a": np.ones((3, 2))}, "(3, 2)"),
        ({"a": np.ones(3), "b": np.ones(4)}, "'a': 3, 'b': 4"),
    ],
)
def test_shapes(values, word):
    refused(WrongShape, "wrong_shape", values, None, word)


@pytest.mark.parametrize("values", [np.array([0.5, 1.5, 2.5]), np.ones((3, 2))])
def test_unnamed_columns_are_numbered(values):
    columns = label_columns(values)
    assert [column.name for column in columns] == [f"label_{i}" for i in range(values.ndim)]
    np.testing.assert_array_equal(np.stack([c.values for c in columns], 1), values.reshape(3, -1))


def test_one_type_for_all_or_by_name():
    values = {"a": np.arange(3), "b": np.arange(3)}
    assert [c.type for c in label_columns(values, NUMERIC)] == [NUMERIC, NUMERIC]
    assert [c.type for c in label_columns(values, {"b": NUMERIC, "a": CATEGORICAL})] == [CATEGORICAL, NUMERIC]


def test_integer_classes_are_sorted_as_numbers():
    targets = encode([one([10, 9, 100, 9, -1], CATEGORICAL)])
    assert targets.names == ("a=-1", "a=9", "a=10", "a=100")
    assert targets.matrix.argmax(axis=1).tolist() == [2, 1, 3, 1, 0]
    assert targets.matrix.sum(axis=1).tolist() == [1] * 5


def test_text_classes_are_sorted_as_text():
    targets = encode([one(["b", "B", "é", "10", "9"])])
    assert targets.names == ("a=10", "a=9", "a=B", "a=b", "a=é")


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ([True, False, True], ["false", "true"]),
        ([2.0, 1.0, 1.0], ["1", "2"]),
        ([2.5, 1.0, 1.0], ["1", "2.5"]),
        (["u", "v", "u"], ["u", "v"]),
    ],
)
def test_class_names_and_counts(values, names):
    column = one(values, CATEGORICAL)
    assert encode([column]).names == tuple(f"a={name}" for name in names)
    counts = class_counts(column)
    assert list(counts) == names
    assert sorted(counts.values()) == [1, 2]
    assert list(counts.values()) == encode([column]).matrix.sum(axis=0).tolist()


def test_columns_keep_their_order():
    columns = label_columns(
        {"z": np.array([0.5, 1.5, 0.0]), "a": np.array(["q", "p", "q"]), "n": np.array([1.0, 2, 3])}
    )
    targets = encode(columns)
    assert targets.names == ("z", "a=p", "a=q", "n")
    assert targets.matrix.tolist() == [[0.5, 0, 1, 1], [1.5, 1, 0, 2], [0, 0, 1, 3]]
    assert targets.matrix.dtype == np.float64


def test_booleans_as_numbers():
    assert encode([one([True, False], NUMERIC)]).matrix.tolist() == [[1.0], [0.0]]


def test_varies():
    assert varies(one([1.0, 1.0, 2.0]))
    assert not varies(one(["a", "a"]))


def test_as_many_targets_as_allowed():
    assert MAX_TARGETS == 1000
    assert len(encode([one(np.arange(1000), CATEGORICAL)]).names) == 1000
    assert len(encode(label_columns(np.ones((3, 1000)))).names) == 1000


@pytest.mark.parametrize(
    "values",
    [{"id": np.arange(1001)}, {"a": np.arange(1001) % 600, "id": np.arange(1001) % 500}],
    ids=["one column", "two columns"],
)
def test_too_many_classes(values):
    refused(TooManyLabelTargets, "too_many_label_targets", values, CATEGORICAL, "'id'", "1000", "coarser")


def test_too_many_numeric_columns():
    refused(TooManyLabelTargets, "too_many_label_targets", np.ones((3, 1001)), None, "1000")


def test_numeric_columns_after_classes_count_too():
    values = {"id": np.arange(1000), "age": np.arange(1000)}
    types = {"id": CATEGORICAL, "age": NUMERIC}
    refused(TooManyLabelTargets, "too_many_label_targets", values, types, "1000")


def test_targets_of_one_name_are_refused():
    values = {"a": np.array(["b", "c", "b"]), "a=b": np.ones(3)}
    refused(LabelNames, "label_names", values, None, "'a=b'", "Rename")


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb"])
def test_text_that_cannot_be_written_is_refused(text):
    with pytest.raises(UnsupportedType, match="not valid Unicode"):
        label_columns({"kind": np.array(["a", text] * 10)})


def test_code_points_beyond_the_last_are_refused():
    values = np.array(["a", "b"] * 10)
    values.view(np.uint32)[3] = 0x110000
    with pytest.raises(UnsupportedType, match="not valid Unicode"):
        label_columns({"kind": values})


def test_types_may_be_said_in_plain_text_and_must_be_known():
    assert label_columns({"a": np.arange(3)}, "numeric")[0].type is LabelType.NUMERIC
    with pytest.raises(LabelTypeMismatch, match="cannot be numeric"):
        label_columns({"a": np.array(["x", "y"])}, "numeric")
    with pytest.raises(LabelTypeMismatch, match="'ordinal'"):
        label_columns({"a": np.arange(3)}, {"a": "ordinal"})


def test_targets_are_counted_and_named_before_anything_is_estimated():
    with pytest.raises(TooManyLabelTargets, match="1001 label targets"):
        label_columns({f"c{place}": np.zeros(3) for place in range(1001)})
    with pytest.raises(LabelNames, match="a=true"):
        label_columns({"a=true": np.arange(4.0), "a": np.array([True, False, True, True])})


def test_a_table_of_endless_columns_is_refused_before_it_is_taken_apart():
    with pytest.raises(TooManyLabelTargets, match="4000000 columns"):
        label_columns(np.empty((0, 4_000_000)))


def test_names_that_would_fill_the_report_are_refused():
    with pytest.raises(LabelNames, match="name of 302 characters"):
        label_columns({"a": np.array(["x" * 300, "y"])})


HOLES = np.array([True, False, False, True, False])  # where a value is missing


def one_masked(values, said=None):
    (column,) = label_columns({"a": values}, said)
    return column


@pytest.mark.parametrize(
    ("values", "said", "expected"),
    [
        (np.where(HOLES, "", np.array(["b", "a", "b", "a", "c"])), None, CATEGORICAL),
        (np.where(HOLES, "", np.array(list("babac"))).astype(np.dtypes.StringDType()), None, CATEGORICAL),
        (np.where(HOLES, np.nan, np.arange(5.0)), None, NUMERIC),
        (np.where(HOLES, np.nan, np.arange(5.0)), CATEGORICAL, CATEGORICAL),
        (np.ma.MaskedArray(np.arange(5), mask=HOLES), NUMERIC, NUMERIC),
        (np.ma.MaskedArray(np.arange(5), mask=HOLES), CATEGORICAL, CATEGORICAL),
        (np.ma.MaskedArray([True, True, False, False, True], mask=HOLES), None, CATEGORICAL),
        (np.ma.MaskedArray(np.arange(5.0), mask=HOLES), None, NUMERIC),
    ],
)
def test_missing_values_are_not_present(values, said, expected):
    column = one_masked(values, said)
    assert column.type is expected
    assert column.present.tolist() == (~HOLES).tolist()
    assert not isinstance(column.values, np.ma.MaskedArray)


def test_integers_with_missing_values_still_need_a_type():
    values = {"a": np.ma.MaskedArray(np.arange(5), mask=HOLES)}
    refused(LabelTypeRequired, "label_type_required", values, None, "'a'")


@pytest.mark.parametrize(
    "values", [np.arange(3.0), np.array(["a", "b", "c"]), np.ma.MaskedArray(np.arange(3.0), mask=False)]
)
def test_complete_columns_say_nothing_of_presence(values):
    assert one_masked(values).present is None


def test_an_unnamed_table_keeps_its_mask():
    table = np.ma.MaskedArray(np.arange(10).reshape(5, 2), mask=np.column_stack([HOLES, ~HOLES]))
    first, second = label_columns(table, NUMERIC)
    assert first.present.tolist() == (~HOLES).tolist()
    assert second.present.tolist() == HOLES.tolist()


def test_what_is_missing_is_no_class():
    column = one_masked(np.ma.MaskedArray([9, 1, 2, 9, 1], mask=HOLES), CATEGORICAL)
    assert class_counts(column) == {"1": 2, "2": 1}
    assert target_names([column]) == ("a=1", "a=2")


def test_only_present_values_vary():
    assert not varies(one_masked(np.ma.MaskedArray([9.0, 1, 1, 9, 1], mask=HOLES)))
    assert varies(one_masked(np.ma.MaskedArray([9.0, 1, 1, 9, 2], mask=HOLES)))
    assert not varies(one_masked(np.full(5, np.nan)))


@pytest.mark.parametrize("said", list(LabelType))
def test_a_column_is_encoded_for_the_rows_that_have_it(said):
    values = np.array([7, 3, 5, 7, 3])
    targets = encode_column(one_masked(np.ma.MaskedArray(values, mask=HOLES), said))
    alone = encode(label_columns({"a": values[~HOLES]}, said))
    assert targets.positions.tolist() == [1, 2, 4]
    assert targets.names == alone.names
    np.testing.assert_array_equal(targets.matrix, alone.matrix, strict=True)


def test_a_complete_column_is_encoded_for_every_row():
    column = one_masked(np.array(["q", "p", "q"]))
    targets = encode_column(column)
    assert targets.positions.tolist() == [0, 1, 2]
    np.testing.assert_array_equal(targets.matrix, encode([column]).matrix, strict=True)


def test_a_row_has_a_label_when_any_column_has_one():
    columns = label_columns({"a": np.where(HOLES, np.nan, 1.0), "b": np.array([np.nan, np.nan, 1, 1, np.nan])})
    assert has_label(columns).tolist() == [False, True, True, True, True]
    assert has_label(label_columns({"a": np.ones(5)})).all()


def test_together_columns_have_gaps_where_a_row_lacks_them():
    columns = label_columns(
        {
            "a": np.ma.MaskedArray([9, 1, 2, 9, 1], mask=HOLES),
            "b": np.array([0.5, np.nan, 1.5, 2.5, 3.5]),
            "c": np.array(["q", "p", "q", "p", "p"]),
        },
        {"a": CATEGORICAL},
    )
    targets = encode(columns)
    assert targets.names == ("a=1", "a=2", "b", "c=p", "c=q")
    gap = np.nan
    expected = [[gap, gap, 0.5, 0, 1], [1, 0, gap, 1, 0], [0, 1, 1.5, 0, 1], [gap, gap, 2.5, 1, 0], [1, 0, 3.5, 1, 0]]
    np.testing.assert_array_equal(targets.matrix, np.array(expected), strict=True)


def test_columns_of_some_rows():
    columns = label_columns({"a": np.where(HOLES, np.nan, np.arange(5.0)), "b": np.array(list("vwxyz"))})
    chosen = np.array([True, True, False, False, True])
    a, b = in_rows(columns, chosen)
    assert a.present.tolist() == [False, True, True]
    assert a.values[1:].tolist() == [1.0, 4.0]
    assert (b.values.tolist(), b.present) == (["v", "w", "z"], None)
    assert in_rows(columns, ~HOLES)[0].present is None
