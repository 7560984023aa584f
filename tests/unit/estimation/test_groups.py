import numpy as np
import pytest

from service.estimation.errors import (
    GroupCountMismatch,
    MissingGroupId,
    TooFewGroups,
    UnsupportedType,
    WrongShape,
)
from service.estimation.groups import MIN_GROUPS, check_groups

IDS = np.arange(40) % 13
TEXT = np.array([f"site {place}" for place in IDS])
ALL = np.arange(40)


def refused(error, code, groups, *words, rows=ALL):
    with pytest.raises(error) as caught:
        check_groups(groups, 40, rows)
    assert type(caught.value) is error
    assert (caught.value.code, caught.value.part) == (code, "groups")
    for word in words:
        assert word in caught.value.message
    assert caught.value.message.endswith(".")


@pytest.mark.parametrize(
    "groups",
    [IDS, IDS.astype("u1"), IDS.astype(">i2"), IDS - 6, TEXT, TEXT.astype(np.dtypes.StringDType())],
    ids=["int", "uint8", "big-endian", "negative", "text", "text of variable width"],
)
def test_whole_numbers_and_text_are_ids(groups):
    np.testing.assert_array_equal(check_groups(groups, 40, ALL), groups)
    np.testing.assert_array_equal(check_groups(groups[:, None], 40, ALL), groups)


def test_a_mask_that_masks_nothing_goes():
    ids = check_groups(np.ma.MaskedArray(IDS, mask=False), 40, ALL)
    assert type(ids) is np.ndarray


@pytest.mark.parametrize("shape", [(20, 2), (1, 40), ()], ids=str)
def test_shape(shape):
    refused(WrongShape, "wrong_shape", np.zeros(shape, dtype=int), str(shape), "one group id for every row")


@pytest.mark.parametrize("dtype", [float, bool, complex, object, "S3", "M8[s]"])
def test_what_is_no_id_is_refused_with_advice(dtype):
    groups = IDS.astype(dtype)
    refused(UnsupportedType, "unsupported_dtype", groups, str(groups.dtype), "groups.astype('int64')")


@pytest.mark.parametrize("count", [39, 41, 0])
def test_every_pair_needs_one(count):
    refused(GroupCountMismatch, "group_count_mismatch", np.arange(count), f"{count} group ids for 40 pairs", "labeled")


@pytest.mark.parametrize("kind", ["text", "variable", "masked"])
def test_missing_ids_are_counted_and_located(kind):
    missing = np.isin(ALL, [7, 30])
    text = np.where(missing, "", TEXT)
    groups = {
        "text": text,
        "variable": text.astype(np.dtypes.StringDType()),
        "masked": np.ma.MaskedArray(IDS, mask=missing),
    }[kind]
    refused(MissingGroupId, "missing_group_id", groups, "2 pairs have no group id", "row 7", "id of its own")


def test_text_that_is_no_unicode_is_refused():
    refused(UnsupportedType, "unsupported_dtype", np.array([*TEXT[:-1], "\ud800"]), "not valid Unicode")


def test_groups_are_counted_among_the_labeled_pairs():
    rows = np.flatnonzero(IDS < 10)[::-1]
    assert len(np.unique(IDS[rows])) == MIN_GROUPS == 10
    check_groups(IDS, 40, rows)
    few = np.flatnonzero(IDS < 9)
    words = (f"{len(few)} labeled pairs belong to 9 groups", "at least 10", "leave groups out")
    refused(TooFewGroups, "too_few_groups", IDS, *words, rows=few)


def test_ids_are_not_changed():
    groups = TEXT.copy()
    check_groups(groups, 40, ALL)
    np.testing.assert_array_equal(groups, TEXT)
