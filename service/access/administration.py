"""What `phasegate keys` does to the kept keys: each change is audited."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from service.access.audit import audit_key
from service.access.errors import InvalidKey
from service.access.keys import Key, Keys, Scope, new_key


def create_key(keys: Keys, name: str, tenant: str, scopes: Sequence[str], lifetime: timedelta | None) -> str:
    """Make and keep a key; what its owner sends, which can never be shown again.

    Raises InvalidKey, StoreUnavailable.
    """
    try:
        chosen = {Scope(scope) for scope in scopes}
    except ValueError as error:
        raise InvalidKey(f"There is no such scope. The scopes are {', '.join(Scope)}.") from error
    key, shown = new_key(name, tenant, chosen, datetime.now(UTC), lifetime)
    keys.add(key)
    audit_key("keys create", key)
    return shown


def revoke_key(keys: Keys, key_id: str) -> Key:
    """Make a key count for nothing.  Raises InvalidKey for an unknown one, StoreUnavailable."""
    key = keys.revoke(key_id, datetime.now(UTC))
    if key is None:
        raise InvalidKey(
            "There is no such key here. `phasegate keys list` shows the ids; --data-dir, or PHASEGATE_STORE_URL for a "
            "bucket, says where."
        )
    audit_key("keys revoke", key)
    return key
