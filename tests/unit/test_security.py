"""SECURITY.md: every promise names what shows it, and that is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "SECURITY.md").read_text(encoding="utf-8")


def named_tests() -> list[tuple[str, str]]:
    """Files and tests, "" for all of a file; a test that stands alone is of the file named before it."""
    found, file = [], ""
    for named in re.finditer(r"`(?P<file>tests/[\w/]+\.py)?(?:::)?(?P<test>test_\w+)?`", PAGE):
        file = named["file"] or file
        found.append((file, named["test"] or ""))
    return found


@pytest.mark.parametrize(("file", "test"), named_tests())
def test_what_shows_a_promise_is_there(file, test):
    assert (ROOT / file).is_file()
    assert re.search(rf"^def {test}", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE)


def test_every_promise_names_what_shows_it():
    rows = PAGE.partition("| promise | shown by |\n|---|---|\n")[2].partition("\n\n")[0].splitlines()
    assert len(rows) > 15
    assert [row for row in rows if "`tests/" not in row.split("|")[2]] == []
