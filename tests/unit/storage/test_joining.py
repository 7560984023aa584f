"""Rows with the same ids, found on two sides."""

import numpy as np
import pytest

from service.analyses.dataset import StoredFile
from service.analyses.format_errors import RepeatedIds, TooCostlyToRead, TooManyIds
from service.storage.disk_receiving import Place
from service.storage.formats import children, writing
from service.storage.joined_files import join_files
from service.storage.joining import match
from service.storage.row_joins import join_rows

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


def files_with_ids(folder, x_ids, y_ids):
    """Places and records of x and y, of one column each, and of the ids of their rows."""
    arrays = {"x": np.zeros((len(x_ids), 1)), "y": np.zeros((len(y_ids), 1)), "x_ids": x_ids, "y_ids": y_ids}
    for part, array in arrays.items():
        np.save(folder / f"{part}.npy", array)
    paths = {part: folder / f"{part}.npy" for part in arrays}
    return paths, {part: StoredFile(path.name, path.stat().st_size, "") for part, path in paths.items()}


def test_ids_that_memory_does_not_hold_end_the_child_that_joins_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(children, "MEMORY_BYTES", 4 * 1024**2)
    paths, files = files_with_ids(tmp_path, np.arange(400_000), np.arange(400_000)[::-1])
    with pytest.raises(TooCostlyToRead, match="Matching the ids of x and y takes more memory or time"):
        join_files(Place(tmp_path, "", "id"), paths, files)


def test_ids_are_counted_at_the_length_of_the_longest_of_both_sides(tmp_path):
    long = np.array([b"l" * 200, *(b"%d" % place for place in range(99_999))])
    paths, files = files_with_ids(tmp_path, np.array([b"%d" % place for place in range(700_000)]), long)
    with pytest.raises(TooManyIds, match="x has 700000 ids or more of up to 200 bytes"):
        join_rows(Place(tmp_path, "", "id"), paths, files)


def test_more_ids_than_are_joined_are_refused_as_they_are_read(monkeypatch):
    monkeypatch.setattr(writing, "MAX_IDS", 5)
    ids = writing.Ids("x", "id")
    ids.add(["a", "b", "c"])
    with pytest.raises(TooManyIds, match="x has 6 ids"):
        ids.add(["d", "e", "f"])
    monkeypatch.setattr(writing, "MAX_IDS_BYTES", 500)
    ids = writing.Ids("x", "id")
    ids.add(["a", "b"])
    with pytest.raises(TooManyIds, match="3 ids or more of up to 190 bytes"):
        ids.add(["c" * 190])
