"""What every part of the report has in common: its form on the wire."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any, ClassVar


def wire_name(attribute: str) -> str:
    """The JSON name of an attribute: `class_`, which Python reserves, is `class` on the wire."""
    return attribute.rstrip("_")


class Record:
    """What every part of the report shares: its form on the wire, as pydantic reads it without being imported here."""

    __pydantic_config__: ClassVar[dict[str, bool | str | Callable[[str], str]]] = {
        "use_attribute_docstrings": True,
        "alias_generator": wire_name,
        "extra": "forbid",
        "defer_build": True,  # what reads a report is made when there is one to read
    }


def as_dict(record: Record) -> dict[str, Any]:
    """The report, or a part of it, as JSON types under wire names."""
    return {wire_name(field.name): _plain(getattr(record, field.name)) for field in dataclasses.fields(record)}  # type: ignore[arg-type]


def to_json(record: Record) -> str:
    """The JSON text of `as_dict`; every number is finite, every float round-trips."""
    return json.dumps(as_dict(record), allow_nan=False, ensure_ascii=False)


def _plain(value: Any) -> Any:
    if isinstance(value, Record):
        return as_dict(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value
