"""Tenants: whose datasets, label sets and analyses they are.  What one has, no other sees, guesses or infers."""

from __future__ import annotations

import re

DEFAULT_TENANT = "default"
"""Whose everything is where nobody has to say who he is."""

TENANT = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")


def is_tenant(text: str) -> bool:
    """Whether `text` can name a tenant: it becomes part of paths and of log lines."""
    return TENANT.fullmatch(text) is not None
