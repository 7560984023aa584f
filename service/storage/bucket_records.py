"""The record of a dataset on a bucket, and how those who change it, remove it and use it agree.

There are no locks: a host that holds one may die, and clocks of hosts differ.  Everything hangs on one object,
dataset.json, which is only ever replaced in the version that was read (If-Match):

- whoever is about to change or remove a dataset claims it: a version with his claim in it.  He then looks for users,
  and replaces that version, and no other, by what he has made of it: the changed dataset, or none.
- whoever needs it for something that he adds (an analysis, a label set) writes that first, and confirms it then: if the
  record is there and unclaimed, nobody who removes it can have looked before; a claim he takes away, so that whoever
  claimed it fails, or looks again; if there is none, he withdraws what he has written.

So no order of events, and no death, leaves an analysis without its dataset.  A claim whose holder has died is taken
away by the next user at once, and by the next who claims when his process has seen it unchanged for CLAIM_PATIENCE_S.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace

from pydantic import TypeAdapter

from service.analyses.dataset import Dataset
from service.analyses.errors import DatasetInUse, DatasetNotFound, LabelSetNotFound, StoreUnavailable
from service.storage.bucket import Bucket
from service.storage.bucket_layout import BucketLayout
from service.storage.records import decode_record

CLAIM_PATIENCE_S = 15.0
"""A claim that has been seen unchanged for so long, by the clock of a process that waits, is a dead one's."""

PATIENCE_S = 4 * CLAIM_PATIENCE_S  # of a worker; nobody waits for it
MOST_SIGHTINGS = 1000
LOOK_INTERVAL_S = 0.1
ATTEMPTS = 100  # of whoever finds the record changed under his hands
LABEL_SET_GONE = "The label set has been removed meanwhile. Send it again."
BUSY = "The dataset is being changed by other calls all the time. Try again later."


@dataclass(frozen=True)
class Entry:
    """What dataset.json holds.  No two versions are alike, so that tags tell them apart."""

    revision: str
    dataset: Dataset | None
    """None once it is removed: nobody sees it or its label sets any more, and what is left of them is being removed."""
    claim: str | None = None
    """Of whoever is about to change or remove it."""
    removed_label_sets: tuple[str, ...] = field(default=())
    """Label sets that are gone, and perhaps not yet removed."""


@dataclass(frozen=True)
class Held:
    """An entry in the version that was read."""

    entry: Entry
    tag: str


ENTRY = TypeAdapter(Entry)
REMOVED = Entry("", None)
"""What takes the place of a dataset that is removed, in a revision of its own."""


