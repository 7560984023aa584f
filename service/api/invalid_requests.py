"""What the framework finds wrong with a request, in a sentence that says which field and what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi.exceptions import RequestValidationError

from service.analyses.errors import InvalidRequest

MAX_NAME_CHARACTERS = 40  # of what a caller has written and is told again
SOURCES = {"query": "Query parameter", "path": "Path parameter", "header": "Header"}


def invalid_request(error: RequestValidationError) -> InvalidRequest:
    """The refusal of a request that does not have the form that its call describes."""
    found = error.errors()
    # Of a value that may be of several kinds every kind complains: the deepest complaint is of the kind that was meant.
    first = max((entry for entry in found if _field(entry) == _field(found[0])), key=lambda entry: len(entry["loc"]))
    source = str(first["loc"][0])
    if source == "body":
        return _of_json(first)
    return InvalidRequest(_complaint(SOURCES.get(source, source), first), part=_field(first))


def _of_json(entry: Mapping[str, Any]) -> InvalidRequest:
    if entry["type"] == "json_invalid":
        return InvalidRequest(
            f"The body is no JSON: {entry['ctx']['error']} at character {entry['loc'][-1]}. Send one JSON object."
        )
    name = _field(entry)
    if name is None:
        return InvalidRequest(
            "The body is not one JSON object. Send an object, with Content-Type application/json; /docs has an example."
        )
    return InvalidRequest(_complaint("Field", entry), part=name)


def _field(entry: Mapping[str, Any]) -> str | None:
    """The field concerned, without what lies inside it; None for the whole."""
    location: Sequence[int | str] = entry["loc"]
    return str(location[1])[:MAX_NAME_CHARACTERS] if len(location) > 1 else None


def _place(entry: Mapping[str, Any]) -> str:
    """The way to the value, as `options.scaling.x` or `kappa[2]`."""
    text = ""
    steps = entry["loc"][1:]
    for place, step in enumerate(steps):
        if isinstance(step, int):
            text += f"[{step}]"
        # The framework names the kind that it tried as a step of its own; no field has such a name.
        elif place == 0 or (step not in ("float", "int", "Options", "Axis") and not set(str(step)) & set("[]-(")):
            text += f"{'.' if text else ''}{str(step)[:MAX_NAME_CHARACTERS]}"
    return text


def _complaint(what: str, entry: Mapping[str, Any]) -> str:
    place = _place(entry)
    match entry["type"]:
        case "missing":
            return f"{what} {place} is missing. Give it; /docs says what it means."
        case "extra_forbidden" | "unexpected_keyword_argument":
            return f"There is no {what.lower()} {place}. Leave it out, or mend its name; /docs lists what there is."
    return f"{what} {place} is not as described at /docs. {entry['msg']}."
