"""A policy in the forms that callers have it in."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from service.estimation.record import as_dict
from service.estimation.terms import Method
from service.gating.checking import check_policy
from service.gating.errors import InvalidPolicy
from service.gating.policy import Policy
from service.gating.references import Reference, read_reference
from service.schemas.options import SubmittedOptions
from service.schemas.policies import POLICY_BYTES, PolicyView, read_policy

SUFFIXES = (".json", ".yaml", ".yml")
_MAPPING = re.compile(r":(\s|$)")

PolicySource: TypeAlias = str | Policy | Mapping[str, Any] | os.PathLike[str]
"""A policy by its name (`alignment`, or `alignment@2` for a version), in full, as a mapping, as JSON or YAML text, or a
file of it by its path, which as text has a slash in it, or .json, .yaml or .yml at its end."""


def asked_policy(policy: PolicySource) -> str | dict[str, Any]:
    """A policy as the service is asked about it: its name, or all that it says.

    Raises: InvalidPolicy, InvalidPolicyName, OSError.
    """
    if isinstance(policy, str) and not _is_document(policy) and not names_file(policy):
        return str(read_reference(policy))
    return full_policy(policy)


def full_policy(policy: PolicySource) -> dict[str, Any]:
    """All that a policy says, checked.  Raises InvalidPolicy, OSError."""
    if isinstance(policy, Policy):
        check_policy(policy)
        return as_dict(policy)
    if isinstance(policy, Mapping):
        return as_dict(read_policy(_json_of(policy)))
    if isinstance(policy, str) and (_is_document(policy) or not names_file(policy)):
        return as_dict(read_policy(policy))
    return as_dict(policy_in(Path(policy)))


def policy_in(path: Path) -> Policy:
    """The policy that a file says.  Raises InvalidPolicy, OSError."""
    with path.open("rb") as file:
        return read_policy(file.read(POLICY_BYTES + 1), path.name)


def names_file(text: str) -> bool:
    """Whether a text that is no policy names a file: by a slash in it, or a suffix of JSON or YAML at its end.

    What lies in the working directory never changes what it means.
    """
    return os.sep in text or "/" in text or text.lower().endswith(SUFFIXES)


def version_of(view: PolicyView) -> str:
    """The name of a policy with the version that this is."""
    return str(Reference(view.name, view.version))


def rehearsing(
    options: SubmittedOptions | Mapping[str, Any] | None, embedding_dim: int | None
) -> SubmittedOptions | Mapping[str, Any]:
    """`SubmittedOptions.rehearsing`, of options in either form."""
    if isinstance(options, Mapping):
        is_open = options.get("embedding_dim") is None and options.get("method") != Method.REFERENCE
        return {**options, "embedding_dim": embedding_dim} if is_open and embedding_dim is not None else options
    return (options or SubmittedOptions()).rehearsing(embedding_dim)


def _is_document(text: str) -> bool:
    """Whether a text is a policy, in JSON or YAML, and neither the name of one nor that of a file."""
    return text.lstrip().startswith("{") or _MAPPING.search(text) is not None


def _json_of(policy: Mapping[str, Any]) -> str:
    try:
        return json.dumps(policy, default=_plain)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidPolicy(
            f"policy cannot be written as JSON: {error}. Use text, numbers, lists and mappings with names in text.",
            part="policy",
        ) from error


def _plain(value: object) -> Any:
    """A mapping or a number of numpy as json knows them.  Raises TypeError for anything else."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, np.bool | np.integer | np.floating) and value.itemsize <= 8:
        return value.item()
    raise TypeError(f"it holds a {type(value).__module__}.{type(value).__qualname__}")
