"""A decision as it is kept: for longer than the report that it rests on, and readable without it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from service.analyses.identity import made_at_s
from service.gating.decision import Decision
from service.gating.figures import Figures
from service.gating.references import Reference


@dataclass(frozen=True)
class Question:
    """What was asked: may the run of a policy start, by the report of an analysis?  It has one answer for ever.

    A policy under a name, and the same without, are two questions: whoever looks for the decisions of a name finds
    those that were asked under it.
    """

    analysis_id: str
    policy_sha256: str
    reference: Reference | None
    """Name and version of the policy; None for one that came with the question."""

    @property
    def digest(self) -> str:
        """SHA-256, in hex, of what was asked of the analysis."""
        name = "" if self.reference is None else str(self.reference)
        return hashlib.sha256(f"{name}\n{self.policy_sha256}".encode("ascii")).hexdigest()


@dataclass(frozen=True)
class DecisionRecord:
    """A decision with what was asked and what it rests on.

    `version` is RECORD_VERSION when it was written.  Decisions outlive releases by years: what they are made of, the
    parts of a report among it, may gain fields with defaults and lose none, until a new version says how the old ones
    are read.
    """

    version: int
    id: str
    analysis_id: str
    policy_sha256: str
    policy_name: str | None
    policy_version: int | None
    report_sha256: str
    metadata: Mapping[str, str]
    decision: Decision
    figures: Figures

    @property
    def decided_at(self) -> datetime:
        """When the question was asked first: its id says so."""
        return datetime.fromtimestamp(made_at_s(self.id), UTC)

    @property
    def question(self) -> Question:
        """What was asked."""
        named = self.policy_name is not None and self.policy_version is not None
        reference = Reference(self.policy_name or "", self.policy_version) if named else None
        return Question(self.analysis_id, self.policy_sha256, reference)
