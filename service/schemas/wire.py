"""What every wire model shares, and the one form that errors have."""

from __future__ import annotations

import math
import re

from pydantic import BaseModel, ConfigDict, ValidationError

_DECIMAL = re.compile(r"[-+]?(?:[0-9]{1,40}\.?[0-9]{0,40}|\.[0-9]{1,40})(?:[eE][-+]?[0-9]{1,4})?")


class WireModel(BaseModel):
    """What every wire model shares.

    Those that take long to build, and are in no request, are built when the first of them is read (`defer_build`).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Problem(WireModel):
    """What went wrong, as problem details (RFC 9457)."""

    type: str
    """URN of the kind of problem; it ends in the code."""
    title: str
    """The kind of problem in a sentence; the same for every occurrence."""
    status: int
    """HTTP status."""
    detail: str
    """What is wrong here and what to do."""
    code: str
    """Stable code to branch on."""
    part: str | None
    """What of the request is concerned: x, y, labels, rows, groups, covariates, options, model, or a field of a JSON
    body; null otherwise."""


def first_error(error: ValidationError) -> tuple[tuple[str, ...], str]:
    """Where the first error is, step by step, and what it says."""
    first = error.errors(include_url=False)[0]
    # pydantic names the branch of a union as a step of its own, with brackets in it.
    place = tuple(str(step)[:40] for step in first["loc"] if "[" not in str(step) and step != "LabelType")
    if first["type"] in ("float_type", "int_type") and isinstance(first["input"], str):
        return place, f"{first['msg']}, and {first['input'][:40]!r} is text. {_as_number(first['input'])}"
    return place, first["msg"]


def _as_number(text: str) -> str:
    how = "Write it as JSON writes numbers, without quotes"
    value = float(text) if _DECIMAL.fullmatch(text) else math.nan
    return f"{how}: {value!r}".removesuffix(".0") if math.isfinite(value) else f"{how}, such as 8 or 0.8"
