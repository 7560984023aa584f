"""What can be wrong with an uploaded file: every kind of fault has its own class and stable code.

UploadError
+-- InvalidArrayFile        invalid_npy
|   +-- PickledArray        npy_pickled
|   +-- UnknownArrayVersion npy_version
|   +-- HeaderBeyondFile    npy_header_beyond_file
|   +-- HeaderTooLong       npy_header_too_long
|   +-- UnreadableHeader    npy_header_unreadable
|   +-- ArrayOfRecords      npy_records
|   +-- TooManyDimensions   npy_too_many_dimensions
|   +-- ScalarArray         npy_scalar
|   +-- EmptyArray          npy_empty
|   +-- ImpossibleArray     npy_impossible_size
|   +-- TruncatedArray      npy_truncated
|   +-- TrailingBytes       npy_trailing_bytes
+-- InvalidTable            invalid_csv
    +-- TableEncoding       csv_encoding
    +-- ControlCharacters   csv_control_characters
    +-- EmptyTable          csv_empty
    +-- TooManyColumns      csv_too_many_columns
    +-- LineTooLong         csv_line_too_long
    +-- FieldTooLong        csv_field_too_long
    +-- UnclosedQuote       csv_quote
    +-- WrongSeparator      csv_separator
    +-- RepeatedColumn      csv_repeated_column
    +-- RaggedTable         csv_ragged
    +-- UnreadableNumber    csv_number
    +-- NoHeader            csv_no_header
    +-- UnnamedColumn       csv_unnamed_column
"""

from __future__ import annotations

from service.analyses.errors import InvalidArrayFile, InvalidTable


class PickledArray(InvalidArrayFile):
    """The file holds Python objects, which are never loaded."""

    code = "npy_pickled"


class UnknownArrayVersion(InvalidArrayFile):
    """The file is a .npy file of a version that is not read."""

    code = "npy_version"


class HeaderBeyondFile(InvalidArrayFile):
    """The header of the .npy file ends beyond the file."""

    code = "npy_header_beyond_file"


class HeaderTooLong(InvalidArrayFile):
    """The header of the .npy file is longer than that of any plain array."""

    code = "npy_header_too_long"


class UnreadableHeader(InvalidArrayFile):
    """The header of the .npy file cannot be read."""

    code = "npy_header_unreadable"


class ArrayOfRecords(InvalidArrayFile):
    """The array holds records instead of numbers."""

    code = "npy_records"


class TooManyDimensions(InvalidArrayFile):
    """The array has more than two dimensions."""

    code = "npy_too_many_dimensions"


class ScalarArray(InvalidArrayFile):
    """The array is a single value without dimensions."""

    code = "npy_scalar"


class EmptyArray(InvalidArrayFile):
    """The array holds no values."""

    code = "npy_empty"


class ImpossibleArray(InvalidArrayFile):
    """The array announces a size that no file has."""

    code = "npy_impossible_size"


class TruncatedArray(InvalidArrayFile):
    """The file has less data than its header announces."""

    code = "npy_truncated"


class TrailingBytes(InvalidArrayFile):
    """The file has more data than its header announces."""

    code = "npy_trailing_bytes"


class TableEncoding(InvalidTable):
    """The table is not UTF-8 text."""

    code = "csv_encoding"


class ControlCharacters(InvalidTable):
    """The table holds control characters."""

    code = "csv_control_characters"


class EmptyTable(InvalidTable):
    """The table holds no values."""

    code = "csv_empty"


class TooManyColumns(InvalidTable):
    """The table has more columns than the service accepts."""

    code = "csv_too_many_columns"


class LineTooLong(InvalidTable):
    """A line of the table is longer than the service accepts."""

    code = "csv_line_too_long"


class FieldTooLong(InvalidTable):
    """A field of the table is longer than the service accepts."""

    code = "csv_field_too_long"


class UnclosedQuote(InvalidTable):
    """A quote in the table is not closed, or does not end its field."""

    code = "csv_quote"


class WrongSeparator(InvalidTable):
    """The columns of the table are not separated by commas."""

    code = "csv_separator"


class RepeatedColumn(InvalidTable):
    """Two columns of the table have the same name."""

    code = "csv_repeated_column"


class RaggedTable(InvalidTable):
    """The lines of the table do not all have the same number of fields."""

    code = "csv_ragged"


class UnreadableNumber(InvalidTable):
    """A number in the table is not one that can be taken."""

    code = "csv_number"


class NoHeader(InvalidTable):
    """The table has no line that names its columns."""

    code = "csv_no_header"


class UnnamedColumn(InvalidTable):
    """A column of the table has no name."""

    code = "csv_unnamed_column"
