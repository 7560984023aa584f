"""Health and readiness on the wire."""

from __future__ import annotations

from service.schemas.wire import WireModel


class Health(WireModel):
    """The process answers."""

    status: str
    """ok."""
    version: str
    """Version of the service."""


class Readiness(WireModel):
    """The service can take and run analyses."""

    ready: bool
    """True; the service answers 503 otherwise."""
    workers: int
    """Workers alive."""
