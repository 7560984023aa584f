"""Errors of policies.  Each class has a stable code; the message says what is wrong and what to do.

GatingError
+-- InvalidPolicy           invalid_policy
+-- InvalidPolicyName       invalid_policy_name
+-- PolicyNotApplicable     policy_not_applicable
"""

from __future__ import annotations

from typing import ClassVar


class GatingError(Exception):
    """A policy that cannot be held against a report.  `part` names the part of the request concerned: policy, name."""

    code: ClassVar[str]

    def __init__(self, message: str, *, part: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.part = part


class InvalidPolicy(GatingError):
    """The policy cannot be read, or could not do what it says."""

    code = "invalid_policy"


class InvalidPolicyName(GatingError):
    """No policy can have this name."""

    code = "invalid_policy_name"


class PolicyNotApplicable(GatingError):
    """The policy asks about something that the report is not of."""

    code = "policy_not_applicable"
