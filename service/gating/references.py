"""How a policy is named: `alignment` is the latest version of that name, `alignment@2` its second."""

from __future__ import annotations

import re
from dataclasses import dataclass

from service.gating.errors import InvalidPolicyName
from service.gating.presets import PRESETS

NAME_PATTERN = r"^[a-z0-9][a-z0-9-]{0,63}$"
REFERENCE_PATTERN = r"^[a-z0-9][a-z0-9-]{0,63}(@[1-9][0-9]{0,8})?$"
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_REFERENCE = re.compile(r"([a-z0-9][a-z0-9-]{0,63})(?:@([1-9][0-9]{0,8}))?")


@dataclass(frozen=True)
class Reference:
    """The name of a policy, and its version; None for the latest."""

    name: str
    version: int | None = None

    def __str__(self) -> str:
        return self.name if self.version is None else f"{self.name}@{self.version}"


def is_name(text: str) -> bool:
    """Whether `text` can name a policy: it becomes part of paths."""
    return _NAME.fullmatch(text) is not None


def check_new_name(name: str) -> None:
    """Refuse what cannot name a policy that is to be stored.  Raises InvalidPolicyName."""
    if not is_name(name):
        raise InvalidPolicyName(
            f"{name[:80]!r} cannot name a policy. Use 1 to 64 letters a to z, digits and hyphens; begin with a letter "
            "or digit.",
            part="name",
        )
    if name in PRESETS:
        raise InvalidPolicyName(
            f"{name!r} is the name of a preset, which does not change. Choose another name.", part="name"
        )


def read_reference(text: str) -> Reference:
    """The reference that a text is.  Raises InvalidPolicyName."""
    found = _REFERENCE.fullmatch(text)
    if found is None:
        raise InvalidPolicyName(
            f"{text[:80]!r} names no policy. Write a name, such as alignment, or a name with a version, such as "
            "alignment@2.",
            part="policy",
        )
    name, version = found.groups()
    return Reference(name, None if version is None else int(version))
