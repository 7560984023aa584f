"""Marks of deliveries that are pending: {due}.{delivery}.{tenant}.{webhook}, {due} in milliseconds as 12 hexadecimal
digits, so that those that are due come first wherever names are listed in order, and no other need be read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

from service.analyses.identity import Kind, first_id, is_id
from service.analyses.tenancy import is_tenant
from service.analyses.webhook import Delivery, Owed

DUE = re.compile(r"[0-9a-f]{12}")
LONGEST_PENDING = timedelta(days=3)
"""Longer than all attempts of a delivery take."""


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
    return Owed(datetime.fromtimestamp(int(due, 16) / 1000, UTC), tenant, webhook_id, delivery_id)


def _milliseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def _rounded(moment: datetime) -> datetime:
    return datetime.fromtimestamp(_milliseconds(moment) / 1000, UTC)
