"""The port `Keys`: one suite for everything that keeps keys."""

import stat
from datetime import UTC, datetime, timedelta

import pytest

from service.access.errors import InvalidKey
from service.access.keys import Key, Keys, Scope, new_key
from service.analyses.errors import StoreUnavailable
from service.storage.bucket_keys import BucketKeys
from service.storage.disk_keys import KEY, DiskKeys

NOW = datetime(2026, 11, 26, 3, 0, tzinfo=UTC)


@pytest.fixture(params=["disk", "bucket"])
def keys(request, tmp_path) -> Keys:
    if request.param == "disk":
        return DiskKeys(tmp_path / "data")
    return BucketKeys(request.getfixturevalue("bucket_place").bucket)


def a_key(hours=0, **how) -> Key:
    return new_key("ci", "vision", {Scope.SUBMIT, Scope.READ}, NOW + timedelta(hours=hours), **how)[0]


def test_a_key_is_found_as_it_was_added(keys):
    key = a_key(lifetime=timedelta(days=3))
    assert (keys.find(key.id), keys.all()) == (None, [])
    keys.add(key)
    assert keys.find(key.id) == key
    assert keys.find("0" * 12) is None


def test_an_id_is_given_once(keys):
    key = a_key()
    keys.add(key)
    with pytest.raises(InvalidKey, match="already"):
        keys.add(Key(**{**vars(a_key()), "id": key.id}))
    assert keys.all() == [key]


def test_all_are_listed_oldest_first(keys):
    made = [a_key(hours) for hours in (3, 1, 2)]
    for key in made:
        keys.add(key)
    assert keys.all() == sorted(made, key=lambda key: key.created_at)


def test_a_revoked_key_stays_with_the_time_of_its_first_revocation(keys):
    key = a_key()
    keys.add(key)
    first, later = NOW + timedelta(hours=1), NOW + timedelta(hours=2)
    assert keys.revoke(key.id, first).revoked_at == first
    assert keys.revoke(key.id, later).revoked_at == first
    assert keys.find(key.id).revoked_at == first
    assert not keys.find(key.id).counts_at(later)
    assert keys.revoke("0" * 12, first) is None


@pytest.mark.parametrize("key_id", ["", "..", "../../secret", "0" * 12 + "/x", "0" * 11, "\x00"])
def test_what_is_no_id_is_no_path_either(keys, key_id):
    assert keys.find(key_id) is None
    assert keys.revoke(key_id, NOW) is None


def test_records_are_their_owners_alone_and_drafts_do_not_stay(tmp_path):
    keys, key = DiskKeys(tmp_path), a_key()
    keys.add(key)
    keys.revoke(key.id, NOW)
    (record,) = (tmp_path / "keys").iterdir()
    assert record.name == f"{key.id}.json"
    assert stat.S_IMODE(record.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700


def test_a_store_that_is_away_is_said_to_be_away(tmp_path):
    (tmp_path / "keys").touch()
    keys = DiskKeys(tmp_path)
    for call in (lambda: keys.add(a_key()), keys.all):
        with pytest.raises(StoreUnavailable):
            call()


def test_a_record_of_the_first_version_is_read():
    text = (
        '{"id":"0123456789ab","name":"ci","tenant":"vision","scopes":["read","submit"],"secret_sha256":"' + "a" * 64 +
        '","created_at":"2026-11-26T03:00:00Z","expires_at":null,"revoked_at":null,"version":1}'
    )  # fmt: skip
    found = KEY.validate_json(text)
    assert (found.id, found.scopes, found.created_at) == ("0123456789ab", (Scope.READ, Scope.SUBMIT), NOW)
    assert KEY.dump_json(found).decode() == text
