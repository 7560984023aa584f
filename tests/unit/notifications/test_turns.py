"""No webhook waits for another, and no tenant for another."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from service.analyses.identity import Kind
from service.analyses.webhook import Owed
from service.analyses.webhooks import MOST_WEBHOOKS
from service.notifications.turns import AT_ONCE, AT_ONCE_EACH, AT_ONCE_TENANT, RESERVED, Turns

DUE_AT = datetime(2026, 11, 26, 8, tzinfo=UTC)


def owed(tenant: str, webhook: int, number: int, after_s: int = 0) -> Owed:
    return Owed(
        DUE_AT + timedelta(seconds=after_s), tenant, f"{Kind.WEBHOOK}-{tenant}-{webhook}", f"{webhook}-{number}"
    )


def flood(tenant: str, n_webhooks: int = MOST_WEBHOOKS) -> list[Owed]:
    return [
        Owed(DUE_AT, tenant, f"{Kind.WEBHOOK}-{tenant}-{webhook}", f"{tenant}-{webhook}-{number}")
        for webhook in range(n_webhooks)
        for number in range(20)
    ]


def begun(turns: Turns) -> list[Owed]:
    found = []
    while (one := turns.begin()) is not None:
        found.append(one)
    return found


def test_every_webhook_of_a_tenant_has_its_turn_whatever_the_others_do() -> None:
    turns = Turns()
    turns.fill(flood("a"))
    first = begun(turns)
    assert len(first) == MOST_WEBHOOKS * AT_ONCE_EACH
    assert {one.webhook_id for one in first[:MOST_WEBHOOKS]} == {one.webhook_id for one in first}, (
        "one each, then another"
    )


def test_a_tenant_that_fills_its_slots_with_silent_targets_keeps_no_other_waiting() -> None:
    turns = Turns()
    turns.fill(flood("a"))
    silent = begun(turns)
    turns.fill([*flood("a"), *flood("b"), *flood("c")])
    later = begun(turns)
    counts = {tenant: sum(one.tenant == tenant for one in later) for tenant in "abc"}
    assert counts["a"] == 0
    assert min(counts["b"], counts["c"]) >= AT_ONCE_TENANT
    assert len(silent) + len(later) <= AT_ONCE
    assert AT_ONCE - RESERVED >= MOST_WEBHOOKS * AT_ONCE_EACH


def test_two_tenants_that_do_so_leave_room_for_others() -> None:
    turns = Turns()
    turns.fill([*flood("a"), *flood("b")])
    assert len(begun(turns)) == AT_ONCE - RESERVED
    turns.fill([*flood("a"), *flood("b"), *flood("c", 1), *flood("d")])
    later = [one.tenant for one in begun(turns)]
    assert (later.count("c"), later.count("d")) == (AT_ONCE_EACH, AT_ONCE_TENANT)
    assert set(later) == {"c", "d"}


def test_where_one_ends_the_next_of_what_waits_begins() -> None:
    turns = Turns()
    turns.fill([owed("a", 0, number, after_s=number) for number in range(4)])
    first, second = begun(turns)
    assert (first.delivery_id, second.delivery_id) == ("0-0", "0-1")
    turns.end(first)
    (third,) = begun(turns)
    assert third.delivery_id == "0-2"


def test_what_is_under_way_or_has_ended_since_somebody_looked_begins_no_second_time() -> None:
    turns, both = Turns(), [owed("a", 0, 0), owed("b", 0, 1)]
    turns.fill(both)
    first, second = begun(turns)
    turns.look()
    turns.end(first)
    turns.fill(both)
    assert begun(turns) == []
    turns.look()
    turns.fill(both)
    assert begun(turns) == [first], "it is due again by now"
    turns.end(second)
