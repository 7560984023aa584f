"""A policy that somebody has given a name: one of its versions, which never changes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from service.gating.policy import Policy
from service.gating.references import Reference


@dataclass(frozen=True)
class StoredPolicy:
    """One version of a named policy; `version` is RECORD_VERSION when it was written."""

    version: int
    name: str
    number: int
    """1 for the first of this name."""
    created_at: datetime | None
    """None for a preset, which nobody has stored."""
    sha256: str
    policy: Policy

    @property
    def reference(self) -> Reference:
        """How it is named."""
        return Reference(self.name, self.number)
