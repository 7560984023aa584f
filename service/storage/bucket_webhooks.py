"""Webhooks on a bucket: an object each, and one for each delivery."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import takewhile

from service.analyses.errors import StoreUnavailable
from service.analyses.identity import Kind
from service.analyses.webhook import Delivery, Owed, Webhook
from service.storage.bucket import LISTED_AT_ONCE, Bucket
from service.storage.bucket_layout import DELIVERY_RECORD, OWED, WEBHOOK_RECORD, BucketLayout
from service.storage.bucket_listing import newest_first
from service.storage.chunks import chunks
from service.storage.owed import latest_that_may_be_pending, mark_name, owed_of, pending_of
from service.storage.records import DELIVERY, WEBHOOK, decode_record

ATTEMPTS = 10  # of who finds the record changed under his hands


class BucketWebhooks:
    """`service.analyses.ports.WebhookStore` on a bucket."""

    def __init__(self, bucket: Bucket, layout: BucketLayout) -> None:
        self._bucket, self._layout = bucket, layout

    def add(self, webhook: Webhook) -> bool:
        """Keep a webhook; False if there is one with its id."""
        return self._bucket.create(self._layout.webhook(webhook.id), WEBHOOK.dump_json(webhook))

    def find(self, webhook_id: str) -> Webhook | None:
        """A webhook, or None for an unknown one."""
        content = self._bucket.read(self._layout.webhook(webhook_id))
        return None if content is None else decode_record(content, WEBHOOK, f"{webhook_id}/{WEBHOOK_RECORD}")

    def has(self, webhook_id: str) -> bool:
        """Whether it is there, though it may be that it cannot be read."""
        return self._bucket.exists(self._layout.webhook(webhook_id))

    def ids(self) -> Sequence[str]:
        """Ids of all webhooks, newest first."""
        return newest_first(self._bucket, self._layout.webhooks, Kind.WEBHOOK, WEBHOOK_RECORD, None, None)

    def change(self, webhook_id: str, changed: Callable[[Webhook], Webhook]) -> Webhook | None:
        """Put what `changed` makes of a webhook in its place, if nobody else has meanwhile; else try again."""
        place = self._layout.webhook(webhook_id)
        for _ in range(ATTEMPTS):
            tagged = self._bucket.read_tagged(place)
            webhook = decode_record(tagged.content, WEBHOOK, f"{webhook_id}/{WEBHOOK_RECORD}") if tagged else None
            if tagged is None or webhook is None:
                return None
            after = changed(webhook)
            if after == webhook or self._bucket.replace(place, WEBHOOK.dump_json(after), tagged.tag) is not None:
                return after
        raise StoreUnavailable("The webhook is being changed by other calls all the time. Try again later.")

    def remove(self, webhook_id: str) -> None:
        """Remove a webhook, then its deliveries; whoever finds a mark of theirs drops it."""
        self._bucket.remove([self._layout.webhook(webhook_id)])
        left = (item.key for item in self._bucket.listed(self._layout.deliveries(webhook_id)))
        for keys in chunks(left, LISTED_AT_ONCE):
            self._bucket.remove(keys)

    def owe(self, delivery: Delivery) -> None:
        """Keep a new delivery; one that is there already is left alone."""
        # The mark comes last: whoever finds one without a delivery drops it.
        place = self._layout.delivery(delivery.webhook_id, delivery.id)
        is_new = self._bucket.create(place, DELIVERY.dump_json(delivery))
        there = delivery if is_new else self.find_delivery(delivery.webhook_id, delivery.id)
        if there is not None:
            self._mark(there)

    def update(self, before: Delivery, after: Delivery) -> None:
        """Put a delivery in the place of what it was before; the mark of that goes last."""
        self._bucket.write(self._layout.delivery(after.webhook_id, after.id), DELIVERY.dump_json(after))
        self._mark(after)
        owed = owed_of(before, self._layout.tenant)
        if owed is not None and owed != owed_of(after, self._layout.tenant):
            self.drop(owed)

    def find_delivery(self, webhook_id: str, delivery_id: str) -> Delivery | None:
        """A delivery, or None for an unknown one."""
        content = self._bucket.read(self._layout.delivery(webhook_id, delivery_id))
        return None if content is None else decode_record(content, DELIVERY, f"{delivery_id}/{DELIVERY_RECORD}")

    def has_delivery(self, webhook_id: str, delivery_id: str) -> bool:
        """Whether it is there, though it may be that it cannot be read."""
        return self._bucket.exists(self._layout.delivery(webhook_id, delivery_id))

    def find_deliveries(self, webhook_id: str, delivery_ids: Sequence[str]) -> Sequence[Delivery | None]:
        """`find_delivery` for many, some at a time."""
        return self._bucket.at_once(lambda an_id: self.find_delivery(webhook_id, an_id), delivery_ids)

    def delivery_ids(self, webhook_id: str, before: str | None = None, at_most: int | None = None) -> Sequence[str]:
        """Ids of a webhook's deliveries, newest first; only those older than `before`, and so many of them."""
        folder = self._layout.deliveries(webhook_id)
        return newest_first(self._bucket, folder, Kind.DELIVERY, DELIVERY_RECORD, before, at_most)

    def pending_ids(self, webhook_id: str) -> Sequence[str]:
        """Ids of a webhook's deliveries that are marked as pending, newest first."""
        names = (item.key.removeprefix(f"{OWED}/") for item in self._bucket.listed(OWED))
        return pending_of(names, self._layout.tenant, webhook_id)

    def remove_delivery(self, webhook_id: str, delivery_id: str) -> None:
        """Remove a delivery; whoever finds its mark drops it."""
        self._bucket.remove([self._layout.delivery(webhook_id, delivery_id)])

    def drop(self, owed: Owed) -> None:
        """Remove the mark that a delivery is due."""
        self._bucket.remove([f"{OWED}/{mark_name(owed)}"])

    def mark_owed(self, now: datetime) -> None:
        """Mark the deliveries that are pending and have no mark."""
        first = latest_that_may_be_pending(now)
        for webhook_id in self.ids():
            recent = list(takewhile(lambda an_id: an_id >= first, self.delivery_ids(webhook_id)))
            for delivery in self.find_deliveries(webhook_id, recent):
                if delivery is not None:
                    self._mark(delivery)

    def _mark(self, delivery: Delivery) -> None:
        owed = owed_of(delivery, self._layout.tenant)
        if owed is not None:
            self._bucket.write(f"{OWED}/{mark_name(owed)}", b"")
