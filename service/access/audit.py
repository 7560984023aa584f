"""The audit log: who did what, one event `audit` for each call that may change something and each that is refused."""

from __future__ import annotations

import getpass

import structlog

from service.access.callers import Caller
from service.access.keys import Key

COMMAND_LINE = "command line"

log = structlog.get_logger("phasegate.audit")


def audit_call(
    caller: Caller | None, claimed: str | None, client: str | None, action: str, resource: str | None, status: int
) -> None:
    """Log a call over HTTP.  The secret of a key is no argument of this, and never logged.

    Arguments: caller, None for one that was not let in; claimed, the id of the key that was presented, right or wrong;
    client, the address that the request came from; action, method and route; resource, the id of what it is about, or
    that has come of it; status, of the answer.
    """
    log.info(
        "audit",
        action=action,
        resource=resource,
        status=status,
        key_id=caller.key_id if caller else claimed,
        key_name=caller.name if caller else None,
        tenant=caller.tenant if caller else None,
        client=client,
    )


def audit_key(action: str, key: Key) -> None:
    """Log what was done to a key on the command line, with the name of the system's user who did it."""
    log.info(
        "audit",
        action=action,
        resource=key.id,
        status=None,
        key_id=None,
        key_name=None,
        tenant=key.tenant,
        client=f"{COMMAND_LINE}, {_user()}",
        name=key.name,
        scopes=list(key.scopes),
    )


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user often has a number alone
        return "unknown user"
