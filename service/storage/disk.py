"""The array store on a local directory: the truth about what every tenant has.

Files are fsynced before the rename that makes them known, so that an answer outlives a crash.
"""

from __future__ import annotations

import os
import time
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

from service.analyses.analysis import Submission
from service.analyses.identity import Kind
from service.analyses.ports import Chosen
from service.analyses.tenancy import DEFAULT_TENANT, is_tenant
from service.analyses.webhook import Owed
from service.storage.chunks import chunks
from service.storage.disk_analyses import DiskAnalyses
from service.storage.disk_datasets import DiskDatasets
from service.storage.disk_decisions import DiskDecisions
from service.storage.disk_files import check_there, check_writable, stored, sync_folder
from service.storage.disk_layout import Layout, ids_in
from service.storage.disk_policies import DiskPolicies
from service.storage.disk_receiving import MAX_ARRAY_BYTES, Bounds
from service.storage.disk_webhooks import DiskWebhooks
from service.storage.owed import beyond, owed_in, owed_until
from service.storage.staging import sweep_staged

LOOKED_AT_ONCE = 500  # marks
ABANDONED_S = 3600.0  # nothing takes this long from its mark or its link to the thing itself


class DiskStore:
    """`service.analyses.ports.Store`: what one tenant has under the data directory."""

    def __init__(self, layout: Layout, bounds: Bounds) -> None:
        self._layout = layout
        self.datasets = DiskDatasets(layout, bounds)
        self.webhooks = DiskWebhooks(layout)
        self.analyses = DiskAnalyses(layout, self.webhooks)
        self.policies = DiskPolicies(layout)
        self.decisions = DiskDecisions(layout)

    def check(self) -> None:
        """Raise StoreUnavailable unless a file with some content can be written."""
        check_writable(self._layout.tmp)


class DiskStores:
    """`service.analyses.ports.Stores` under one directory.

    `max_label_bytes` bounds every part that is read whole: all but x and y; `max_array_bytes` what those may become
    when they are unpacked.
    """

    def __init__(self, data_dir: Path, max_label_bytes: int, max_array_bytes: int = MAX_ARRAY_BYTES) -> None:
        self._data_dir, self._bounds = data_dir, Bounds(max_label_bytes, max_array_bytes)
        self._layout = Layout(data_dir)

    @property
    def tmp(self) -> Path:
        """Where files are while they are being received."""
        return self._layout.tmp.resolve()

    def prepare(self) -> None:
        """Create the folders that all share, and those of the default tenant, readable by their owner alone."""
        layout = self._layout
        layout.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in (layout.tmp, layout.unsettled, layout.owed, layout.tenants, *layout.folders):
            folder.mkdir(mode=0o700, exist_ok=True)
        sync_folder(layout.data_dir)

    def of(self, tenant: str) -> DiskStore:
        """A tenant's store, with its folders.  Raises StoreUnavailable."""
        layout = Layout(self._data_dir, tenant)
        # The default tenant's were there at the start: if they are not, what is mounted here is not the store.
        if tenant != DEFAULT_TENANT and not layout.folders[-1].exists():
            with stored():
                for folder in layout.folders:
                    folder.mkdir(mode=0o700, exist_ok=True)
                    sync_folder(folder.parent)
        return DiskStore(layout, self._bounds)

    def tenants(self) -> Sequence[str]:
        """Everybody who has a folder, the default tenant first."""
        with suppress(FileNotFoundError):
            names = sorted(folder.name for folder in self._layout.tenants.iterdir())
            return [DEFAULT_TENANT, *(name for name in names if is_tenant(name))]
        return [DEFAULT_TENANT]

    def holder_of(self, analysis_id: str) -> DiskStore | None:
        """The store that holds an analysis without an outcome; None if there is no such analysis."""
        try:
            mark = (self._layout.unsettled / analysis_id).read_text(encoding="ascii")
        except FileNotFoundError:
            check_there(self._layout.unsettled)
            return None
        tenant = mark or DEFAULT_TENANT  # marks were empty before there were tenants
        return self.of(tenant) if is_tenant(tenant) else None

    def unsettled(self, chosen: Chosen | None = None) -> Iterator[Submission]:
        """Everybody's analyses without an outcome, oldest first; only those that are `chosen`, before they are read."""
        marked = reversed(ids_in(self._layout.unsettled, Kind.ANALYSIS, None))
        for some in chunks(marked, LOOKED_AT_ONCE):
            for analysis_id in some if chosen is None else chosen(some):
                holder = self.holder_of(analysis_id)
                found = holder.analyses.find_unsettled(analysis_id) if holder else None
                if found is not None:
                    yield found

    def owed(self, until: datetime) -> Iterator[Owed]:
        """Everybody's deliveries that are due by then, those first that have been for longest; last those that are due
        too late to be true.
        """
        names = sorted(os.listdir(self._layout.owed))
        return chain(owed_until(names, until), owed_in(names[bisect_left(names, beyond(until)) :]))

    def mend(self) -> None:
        """Mark every analysis without an outcome: a copy may have its mark from before, or its folder from after.
        Mark what webhooks are owed.
        """
        for tenant in self.tenants():
            store = self.of(tenant)
            store.analyses.mark_unsettled()
            store.webhooks.mark_owed(datetime.now(UTC))

    def sweep(self) -> None:
        """Remove what processes that have died left behind: received files, marks and links that lead nowhere.

        Files are somebody's while their folder is locked; everything else is left alone for an hour.
        """
        latest = time.time() - ABANDONED_S
        sweep_staged(self._layout.tmp, latest)
        for tenant in self.tenants():
            self.of(tenant).analyses.sweep_fingerprints(latest)
            for link in Layout(self._data_dir, tenant).links.iterdir():
                with suppress(FileNotFoundError):
                    if not link.exists() and link.lstat().st_mtime < latest:
                        link.unlink()
        for mark in self._layout.unsettled.iterdir():
            with suppress(FileNotFoundError):
                holder = self.holder_of(mark.name)
                if (holder is None or holder.analyses.find(mark.name) is None) and mark.stat().st_mtime < latest:
                    mark.unlink()

    def check(self) -> None:
        """Raise StoreUnavailable unless a file with some content can be written."""
        self.of(DEFAULT_TENANT).check()
