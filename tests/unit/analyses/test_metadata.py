import pytest

from service.analyses.errors import InvalidMetadata
from service.analyses.metadata import check_metadata
from service.schemas.uploads import read_metadata


def test_sixteen_short_strings_are_taken():
    metadata = {f"team.{number}_a-b": "värde " * 80 for number in range(16)}
    check_metadata(metadata)
    assert read_metadata('{"team": "vision"}') == {"team": "vision"}
    assert read_metadata(None) == {}


@pytest.mark.parametrize(
    "metadata",
    [
        {f"k{number}": "v" for number in range(17)},
        {"": "v"},
        {"k" * 65: "v"},
        {"a b": "v"},
        {"k\n": "v"},
        {"k": "v" * 513},
        {"k": "two\nlines"},
        {"k": "\x1b[31m"},
        {"k": "\ud800"},
    ],
)
def test_others_are_refused(metadata):
    with pytest.raises(InvalidMetadata):
        check_metadata(metadata)


@pytest.mark.parametrize("text", ["[]", '{"a": 1}', "{", '{"a": null}', '"' + "a" * 70_000 + '"'])
def test_text_that_is_no_such_object_is_refused(text):
    with pytest.raises(Exception, match="metadata"):
        read_metadata(text)
