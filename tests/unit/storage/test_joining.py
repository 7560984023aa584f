"""Rows with the same ids, found on two sides."""

import numpy as np
import pytest

from service.analyses.format_errors import RepeatedIds
from service.storage.joining import match

RNG = np.random.default_rng(5)


def text(values) -> np.ndarray:
    return np.array([str(value).encode() for value in values], dtype=np.bytes_)


@pytest.mark.parametrize("kinds", [(np.array, np.array), (text, text), (np.array, text), (text, np.array)])
def test_matches_are_those_of_a_dictionary(kinds):
    first, second = RNG.permutation(500)[:300], RNG.permutation(400)[:200]
    found = match(kinds[0](first), kinds[1](second), ("x", "y"))
    places = {value: place for place, value in enumerate(second.tolist())}
    expected = [(place, places[value]) for place, value in enumerate(first.tolist()) if value in places]
    assert list(zip(found.first.tolist(), found.second.tolist(), strict=True)) == expected
    assert [value for value in first.tolist() if value not in places] == first[found.only_first].tolist()
    assert [value for value in second.tolist() if value not in set(first.tolist())] == (
        second[found.only_second].tolist()
    )


def test_ids_of_nothing_in_common_have_no_matches():
    found = match(text(["a", "bb"]), text(["b", "ccc", "aa"]), ("x", "y"))
    assert (len(found.first), found.only_first.tolist(), found.only_second.tolist()) == (0, [0, 1], [0, 1, 2])


def test_codes_with_leading_zeros_are_no_numbers():
    found = match(text(["007", "7"]), np.array([7, 70]), ("x", "y"))
    assert (found.first.tolist(), found.second.tolist()) == ([1], [0])


@pytest.mark.parametrize(("first", "second", "part"), [([1, 2, 2, 3, 1], [1], "x"), ([1], [4, 4], "y")])
def test_ids_that_stand_for_several_rows_are_refused(first, second, part):
    with pytest.raises(RepeatedIds) as caught:
        match(np.array(first), np.array(second), ("x", "y"))
    assert caught.value.part == part
    if part == "x":
        assert "x has 2 ids that stand for more than one of its 5 rows: '1', '2'" in caught.value.message
