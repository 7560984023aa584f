import tracemalloc

import numpy as np
import pytest

from service.analyses.errors import InvalidTable, LabelsTooLarge
from service.estimation.roles import COVARIATES, LABELS
from service.storage.tables import read_columns, read_groups, read_rows, read_table


def read_labels(path):
    return read_columns(path, LABELS)


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


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("", "csv_empty", "empty"),
        ("a,a\n1,2\n", "csv_repeated_column", "more than one column named 'a'"),
        ("a,b\n1,2\n3\n", "csv_ragged", r"label 1 .* 1 fields"),
        ('a\n"1\n', "csv_quote", "quote is not closed"),
        ('a\n"1"2\n', "csv_quote", "quote is not closed, or something follows it"),
        ("a\n" + "x" * 1001 + "\n", "csv_field_too_long", "1000 characters"),
        (",".join(f"c{i}" for i in range(1001)) + "\n", "csv_too_many_columns", "1001 columns"),
        ("c," * 1_000_000 + "\n1\n", "csv_too_many_columns", "more than 1000 columns"),
        ("x" * 2_000_000, "csv_line_too_long", "a line of more than 1003000 characters"),
        ("a,b\n", "csv_empty", "no labels"),
        ("digit;x\n1;2\n", "csv_separator", "Separate columns by commas"),
        ("digit\tx\n1\t2\n", "csv_separator", "Separate columns by commas"),
        ("a\n1\n9223372036854775808\n", "csv_number", "more than 64 bits"),
        ("a\x00b\n1\n", "csv_control_characters", r"control character '\\x00'"),
        ("a\n\x1b[2Jred\n", "csv_control_characters", r"control character '\\x1b'"),
        ("a\n\tb\x07\n", "csv_control_characters", r"control character '\\x07'"),
    ],
)
def test_unreadable_tables_are_refused_each_with_its_own_code(tmp_path, text, code, message):
    with pytest.raises(InvalidTable, match=message) as caught:
        read_labels(written(tmp_path, text))
    assert (caught.value.part, caught.value.code) == ("labels", code)


def test_formulas_paths_and_markup_are_text_like_any_other(tmp_path):
    values = ["=cmd|' /C calc'!A0", "../../etc/passwd", "<script>alert(1)</script>", "@SUM(1)"]
    columns = read_labels(written(tmp_path, "=1+1\n" + "".join(f"{value}\n" for value in values)))
    assert list(columns) == ["=1+1"]
    assert columns["=1+1"].tolist() == values


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


def test_other_scripts_digits_are_text(tmp_path):
    assert read_labels(written(tmp_path, "a\n1\n\u0662\n"))["a"].dtype.kind == "T"


def shown(column):
    """A column's values, None where one is missing: masked, NaN, or empty text."""
    values = column.tolist()
    return [None if value is None or value == "" or value != value else value for value in values]


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        (["1", "", "3"], "i", [1, None, 3]),
        (["1", "NA", "nan", "-3"], "i", [1, None, None, -3]),
        (["1.5", "", "2"], "f", [1.5, None, 2.0]),
        (["1.5", "n/a", "NULL", "-nan"], "f", [1.5, None, None, None]),
        (["true", "?", "", "False"], "b", [True, None, None, False]),
        (["a", "", "NA"], "T", ["a", None, "NA"]),
        (["a", " ", "1"], "T", ["a", None, "1"]),
        (["007", "NA", ""], "T", ["007", "NA", None]),
        (["", "", ""], "f", [None, None, None]),
        (["NA", "", "NA"], "T", ["NA", None, "NA"]),
        (["1", "inf", ""], "f", [1.0, np.inf, None]),
    ],
)
def test_what_is_missing_says_nothing_of_a_columns_type(tmp_path, values, kind, expected):
    columns = read_labels(written(tmp_path, "a,b\n" + "".join(f"{value},0\n" for value in values)))
    assert columns["a"].dtype.kind == kind
    assert shown(columns["a"]) == expected
    assert not isinstance(columns["b"], np.ma.MaskedArray)


