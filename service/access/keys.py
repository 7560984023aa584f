"""API keys: `pg_<id>_<secret>`, shown once; what is kept is a digest of the secret."""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from typing import Protocol

from service.access.errors import InvalidKey
from service.analyses.tenancy import is_tenant

ID_BYTES = 6
SECRET_BYTES = 32
KEY = re.compile(r"pg_([0-9a-f]{12})_([0-9a-f]{64})")
"""Of a fixed form, so that scanners of source code and logs can find keys that were left there."""
KEY_ID = re.compile(r"[0-9a-f]{12}")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._@+-]{0,63}")
RECORD_VERSION = 1


class Scope(StrEnum):
    """What a key allows."""

    READ = "read"
    """Look at what the tenant has."""
    SUBMIT = "submit"
    """Upload, submit, cancel, delete."""
    ADMIN = "admin"
    """Read the metrics of the whole service."""


@dataclass(frozen=True)
class Key:
    """A key as it is kept: without its secret."""

    id: str
    name: str
    tenant: str
    scopes: tuple[Scope, ...]
    secret_sha256: str
    created_at: datetime  # aware, UTC, as the others
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    version: int = RECORD_VERSION

    def counts_at(self, now: datetime) -> bool:
        """Whether it is neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


class Keys(Protocol):
    """Where keys are kept: beside the datasets, so that every API over one store knows the same.

    Every call raises StoreUnavailable.
    """

    def add(self, key: Key) -> None:
        """Keep a new key.  An id is given once: raises InvalidKey for one that is there already."""

    def find(self, key_id: str) -> Key | None:
        """A key, revoked or not, or None for an unknown id."""

    def all(self) -> Sequence[Key]:
        """All keys, revoked ones too, oldest first."""

    def revoke(self, key_id: str, at: datetime) -> Key | None:
        """Make a key count for nothing from now on; the key, or None for an unknown id.  The first time stays."""


def new_key(
    name: str, tenant: str, scopes: Collection[Scope], now: datetime, lifetime: timedelta | None = None
) -> tuple[Key, str]:
    """A new key as it is kept, and as its owner sends it.

    The secret is 256 random bits.  A slow hash guards what people think up; nobody can try 2^256 values, so that one
    round of SHA-256 is enough, and costs nothing on every request.

    Raises: InvalidKey for a name, tenant or scopes that cannot be.
    """
    secret = secrets.token_hex(SECRET_BYTES)
    key = _key(secrets.token_hex(ID_BYTES), secret, name, tenant, scopes, now, lifetime)
    return key, f"pg_{key.id}_{secret}"


def given_key(text: str, name: str, tenant: str, scopes: Collection[Scope], now: datetime) -> Key:
    """The key that somebody has made beforehand.  Raises InvalidKey."""
    found = KEY.fullmatch(text)
    if found is None:
        raise InvalidKey("This is no key. A key is pg_, 12 hexadecimal digits, _, and 64 hexadecimal digits.")
    return _key(found[1], found[2], name, tenant, scopes, now, None)


def id_in(presented: str) -> str | None:
    """The id that a presented key claims; None for what is no key."""
    found = KEY.fullmatch(presented)
    return found[1] if found else None


def opens(key: Key | None, presented: str, now: datetime) -> bool:
    """Whether what was presented is this key, and it counts.  Takes equally long whatever is wrong."""
    digest = sha256(presented.rpartition("_")[2].encode()).hexdigest()
    equal = hmac.compare_digest(digest, key.secret_sha256 if key else NOBODYS)
    return equal and key is not None and key.counts_at(now)


NOBODYS = "0" * 64
"""A digest that nothing is known to have: unknown ids are compared with it."""


def _key(
    key_id: str,
    secret: str,
    name: str,
    tenant: str,
    scopes: Collection[Scope],
    now: datetime,
    lifetime: timedelta | None,
) -> Key:
    if not NAME.fullmatch(name):
        raise InvalidKey(
            "The name is not one that can be kept. Give 1 to 64 letters, digits, spaces and . _ @ + -, a letter or a "
            "digit first."
        )
    if not is_tenant(tenant):
        raise InvalidKey(
            "The tenant's name is not one that can be. Give 1 to 32 lower-case letters, digits and hyphens, no hyphen "
            "first."
        )
    if not scopes:
        raise InvalidKey(f"The key would allow nothing. Give at least one scope: {', '.join(Scope)}.")
    return Key(
        id=key_id,
        name=name,
        tenant=tenant,
        scopes=tuple(scope for scope in Scope if scope in scopes),
        secret_sha256=sha256(secret.encode()).hexdigest(),
        created_at=now,
        expires_at=None if lifetime is None else now + lifetime,
    )
