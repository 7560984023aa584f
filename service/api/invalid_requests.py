"""What the framework finds wrong with a request, in a sentence that says which field and what to do."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from service.analyses.errors import AnalysisError, InvalidMetadata, InvalidRequest
from service.estimation.errors import InputError, InvalidOption
from service.gating.errors import GatingError, InvalidPolicy

MAX_NAME_CHARACTERS = 40  # of what a caller has written and is told again
ENUMERATED = re.compile(r"<\w+\.\w+: ('[^']*')>")
SOURCES = {"query": "Query parameter", "path": "Path parameter", "header": "Header"}
KINDS: dict[str, type[InvalidMetadata | InvalidOption | InvalidPolicy]] = {
    "metadata": InvalidMetadata,
    "options": InvalidOption,
    "policy": InvalidPolicy,
}
"""Fields whose complaints have a code of their own, however they are sent."""

BRANCHES = ("float", "int", "str", "Options", "Axis", "Policy")
"""Kinds that a value may be of, as the framework names them; no field has such a name."""


def invalid_request(error: RequestValidationError) -> AnalysisError | InputError | GatingError:
    """The refusal of a request that does not have the form that its call describes."""
    first = _meant(error.errors())
    source = str(first["loc"][0])
    if source == "body":
        return _of_json(first)
    return InvalidRequest(_complaint(SOURCES.get(source, source), first), part=_field(first))


def invalid_json(error: ValidationError) -> AnalysisError | InputError | GatingError:
    """The refusal of a JSON body that a route has read itself, in the words of those that the framework reads."""
    found = error.errors(include_url=False, include_input=False)
    return _of_json(_meant([{**entry, "loc": ("body", *entry["loc"])} for entry in found]))


def _meant(found: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Of a value that may be of several kinds every kind complains: the deepest complaint is of the kind meant.

    Complaints of one value that are equally deep are one: it could be of any of these kinds.
    """
    deepest = max((entry for entry in found if _field(entry) == _field(found[0])), key=lambda entry: len(entry["loc"]))
    alike = [e["msg"] for e in found if (len(e["loc"]), _place(e)) == (len(deepest["loc"]), _place(deepest))]
    return {**deepest, "msg": "; or: ".join(dict.fromkeys(alike))}


def _of_json(entry: Mapping[str, Any]) -> AnalysisError | InputError | GatingError:
    if entry["type"] == "json_invalid":
        place = f" at character {entry['loc'][1]}" if len(entry["loc"]) > 1 else ""
        return InvalidRequest(f"The body is no JSON: {entry['ctx']['error']}{place}. Send one JSON object.")
    name = _field(entry)
    if name is None:
        return InvalidRequest(
            "The body is not one JSON object. Send an object, with Content-Type application/json; /docs has an example."
        )
    return KINDS.get(name, InvalidRequest)(_complaint("Field", entry), part=name)


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
        # The framework names the kind that it tried as a step of its own.
        elif place == 0 or (step not in BRANCHES and not set(str(step)) & set("[]-(")):
            text += f"{'.' if text else ''}{str(step)[:MAX_NAME_CHARACTERS]}"
    return text


def _complaint(what: str, entry: Mapping[str, Any]) -> str:
    place = _place(entry)
    match entry["type"]:
        case "missing":
            return f"{what} {place} is missing. Give it; /docs says what it means."
        case "extra_forbidden" | "unexpected_keyword_argument":
            return f"There is no {what.lower()} {place}. Leave it out, or mend its name; /docs lists what there is."
    told = ENUMERATED.sub(r"\1", entry["msg"])  # words of a list, which the framework shows as Python does
    return f"{what} {place} is not as described at /docs. {told}."