def test_in_a_table_of_one_column_an_empty_line_is_a_missing_value(tmp_path):
    text = '\na\n1\n\n3\n""\n4\n\n\n'
    assert shown(read_labels(written(tmp_path, text))["a"]) == [1, None, 3, None, 4]


def test_empty_lines_of_a_wider_table_say_nothing(tmp_path):
    assert shown(read_labels(written(tmp_path, "a,b\n1,2\n\n3,4\n"))["a"]) == [1, 3]


def test_doubled_line_ends_are_one(tmp_path):
    assert shown(read_labels(written(tmp_path, "a\r\r\n1\r\r\n\r\r\n2\r\r\n"))["a"]) == [1, None, 2]


def test_endless_empty_lines_are_refused_while_they_are_read(tmp_path):
    with pytest.raises(LabelsTooLarge, match="2000000 values"):
        read_labels(written(tmp_path, "a\n1" + "\n" * 2_000_001 + "2\n"))


@pytest.mark.parametrize(
    ("values", "kind"),
    [(["7", "7", "12"], "i"), (["s1", "s2", "7"], "T"), (["007", "7", "12"], "T"), (["1.5", "2", "3"], "f")],
)
def test_group_ids_are_typed_like_any_column(tmp_path, values, kind):
    groups = read_groups(written(tmp_path, "subject\n" + "\n".join(values) + "\n"))
    assert (groups.dtype.kind, groups.shape) == (kind, (3,))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "groups is empty"),
        ("subject\n", "no group ids"),
        ("a,b\n1,2\n", "groups has 2 columns"),
        ("a;b\n1;2\n", "Separate columns by commas"),
        ("a\n1,2\n", "group id 0 .* 2 fields"),
    ],
)
def test_unreadable_groups_are_refused(tmp_path, text, message):
    with pytest.raises(InvalidTable, match=message) as caught:
        read_groups(written(tmp_path, text))
    assert caught.value.part == "groups"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (",".join(f"c{place}" for place in range(201)) + "\n", "covariates has 201 columns. Send at most 200"),
        ("a,b\n1,2\n3\n", "covariates has 2 columns and pair 1"),
        ("a\n-12345678901234567890\n", "'a' of covariates .* more than 64 bits"),
    ],
)
def test_unreadable_covariates_are_refused(tmp_path, text, message):
    with pytest.raises(InvalidTable, match=message) as caught:
        read_columns(written(tmp_path, text), COVARIATES)
    assert caught.value.part == "covariates"


def test_whole_numbers_may_have_all_of_64_bits(path_of):
    path = path_of("g\n9223372036854775807\n-9223372036854775808\n")
    assert read_groups(path).tolist() == [2**63 - 1, -(2**63)]


def test_dotless_letters_make_no_numbers(path_of):
    assert read_table(path_of("a\n1\n\u0131nf\n"), "labels", "label", 1)["a"].tolist() == ["1", "\u0131nf"]


@pytest.mark.parametrize(
    "ids", [["12e1", "120"], ["NA", "x"], ["1234567890123456789", "12345678901234567891"], ["01", "1"]]
)
def test_ids_are_text_whatever_they_look_like(path_of, ids):
    text = "id,a\n" + "".join(f" {an_id},1\n" for an_id in ids)
    assert read_table(path_of(text), "labels", "label", 2, "id")["id"].tolist() == ids
    typed = "#phasegate-types:integer,integer\nid,a\n7,1\n8,2\n"
    assert read_table(path_of(typed), "labels", "label", 2, "id")["id"].tolist() == ["7", "8"]


@pytest.fixture
def path_of(tmp_path):
    def write(text):
        (tmp_path / "table.csv").write_text(text, encoding="utf-8")
        return tmp_path / "table.csv"

    return write
