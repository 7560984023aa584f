"""Who calls, and what calls demand of them."""

from __future__ import annotations

from dataclasses import dataclass

from service.access.errors import Forbidden
from service.access.keys import Key, Scope
from service.analyses.tenancy import DEFAULT_TENANT

READING = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing."""
OPEN = frozenset({"/healthz", "/readyz", "/docs", "/docs/oauth2-redirect", "/openapi.json"})
OPEN_FOLDER = "/docs/files/"
METRICS = "/metrics"
PURE = frozenset({"/v1/model/separation", "/v1/model/phase-diagram"})
"""Questions whose answers are functions of what is asked: whoever may do anything may ask them."""


@dataclass(frozen=True)
class Caller:
    """Somebody who may come in: the owner of a key, or anyone where no keys are required."""

    key_id: str | None
    name: str
    tenant: str
    scopes: frozenset[Scope]


ANYONE = Caller(None, "anyone", DEFAULT_TENANT, frozenset(Scope))


def caller_of(key: Key) -> Caller:
    """Who comes with a key."""
    return Caller(key.id, key.name, key.tenant, frozenset(key.scopes))


def demanded(method: str, path: str) -> frozenset[Scope]:
    """The scopes of which a call demands one; none for what is open to everybody.

    What nobody has thought of is not open.
    """
    if method in READING and (path in OPEN or path.startswith(OPEN_FOLDER)):
        return frozenset()
    if path == METRICS:
        return frozenset({Scope.ADMIN})
    if path in PURE:
        return frozenset({Scope.READ, Scope.SUBMIT})
    return frozenset({Scope.READ if method in READING else Scope.SUBMIT})


def check_scopes(caller: Caller, demanded: frozenset[Scope]) -> None:
    """Raises Forbidden, naming what is missing, unless the caller has one of the scopes."""
    if not demanded & caller.scopes:
        names = " or ".join(f"`{scope}`" for scope in sorted(demanded))
        raise Forbidden(
            f"This call needs the scope {names}, which your API key does not have. Use a key that has it; the operator "
            "makes one with `phasegate keys create`."
        )
