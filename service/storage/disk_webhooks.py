"""Webhooks on a local directory: a folder each, its records readable by the owner of the data directory alone."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from itertools import takewhile
from pathlib import Path

from service.analyses.identity import Kind, is_id
from service.analyses.webhook import Delivery, Owed, Webhook
from service.storage.disk_files import create_file, locked, read_each, read_record, stored, sync_folder, write_file
from service.storage.disk_layout import Layout, ids_in
from service.storage.owed import latest_that_may_be_pending, mark_name, owed_of, pending_of
from service.storage.records import DELIVERY, WEBHOOK

RECORD = "webhook.json"
DELIVERIES = "deliveries"
SUFFIX = ".json"


class DiskWebhooks:
    """`service.analyses.ports.WebhookStore` on disk."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def add(self, webhook: Webhook) -> bool:
        """Keep a webhook, complete before it has its name; False if there is one with its id."""
        draft = self._layout.tmp / f"webhook-{secrets.token_hex(8)}"
        try:
            with stored():
                (draft / DELIVERIES).mkdir(mode=0o700, parents=True)
                self._put(draft / RECORD, WEBHOOK.dump_json(webhook))
                try:
                    os.rename(draft, self._layout.webhooks / webhook.id)
                except OSError:
                    if self.find(webhook.id) is None:
                        raise
                    return False
                sync_folder(self._layout.webhooks)
                return True
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def find(self, webhook_id: str) -> Webhook | None:
        """A webhook, or None for an unknown one."""
        return read_record(self._layout.webhooks / webhook_id / RECORD, WEBHOOK)

    def has(self, webhook_id: str) -> bool:
        """Whether it is there, though it may be that it cannot be read."""
        return (self._layout.webhooks / webhook_id / RECORD).exists()

    def ids(self) -> Sequence[str]:
        """Ids of all webhooks, newest first."""
        return ids_in(self._layout.webhooks, Kind.WEBHOOK, None)

    def change(self, webhook_id: str, changed: Callable[[Webhook], Webhook]) -> Webhook | None:
        """Put what `changed` makes of a webhook in its place, under a lock; None for an unknown one."""
        folder = self._layout.webhooks / webhook_id
        with stored():
            try:
                with locked(folder, alone=True):
                    webhook = self.find(webhook_id)
                    if webhook is None:
                        return None
                    after = changed(webhook)
                    if after != webhook:
                        self._put(folder / RECORD, WEBHOOK.dump_json(after))
                    return after
            except FileNotFoundError:
                return None

    def remove(self, webhook_id: str) -> None:
        """Remove a webhook with its deliveries; whoever finds a mark of theirs drops it."""
        self._layout.remove(self._layout.webhooks / webhook_id)

    def owe(self, delivery: Delivery) -> None:
        """Keep a new delivery; one that is there already is left alone.  Nothing if the webhook is gone."""
        # The mark comes last: whoever finds one without a delivery drops it.
        with stored():
            place = self._path(delivery.webhook_id, delivery.id)
            try:
                is_new = create_file(place, DELIVERY.dump_json(delivery), self._layout.tmp)
                there = delivery if is_new else self.find_delivery(delivery.webhook_id, delivery.id)
            except FileNotFoundError:
                return
            if there is not None:
                self._mark(there)

    def update(self, before: Delivery, after: Delivery) -> None:
        """Put a delivery in the place of what it was before; the mark of that goes last."""
        with stored():
            with suppress(FileNotFoundError):  # the webhook has been removed meanwhile
                self._put(self._path(after.webhook_id, after.id), DELIVERY.dump_json(after))
                self._mark(after)
            if before.next_attempt_at != after.next_attempt_at:
                self._unmark(before)

    def find_delivery(self, webhook_id: str, delivery_id: str) -> Delivery | None:
        """A delivery, or None for an unknown one."""
        path = self._path(webhook_id, delivery_id)
        return read_record(path, DELIVERY) if path.exists() else None

    def has_delivery(self, webhook_id: str, delivery_id: str) -> bool:
        """Whether it is there, though it may be that it cannot be read."""
        return self._path(webhook_id, delivery_id).exists()

    def find_deliveries(self, webhook_id: str, delivery_ids: Sequence[str]) -> Sequence[Delivery | None]:
        """`find_delivery` for many."""
        return read_each(lambda an_id: self.find_delivery(webhook_id, an_id), delivery_ids, lambda unreadable: None)

    def delivery_ids(self, webhook_id: str, before: str | None = None, at_most: int | None = None) -> Sequence[str]:
        """Ids of a webhook's deliveries, newest first; only those older than `before`, and so many of them."""
        try:
            names = os.listdir(self._layout.webhooks / webhook_id / DELIVERIES)
        except FileNotFoundError:
            return []
        ids = (name.removesuffix(SUFFIX) for name in names)
        return sorted((i for i in ids if is_id(i, Kind.DELIVERY) and (before is None or i < before)), reverse=True)[
            :at_most
        ]

    def pending_ids(self, webhook_id: str) -> Sequence[str]:
        """Ids of a webhook's deliveries that are marked as pending, newest first."""
        return pending_of(os.listdir(self._layout.owed), self._layout.tenant, webhook_id)

    def remove_delivery(self, webhook_id: str, delivery_id: str) -> None:
        """Remove a delivery; whoever finds its mark drops it."""
        self._path(webhook_id, delivery_id).unlink(missing_ok=True)

    def drop(self, owed: Owed) -> None:
        """Remove the mark that a delivery is due."""
        (self._layout.owed / mark_name(owed)).unlink(missing_ok=True)

    def mark_owed(self, now: datetime) -> None:
        """Mark the deliveries that are pending and have no mark."""
        first = latest_that_may_be_pending(now)
        for webhook_id in self.ids():
            for delivery_id in takewhile(lambda an_id: an_id >= first, self.delivery_ids(webhook_id)):
                delivery = self.find_delivery(webhook_id, delivery_id)
                if delivery is not None:
                    with stored():
                        self._mark(delivery)

    def _path(self, webhook_id: str, delivery_id: str) -> Path:
        return self._layout.webhooks / webhook_id / DELIVERIES / f"{delivery_id}{SUFFIX}"

    def _put(self, path: Path, content: bytes) -> None:
        draft = self._layout.tmp / f"new-{secrets.token_hex(8)}"
        try:
            write_file(draft, content)
            draft.chmod(0o600)
            os.rename(draft, path)
        finally:
            draft.unlink(missing_ok=True)
        sync_folder(path.parent)

    def _mark(self, delivery: Delivery) -> None:
        owed = owed_of(delivery, self._layout.tenant)
        if owed is not None and not (place := self._layout.owed / mark_name(owed)).exists():
            write_file(place, b"")
            sync_folder(self._layout.owed)

    def _unmark(self, delivery: Delivery) -> None:
        owed = owed_of(delivery, self._layout.tenant)
        if owed is not None:
            self.drop(owed)
