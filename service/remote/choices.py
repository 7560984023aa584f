"""Which policy is meant: a preset or a stored one by its name, or a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from service.client.policies import names_file, policy_in
from service.gating.policy import Policy
from service.gating.references import Reference, read_reference


@dataclass(frozen=True)
class Choice:
    """A policy that a caller has chosen: read from a file, or only named."""

    given: str
    """What the caller wrote."""
    label: str
    """How it is shown: the name, or the name of the file."""
    policy: Policy | None
    """The policy of a file; None for one that is named."""
    reference: Reference | None
    """The name, with or without a version; None for a file."""


def choice_of(text: str) -> Choice:
    """The policy that is meant: a file if there is a slash in the text or a suffix of JSON or YAML at its end.

    What lies in the working directory never changes what a name means.  Raises GatingError, OSError.
    """
    if names_file(text):
        path = Path(text)
        return Choice(text, path.name, policy_in(path), None)
    return Choice(text, text, None, read_reference(text))
