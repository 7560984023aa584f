"""What can be wrong with the format of an uploaded file, and with the ids by which rows are joined.

UploadError
+-- InvalidArrayFile
|   +-- UnknownFormat       unknown_format
|   |   +-- FormatMismatch  format_mismatch
|   |   +-- FormatNotRead   format_not_read
|   |   +-- TorchFile       torch_file
|   +-- InvalidArchive      invalid_npz
|   +-- InvalidSafetensors  invalid_safetensors
|   +-- InvalidParquet      invalid_parquet
|   +-- InvalidArrow        invalid_arrow
|   +-- WhichArray          which_array
|   +-- UnsupportedColumns  unsupported_columns
|   +-- UnequalLists        unequal_lists
|   +-- InexactIntegers     inexact_integers
|   +-- TooCostlyToRead     too_costly_to_read
|   +-- DamagedFile         damaged_file
+-- ExpandsTooFar           expands_too_far
+-- InvalidIds              invalid_ids
    +-- NoSuchIdColumn      no_such_id_column
    +-- RepeatedIds         repeated_ids
    +-- IdsDoNotMatch       ids_do_not_match
    +-- IdsWithRows         ids_with_rows
    +-- IdsLacking          ids_lacking
    +-- IdsNeedBoth         ids_need_both
    +-- RowsAfterJoin       rows_after_join
    +-- TooManyIds          too_many_ids
"""

from __future__ import annotations

from service.analyses.errors import InvalidArrayFile, UploadError


class UnknownFormat(InvalidArrayFile):
    """The file is of no format that is known."""

    code = "unknown_format"


class FormatMismatch(UnknownFormat):
    """The file is of another format than its content type says."""

    code = "format_mismatch"


class FormatNotRead(UnknownFormat):
    """The file is of a format that is never read."""

    code = "format_not_read"


class TorchFile(UnknownFormat):
    """The file was saved by PyTorch, as a pickle, which is never loaded."""

    code = "torch_file"


class InvalidArchive(InvalidArrayFile):
    """The file is not a readable .npz archive."""

    code = "invalid_npz"


class InvalidSafetensors(InvalidArrayFile):
    """The file is not a readable safetensors file."""

    code = "invalid_safetensors"


class InvalidParquet(InvalidArrayFile):
    """The file is not a readable Parquet file."""

    code = "invalid_parquet"


class InvalidArrow(InvalidArrayFile):
    """The file is not a readable Arrow file."""

    code = "invalid_arrow"


class WhichArray(InvalidArrayFile):
    """The file does not say which of its arrays is meant."""

    code = "which_array"


class UnsupportedColumns(InvalidArrayFile):
    """Columns of the file are of types that are not taken."""

    code = "unsupported_columns"


class UnequalLists(InvalidArrayFile):
    """The lists in a column are not equally long."""

    code = "unequal_lists"


class InexactIntegers(InvalidArrayFile):
    """Whole numbers in the file are too large to be held exactly as real numbers."""

    code = "inexact_integers"


class TooCostlyToRead(InvalidArrayFile):
    """Reading the file takes more memory or time than the service gives."""

    code = "too_costly_to_read"


class DamagedFile(InvalidArrayFile):
    """What reads the file broke off: it is damaged, or needs too much memory."""

    code = "damaged_file"


class ExpandsTooFar(UploadError):
    """The file holds more data than the service accepts, once it is unpacked."""

    code = "expands_too_far"


class InvalidIds(UploadError):
    """The ids of the rows cannot be taken."""

    code = "invalid_ids"


class NoSuchIdColumn(InvalidIds):
    """Nothing that was sent has the id column that was named."""

    code = "no_such_id_column"


class RepeatedIds(InvalidIds):
    """An id stands for more than one row."""

    code = "repeated_ids"


class IdsDoNotMatch(InvalidIds):
    """Too few rows of x and y have the same ids."""

    code = "ids_do_not_match"


class IdsWithRows(InvalidIds):
    """Labels came with ids and with rows, which may contradict each other."""

    code = "ids_with_rows"


class IdsLacking(InvalidIds):
    """Rows of the dataset are not among the ids of another part."""

    code = "ids_lacking"


class IdsNeedBoth(InvalidIds):
    """A part has ids of rows, and x and y were not joined on theirs."""

    code = "ids_need_both"


class RowsAfterJoin(InvalidIds):
    """Rows say places, and the join has left out rows, which has moved others."""

    code = "rows_after_join"


class TooManyIds(InvalidIds):
    """The rows have more ids than the service joins."""

    code = "too_many_ids"
