import tracemalloc

import numpy as np
import pytest

from service.analyses.errors import InvalidTable, LabelsTooLarge, MissingLabelValue
from service.storage.tables import read_labels, read_rows


def written(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "table.csv"
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["1", "-2", "+3"], "i"),
        (["1", "2.5", "3"], "f"),
        (["1e3", ".5", "nan"], "f"),
        (["true", "False", "TRUE"], "b"),
        (["a", "1", "2"], "T"),
        (["1", "2", "true"], "T"),
        (["123456789012345678", "-123456789012345678", "2"], "i"),
        (["0x10", "1", "2"], "T"),
        (["007", "7", "12"], "T"),
        (["NA", "north", "south"], "T"),
    ],
)
def test_a_column_has_the_type_of_its_values(tmp_path, values, kind):
    columns = read_labels(written(tmp_path, "name\n" + "\n".join(values) + "\n"))
    assert columns["name"].dtype.kind == kind
    assert len(columns["name"]) == 3


def test_columns_keep_names_order_quotes_and_unicode(tmp_path):
    columns = read_labels(written(tmp_path, '\ufeffa, b\r\n1,"x, ""y"""\r\n2,\u00fc\r\n'))
    assert list(columns) == ["a", "b"]
    np.testing.assert_array_equal(columns["a"], [1, 2])
    np.testing.assert_array_equal(columns["b"], ['x, "y"', "\u00fc"])


def test_a_missing_value_is_named(tmp_path):
    with pytest.raises(MissingLabelValue, match="'b' has no value for label 1"):
        read_labels(written(tmp_path, "a,b\n1,x\n2, \n"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("a,a\n1,2\n", "more than one column named 'a'"),
        ("a,b\n1,2\n3\n", r"label 1 .* 1 fields"),
        ('a\n"1\n', "quote is not closed"),
        ("a\n" + "x" * 1001 + "\n", "1000 characters"),
        (",".join(f"c{i}" for i in range(1001)) + "\n", "1001 columns"),
        ("a,b\n", "no labels"),
        ("digit;x\n1;2\n", "Separate columns by commas"),
        ("digit\tx\n1\t2\n", "Separate columns by commas"),
        ("a\n1\n1234567890123456789\n", "more than 18 digits"),
    ],
)
def test_unreadable_tables_are_refused(tmp_path, text, message):
    with pytest.raises(InvalidTable, match=message) as caught:
        read_labels(written(tmp_path, text))
    assert caught.value.part == "labels"


def test_other_encodings_are_refused(tmp_path):
    with pytest.raises(InvalidTable, match="UTF-8"):
        read_labels(written(tmp_path, "a\n\u00fc\n", "latin-1"))


@pytest.mark.parametrize("text", ["3\n1\n2\n", "row\n3\n1\n2\n", '"row"\r\n3\r\n1\r\n2\r\n\r\n'])
def test_rows_may_have_a_header(tmp_path, text):
    np.testing.assert_array_equal(read_rows(written(tmp_path, text)), [3, 1, 2])


@pytest.mark.parametrize(
    ("text", "message"), [("1\n2.0\n", "'2.0' at place 1"), ("1,2\n", "more than one column"), ("1\nx\n", "'x'")]
)
def test_rows_that_are_no_row_numbers_are_refused(tmp_path, text, message):
    with pytest.raises(InvalidTable, match=message):
        read_rows(written(tmp_path, text))


@pytest.mark.parametrize("mark", ["NA", "null", "-", "?"])
def test_a_mark_of_absence_among_numbers_is_a_missing_value(tmp_path, mark):
    with pytest.raises(MissingLabelValue, match=r"'a' is numeric but has .* for label 1"):
        read_labels(written(tmp_path, f"a\n1.5\n{mark}\n2\n"))


def test_one_long_text_does_not_cost_its_length_in_every_row(tmp_path):
    path = written(tmp_path, "a\n" + "x" * 1000 + "\n" + "a\n" * 20_000)
    tracemalloc.start()
    columns = read_labels(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(columns["a"]) == 20_001
    assert peak < 10_000_000


def test_tables_of_too_many_values_are_refused_while_they_are_read(tmp_path):
    path = written(tmp_path, "a,b\n" + "1,2\n" * 1_000_001)
    with pytest.raises(LabelsTooLarge, match="2000000 values"):
        read_labels(path)


def test_row_numbers_beyond_64_bits_are_refused(tmp_path):
    with pytest.raises(InvalidTable, match="at place 1"):
        read_rows(written(tmp_path, "1\n99999999999999999999\n"))


def test_one_endless_line_is_refused_before_it_is_split(tmp_path):
    path = written(tmp_path, "ab," * 3_000_000)
    tracemalloc.start()
    with pytest.raises(InvalidTable, match="a line of more than"):
        read_labels(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20_000_000


def test_a_mark_of_absence_among_booleans_is_a_missing_value(tmp_path):
    with pytest.raises(MissingLabelValue, match="true or false but has 'NA'"):
        read_labels(written(tmp_path, "a\ntrue\nNA\nfalse\n"))


def test_other_scripts_digits_are_text(tmp_path):
    assert read_labels(written(tmp_path, "a\n1\n\u0662\n"))["a"].dtype.kind == "T"
