"""The list of API keys: never their secrets, nor the digests of these."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime

from rich.markup import escape
from rich.table import Table

from service.access.keys import Key
from service.figures.printable import list_console, printable, safe_console


def draw_keys(keys: Sequence[Key]) -> None:
    """Print a table, or a line on standard error that says that there are none."""
    if not keys:
        safe_console(stderr=True).print("There are no keys. `phasegate keys create` makes one.", markup=False)
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("id", "name", "tenant", "scopes", "created", "state"):
        table.add_column(name, no_wrap=True)
    for key in keys:
        cells = (key.id, key.name, key.tenant, " ".join(key.scopes), _day(key.created_at), state_of(key))
        table.add_row(*(escape(printable(cell)) for cell in cells))
    list_console().print(table)


def keys_json(keys: Sequence[Key]) -> str:
    """The same as JSON."""
    shown = [
        {
            "id": key.id,
            "name": key.name,
            "tenant": key.tenant,
            "scopes": list(key.scopes),
            "created_at": key.created_at.isoformat(),
            "expires_at": key.expires_at.isoformat() if key.expires_at else None,
            "revoked_at": key.revoked_at.isoformat() if key.revoked_at else None,
        }
        for key in keys
    ]
    return json.dumps(shown, indent=2)


def state_of(key: Key) -> str:
    """Whether a key counts, in words."""
    if key.revoked_at is not None:
        return f"revoked {_day(key.revoked_at)}"
    if key.expires_at is None:
        return "valid"
    return f"{'valid until' if key.counts_at(datetime.now(UTC)) else 'expired'} {_day(key.expires_at)}"


def _day(moment: datetime) -> str:
    return moment.astimezone().strftime("%Y-%m-%d")
