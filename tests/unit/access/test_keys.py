"""Keys: made, recognised, compared; what is kept of them; which callers they let in."""

import re
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest

from service.access.errors import InvalidKey, Unauthenticated
from service.access.keys import Key, Scope, given_key, id_in, new_key, opens
from service.access.ring import REMEMBERED_KEYS, REMEMBERED_S, KeyRing
from service.storage.disk_keys import DiskKeys

NOW = datetime(2026, 11, 26, 3, 0, tzinfo=UTC)
ALL = frozenset(Scope)


def made(scopes=ALL, now=NOW, lifetime=None, name="ci", tenant="vision") -> tuple[Key, str]:
    return new_key(name, tenant, scopes, now, lifetime)


def test_a_key_has_the_form_that_scanners_look_for_and_its_record_has_no_secret():
    key, shown = made()
    assert re.fullmatch(r"pg_[0-9a-f]{12}_[0-9a-f]{64}", shown)
    secret = shown.rpartition("_")[2]
    assert secret not in repr(key)
    assert key.secret_sha256 == sha256(secret.encode()).hexdigest()
    assert id_in(shown) == key.id


def test_no_two_keys_are_alike():
    shown = [made()[1] for _ in range(100)]
    assert len({text.split("_")[1] for text in shown}) == len({text.split("_")[2] for text in shown}) == 100


def test_a_key_opens_with_its_own_secret_alone():
    key, shown = made()
    other, _ = made()
    assert opens(key, shown, NOW)
    altered = shown[:-1] + ("0" if shown[-1] != "0" else "1")
    for found, presented in ((key, altered), (key, key.secret_sha256), (other, shown), (None, shown), (None, "")):
        assert not opens(found, presented, NOW)


def test_a_key_counts_until_it_expires():
    key, shown = made(lifetime=timedelta(days=2))
    assert opens(key, shown, NOW + timedelta(days=1, hours=23))
    assert not opens(key, shown, NOW + timedelta(days=2))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"name": ""}, "The name"),
        ({"name": "a\nb"}, "The name"),
        ({"name": "é"}, "The name"),
        ({"name": "n" * 65}, "The name"),
        ({"tenant": "../x"}, "tenant"),
        ({"tenant": "Vision"}, "tenant"),
        ({"scopes": ()}, "at least one scope: read, submit, admin"),
    ],
)
def test_what_cannot_be_a_key_is_refused_with_what_can(changed, words):
    with pytest.raises(InvalidKey, match=words):
        made(**changed)


@pytest.mark.parametrize("text", ["", "pg_", "hello", "pg_" + "0" * 12 + "_" + "g" * 64, "x" + "pg_0_0"])
def test_what_is_no_key_cannot_be_given_as_one(text):
    with pytest.raises(InvalidKey, match="12 hexadecimal digits"):
        given_key(text, "metrics", "default", {Scope.ADMIN}, NOW)


@pytest.fixture
def keys(tmp_path):
    return DiskKeys(tmp_path)


def kept(keys, **how) -> tuple[Key, str]:
    key, shown = made(now=datetime.now(UTC), **how)
    keys.add(key)
    return key, shown


def test_a_kept_key_lets_in_who_owns_it_and_says_what_he_may_do(keys):
    key, shown = kept(keys, scopes={Scope.READ})
    caller = KeyRing(keys).authenticate(shown)
    assert (caller.key_id, caller.name, caller.tenant, caller.scopes) == (key.id, "ci", "vision", {Scope.READ})


def test_every_key_that_does_not_count_is_refused_in_the_same_words(keys):
    key, shown = kept(keys)
    _, revoked = kept(keys)
    keys.revoke(id_in(revoked), datetime.now(UTC))
    expired, never = new_key("old", "vision", ALL, NOW - timedelta(days=9), timedelta(days=1))
    keys.add(expired)
    ring, said = KeyRing(keys), set()
    for presented in (
        f"pg_{key.id}_{'0' * 64}",
        f"pg_{'0' * 12}_{shown.rpartition('_')[2]}",
        revoked,
        never,
        shown + "0",
        "",
        "\x00é",
        "pg_" + "9" * 100_000,
    ):
        with pytest.raises(Unauthenticated) as refused:
            ring.authenticate(presented)
        said.add(str(refused.value))
    assert len(said) == 1
    assert ring.authenticate(shown).key_id == key.id


def test_a_revoked_key_is_let_in_for_a_few_seconds_at_most_and_a_new_one_at_once(keys):
    now_s = 0.0
    ring = KeyRing(keys, clock_s=lambda: now_s)
    key, shown = made(now=datetime.now(UTC))
    with pytest.raises(Unauthenticated):
        ring.authenticate(shown)
    keys.add(key)
    assert ring.authenticate(shown).key_id == key.id
    keys.revoke(key.id, datetime.now(UTC))
    now_s = REMEMBERED_S - 0.001
    assert ring.authenticate(shown).key_id == key.id
    now_s = REMEMBERED_S
    with pytest.raises(Unauthenticated):
        ring.authenticate(shown)
    assert REMEMBERED_S <= 5


def test_who_guesses_ids_fills_no_memory_and_pushes_nobody_out(keys):
    _, shown = kept(keys)
    ring = KeyRing(keys)
    ring.authenticate(shown)
    for number in range(REMEMBERED_KEYS + 10):
        with pytest.raises(Unauthenticated):
            ring.authenticate(f"pg_{number:012x}_{'0' * 64}")
    assert len(ring._remembered) == 1


def test_no_more_keys_are_remembered_than_promised(keys, monkeypatch):
    monkeypatch.setattr("service.access.ring.REMEMBERED_KEYS", 3)
    ring = KeyRing(keys)
    shown = [kept(keys)[1] for _ in range(5)]
    for _ in range(2):
        for presented in shown:
            ring.authenticate(presented)
            assert len(ring._remembered) <= 3


def test_a_key_that_was_given_at_start_counts_without_being_kept(keys):
    _, shown = made()
    ring = KeyRing(keys, [given_key(shown, "metrics", "default", {Scope.ADMIN}, NOW)])
    assert ring.authenticate(shown).scopes == {Scope.ADMIN}
    assert not ring.has_keys()
    with pytest.raises(Unauthenticated):
        ring.authenticate(shown[:-64] + "0" * 64)
    kept(keys)
    assert ring.has_keys()
