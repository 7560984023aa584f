"""Marks of deliveries that are pending: {due}.{delivery}.{tenant}.{webhook}, {due} in milliseconds as 12 hexadecimal
digits, so that those that are due come first wherever names are listed in order, and no other need be read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from service.analyses.identity import Kind, first_id, is_id
from service.analyses.tenancy import is_tenant
from service.analyses.webhook import LONGEST_PENDING, Delivery, Owed, too_far

DUE = re.compile(r"[0-9a-f]{12}")


def mark_name(owed: Owed) -> str:
    """The name of a mark."""
    return f"{_milliseconds(owed.due_at):012x}.{owed.delivery_id}.{owed.tenant}.{owed.webhook_id}"


def owed_of(delivery: Delivery, tenant: str) -> Owed | None:
    """What the mark of a delivery says; None for one that is not pending."""
    due_at = delivery.next_attempt_at
    return None if due_at is None else Owed(_rounded(due_at), tenant, delivery.webhook_id, delivery.id)


def owed_until(names: Iterable[str], until: datetime) -> Iterator[Owed]:
    """What the marks among some names say that are due by then, from names in order."""
    end = f"{_milliseconds(until) + 1:012x}"
    for name in names:
        if name >= end:
            return
        found = _read(name)
        if found is not None:
            yield found


def beyond(until: datetime) -> str:
    """What sorts before the marks that are due too late for anything but a clock that was ahead: they are due."""
    return f"{_milliseconds(too_far(until)) + 1:012x}"


def owed_in(names: Iterable[str]) -> Iterator[Owed]:
    """What the marks among some names say."""
    return (found for name in names if (found := _read(name)) is not None)


def pending_of(names: Iterable[str], tenant: str, webhook_id: str) -> list[str]:
    """Ids of a webhook's deliveries that have a mark among some names, newest first."""
    found = {one.delivery_id for one in owed_in(names) if (one.tenant, one.webhook_id) == (tenant, webhook_id)}
    return sorted(found, reverse=True)


def latest_that_may_be_pending(now: datetime) -> str:
    """What sorts before the id of every delivery that may be pending, unless it was replayed."""
    return first_id(Kind.DELIVERY, now - LONGEST_PENDING)


def _read(name: str) -> Owed | None:
    parts = name.split(".")
    if len(parts) != 4 or not DUE.fullmatch(parts[0]):
        return None
    due, delivery_id, tenant, webhook_id = parts
    if not is_id(delivery_id, Kind.DELIVERY) or not is_tenant(tenant) or not is_id(webhook_id, Kind.WEBHOOK):
        return None
    try:
        return Owed(datetime.fromtimestamp(int(due, 16) / 1000, UTC), tenant, webhook_id, delivery_id)
    except (ValueError, OverflowError):  # later than any date
        return None


def _milliseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def _rounded(moment: datetime) -> datetime:
    return datetime.fromtimestamp(_milliseconds(moment) / 1000, UTC)
