import pytest

from service.analyses import pages
from service.analyses.errors import InvalidCursor
from service.analyses.identity import Kind
from service.analyses.pages import page_of

IDS = [f"ds-{number:032x}" for number in range(50, 0, -1)]


def ids_before(cursor, at_most):
    return [name for name in IDS if cursor is None or name < cursor][:at_most]


def listed(wanted, limit: int) -> tuple[list[str], int]:
    """All items of all pages, and how many pages that took."""
    found: list[str] = []
    cursor, count = None, 0
    while True:
        page = page_of(
            ids_before, lambda ids: [name if wanted(name) else None for name in ids], Kind.DATASET, cursor, limit
        )
        assert len(page.items) <= limit
        found += page.items
        count += 1
        if page.next_cursor is None:
            return found, count
        cursor = page.next_cursor


@pytest.mark.parametrize("limit", [1, 7, 25, 49, 50, 51, 200])
def test_pages_hold_everything_once_newest_first(limit):
    found, count = listed(lambda name: True, limit)
    assert found == IDS
    assert count == -(-50 // limit)


@pytest.mark.parametrize("limit", [1, 3, 10])
def test_a_filter_leaves_nothing_out(limit):
    odd = {name for name in IDS if int(name[3:], 16) % 2}
    assert listed(odd.__contains__, limit)[0] == [name for name in IDS if name in odd]


def test_a_page_looks_at_a_bounded_number_of_records(monkeypatch):
    monkeypatch.setattr(pages, "MOST_LOOKED_AT", 20)
    looked_at: list[str] = []

    def look(ids):
        looked_at.extend(ids)
        return [None] * len(ids)

    page = page_of(ids_before, look, Kind.DATASET, None, 5)
    assert (page.items, page.next_cursor) == ((), IDS[19])
    assert looked_at == IDS[:20]
    assert listed(lambda name: name == IDS[-1], 5)[0] == [IDS[-1]]


@pytest.mark.parametrize("cursor", ["", "an-" + "0" * 32, "../x", IDS[0] + "\n"])
def test_what_is_no_id_of_the_kind_is_no_cursor(cursor):
    with pytest.raises(InvalidCursor):
        page_of(ids_before, list, Kind.DATASET, cursor, 5)
