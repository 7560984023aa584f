"""Query strings: what a call's description does not have is refused, never ignored in silence."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from fastapi import Request

from service.analyses.errors import InvalidRequest
from service.api.invalid_requests import MAX_NAME_CHARACTERS


async def check_query(request: Request) -> None:  # not in a thread: they may all be busy
    """Dependency of every call: refuse parameters that it does not take, or takes once.  Raises InvalidRequest."""
    counts = Counter(name for name, _ in request.query_params.multi_items())
    if not counts:
        return
    operation = request.app.openapi()["paths"][request.scope["route"].path][request.method.lower()]
    taken = {entry["name"]: entry["schema"] for entry in operation.get("parameters", ()) if entry["in"] == "query"}
    for name, count in counts.items():
        if any(
            re.search(pattern, name) for schema in taken.values() for pattern in schema.get("patternProperties", ())
        ):
            continue
        if name not in taken or "patternProperties" in taken[name]:
            names = [f"{known}.<name>" if "patternProperties" in schema else known for known, schema in taken.items()]
            raise InvalidRequest(
                f"There is no query parameter {name[:MAX_NAME_CHARACTERS]!r}. This call takes "
                f"{', '.join(sorted(names)) or 'none'}.",
                part=name[:MAX_NAME_CHARACTERS],
            )
        if count > 1 and not _may_repeat(taken[name]):
            raise InvalidRequest(f"Query parameter {name!r} is given {count} times. Give it once.", part=name)


def _may_repeat(schema: dict[str, Any]) -> bool:
    return any(kind.get("type") == "array" for kind in (schema, *schema.get("anyOf", ())))
