"""Whose turn it is: of what is due, so much at a time that no webhook waits for another, and no tenant for another."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable

from service.analyses.webhook import Owed

AT_ONCE = 64  # attempts at the same time
AT_ONCE_EACH = 2  # of them to the same webhook
AT_ONCE_TENANT = 8  # of them for the same tenant, however many others have
RESERVED = 16
"""So many are left to tenants that have fewer than AT_ONCE_TENANT; the others share the rest, and 48 are more than the
32 that one tenant's 16 webhooks can have.
"""


class Turns:
    """What is due, and what of it is under way.  On the event loop alone."""

    def __init__(self) -> None:
        self._waiting: dict[str, dict[str, deque[Owed]]] = {}  # by tenant and webhook, those first that are due first
        self._under_way: set[str] = set()
        self._ended: set[str] = set()
        self._of_webhook: Counter[str] = Counter()
        self._of_tenant: Counter[str] = Counter()

    def look(self) -> None:
        """Somebody looks for what is due: what ends from now on may be among it, and is due no more."""
        self._ended.clear()

    def fill(self, owed: Iterable[Owed]) -> None:
        """What is due, in place of what was waiting; what is under way, or has ended since `look`, is left out."""
        self._waiting = {}
        for one in owed:
            if one.delivery_id not in self._under_way and one.delivery_id not in self._ended:
                self._waiting.setdefault(one.tenant, {}).setdefault(one.webhook_id, deque()).append(one)

    def begin(self) -> Owed | None:
        """The next, which is under way then; None while there is no room, or nothing waits.

        It is one of the tenant that has least under way, to the webhook of his that has least.
        """
        free = AT_ONCE - len(self._under_way)
        for tenant in sorted(self._waiting, key=lambda name: self._of_tenant[name]):
            if free <= (0 if self._of_tenant[tenant] < AT_ONCE_TENANT else RESERVED):
                return None
            ready = [
                (self._of_webhook[webhook_id], queue[0].due_at, queue)
                for webhook_id, queue in self._waiting[tenant].items()
                if queue and self._of_webhook[webhook_id] < AT_ONCE_EACH
            ]
            if ready:
                _, _, queue = min(ready, key=lambda one: one[:2])
                owed = queue.popleft()
                self._under_way.add(owed.delivery_id)
                self._of_webhook[owed.webhook_id] += 1
                self._of_tenant[owed.tenant] += 1
                return owed
        return None

    def end(self, owed: Owed) -> None:
        """It is under way no more."""
        self._under_way.discard(owed.delivery_id)
        self._ended.add(owed.delivery_id)
        for counter, name in ((self._of_webhook, owed.webhook_id), (self._of_tenant, owed.tenant)):
            counter[name] -= 1
            if not counter[name]:
                del counter[name]