class Sightings:
    """Since when this process has seen claims unchanged, by whichever of its calls."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[str, float]] = {}

    def unchanged_s(self, key: str, revision: str) -> float:
        """For how long the record with this key has been seen in this revision (seconds)."""
        now = time.monotonic()
        known, since = self._seen.get(key, ("", now))
        if known != revision:
            if len(self._seen) >= MOST_SIGHTINGS:
                self._seen.clear()
            self._seen[key], since = (revision, now), now
        return now - since

    def forget(self, key: str) -> None:
        """It is claimed no longer."""
        self._seen.pop(key, None)


class DatasetRecords:
    """The records of one tenant's datasets.

    For `patience_s` seconds a caller waits for whoever has claimed what he claims himself.
    """

    def __init__(
        self,
        bucket: Bucket,
        layout: BucketLayout,
        patience_s: float = PATIENCE_S,
        sightings: Sightings | None = None,
    ) -> None:
        self._bucket, self._layout = bucket, layout
        self._patience_s, self._sightings = patience_s, sightings or Sightings()
        self._claims = threading.local()

    def find(self, dataset_id: str) -> Held | None:
        """The record of a dataset that is not removed, or None."""
        held = self._read(dataset_id)
        return held if held is not None and held.entry.dataset is not None else None

    def is_removed(self, dataset_id: str) -> bool:
        """Whether there is a record that says that the dataset is removed."""
        held = self._read(dataset_id)
        return held is not None and held.entry.dataset is None

    def create(self, dataset: Dataset) -> None:
        """Make a dataset known.  Raises StoreUnavailable if there is one with its id."""
        content = ENTRY.dump_json(Entry(_revision(), dataset))
        if not self._bucket.create(self._layout.dataset_record(dataset.id), content):
            raise StoreUnavailable("The dataset is being stored by another call. Try again later.")

    def _change(self, dataset_id: str, held: Held, entry: Entry) -> Held | None:
        """Replace a version by another; None if it is not the latest any more."""
        fresh = replace(entry, revision=_revision())
        tag = self._bucket.replace(self._layout.dataset_record(dataset_id), ENTRY.dump_json(fresh), held.tag)
        return None if tag is None else Held(fresh, tag)

    @contextmanager
    def claimed(self, dataset_id: str) -> Iterator[None]:
        """Claim a dataset, after the one who has it now; `commit` then replaces the version that was claimed.

        Raises DatasetNotFound, StoreUnavailable.
        """
        self._mine[dataset_id] = self._claim(dataset_id)
        try:
            yield
        finally:
            held = self._mine.pop(dataset_id)
            if held.entry.claim is not None:
                with suppress(StoreUnavailable):  # whoever comes next does not wait for ever
                    self._change(dataset_id, held, replace(held.entry, claim=None))

    def commit(self, dataset_id: str, make: Callable[[Entry], Entry]) -> bool:
        """Replace the version that this thread has claimed, or the latest; False if the dataset is gone.

        Label sets that were removed since, and of which there is no record any more, are named no longer.

        Raises DatasetInUse if another has replaced it since it was claimed: what was looked at under the claim may be
        different by now.
        """
        mine = self._mine.get(dataset_id)
        held = mine or self.find(dataset_id)
        if held is None or held.entry.dataset is None:
            return False
        made = make(held.entry)
        left = [gone for gone in made.removed_label_sets if self._bucket.exists(self._layout.label_set_record(gone))]
        changed = self._change(dataset_id, held, replace(made, removed_label_sets=tuple(left)))
        if changed is None:
            raise DatasetInUse("The dataset is being used or changed by another call. Try again.")
        if mine is not None:
            self._mine[dataset_id] = changed
        return True

    def confirm(self, dataset_id: str, label_set_id: str | None = None) -> None:
        """Make sure that nobody removes a dataset, or a label set, without seeing what was written before this call.

        Raises DatasetNotFound, LabelSetNotFound if it is gone: then what was written has to be withdrawn.
        """
        self._take_claim_away(dataset_id, label_set_id)
        # Looked at last: its record goes before the dataset's record says that no more.
        if label_set_id is not None and not self._bucket.exists(self._layout.label_set_record(label_set_id)):
            raise LabelSetNotFound(LABEL_SET_GONE)

    def _take_claim_away(self, dataset_id: str, label_set_id: str | None) -> None:
        for _ in range(ATTEMPTS):
            held = self._there(dataset_id)
            if label_set_id in held.entry.removed_label_sets:
                raise LabelSetNotFound(LABEL_SET_GONE)
            if held.entry.claim is None or self._change(dataset_id, held, replace(held.entry, claim=None)):
                return
        raise StoreUnavailable(BUSY)

    def _claim(self, dataset_id: str) -> Held:
        key = self._layout.dataset_record(dataset_id)
        until = time.monotonic() + self._patience_s
        while True:
            held = self._there(dataset_id)
            if held.entry.claim is None or (self._sightings.unchanged_s(key, held.entry.revision) >= CLAIM_PATIENCE_S):
                claimed = self._change(dataset_id, held, replace(held.entry, claim=secrets.token_hex(8)))
                if claimed is not None:
                    self._sightings.forget(key)
                    return claimed
            if time.monotonic() >= until:
                raise StoreUnavailable(BUSY)
            time.sleep(LOOK_INTERVAL_S)

    def _read(self, dataset_id: str) -> Held | None:
        tagged = self._bucket.read_tagged(self._layout.dataset_record(dataset_id))
        entry = None if tagged is None else decode_record(tagged.content, ENTRY, f"{dataset_id}/dataset.json")
        return None if tagged is None or entry is None else Held(entry, tagged.tag)

    @property
    def _mine(self) -> dict[str, Held]:
        """What the calling thread has claimed."""
        mine: dict[str, Held] = self._claims.__dict__
        return mine

    def _there(self, dataset_id: str) -> Held:
        held = self.find(dataset_id)
        if held is None:
            raise DatasetNotFound("The dataset has been removed meanwhile. Send it again.")
        return held


def _revision() -> str:
    return secrets.token_hex(8)
