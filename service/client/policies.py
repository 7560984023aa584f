"""A policy in the forms that callers have it in."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from service.estimation.record import as_dict
from service.estimation.terms import Method
from service.gating.checking import check_policy
from service.gating.policy import Policy
from service.gating.references import read_reference
from service.schemas.options import SubmittedOptions
from service.schemas.policies import read_policy

PolicySource: TypeAlias = str | Policy | Mapping[str, Any] | os.PathLike[str]
"""A policy by its name (`alignment`, or `alignment@2` for a version), in full, as a mapping, as JSON or YAML text, or a
file of it by its path."""


def asked_policy(policy: PolicySource) -> str | dict[str, Any]:
    """A policy as the service is asked about it: its name, or all that it says.

    Raises: InvalidPolicy, InvalidPolicyName, OSError.
    """
    if isinstance(policy, str) and not _is_document(policy):
        return str(read_reference(policy))
    return full_policy(policy)


def full_policy(policy: PolicySource) -> dict[str, Any]:
    """All that a policy says, checked.  Raises InvalidPolicy, OSError."""
    if isinstance(policy, Policy):
        check_policy(policy)
        return as_dict(policy)
    if isinstance(policy, Mapping):
        return as_dict(read_policy(json.dumps(policy, default=dict)))
    return as_dict(read_policy(policy if isinstance(policy, str) else Path(policy).read_bytes()))


def rehearsing(
    options: SubmittedOptions | Mapping[str, Any] | None, embedding_dim: int | None
) -> SubmittedOptions | Mapping[str, Any]:
    """`SubmittedOptions.rehearsing`, of options in either form."""
    if isinstance(options, Mapping):
        is_open = options.get("embedding_dim") is None and options.get("method") != Method.REFERENCE
        return {**options, "embedding_dim": embedding_dim} if is_open and embedding_dim is not None else options
    return (options or SubmittedOptions()).rehearsing(embedding_dim)


def _is_document(text: str) -> bool:
    """Whether a text is a policy and not the name of one, which has no colon in it."""
    return ":" in text
