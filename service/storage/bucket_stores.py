"""The array store on an S3-compatible bucket: the truth about what every tenant has, reached by every host.

On local disk are only the files that are being received, and the cache.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from service.analyses.analysis import Submission
from service.analyses.ports import Chosen
from service.analyses.tenancy import DEFAULT_TENANT, is_tenant
from service.analyses.webhook import Owed
from service.storage.bucket import Bucket
from service.storage.bucket_analyses import LOOKED_AT_ONCE, BucketAnalyses
from service.storage.bucket_datasets import BucketDatasets
from service.storage.bucket_decisions import BucketDecisions
from service.storage.bucket_files import BucketFiles
from service.storage.bucket_layout import OWED, PROBE, TENANTS, UNSETTLED, BucketLayout, Mark, read_mark
from service.storage.bucket_listing import beginning_with
from service.storage.bucket_policies import BucketPolicies
from service.storage.bucket_records import PATIENCE_S, DatasetRecords, Sightings
from service.storage.bucket_sweep import sweep_marks, sweep_tenant
from service.storage.bucket_webhooks import BucketWebhooks
from service.storage.cache import FileCache
from service.storage.chunks import chunks
from service.storage.disk_files import check_writable
from service.storage.disk_receiving import MAX_ARRAY_BYTES, Bounds
from service.storage.owed import beyond, owed_in, owed_until
from service.storage.staging import sweep_staged

ABANDONED = timedelta(hours=1)  # longer than anything takes from its first object to its record
SWEEP_INTERVAL_S = 3600.0  # a sweep lists everything


class BucketStore:
    """`service.analyses.ports.Store`: what one tenant has on the bucket."""

    def __init__(
        self,
        bucket: Bucket,
        layout: BucketLayout,
        records: DatasetRecords,
        cache: FileCache,
        tmp: Path,
        bounds: Bounds,
    ) -> None:
        self._bucket, self._tmp = bucket, tmp
        files = BucketFiles(bucket, layout, cache)
        self.datasets = BucketDatasets(bucket, layout, records, files, tmp, bounds)
        self.webhooks = BucketWebhooks(bucket, layout)
        self.analyses = BucketAnalyses(bucket, layout, self.webhooks)
        self.policies = BucketPolicies(bucket, layout)
        self.decisions = BucketDecisions(bucket, layout)

    def check(self) -> None:
        """Raise StoreUnavailable unless the bucket and the local disk can be written."""
        check_writable(self._tmp)
        self._bucket.write(f"{PROBE}/check", b"")


class BucketStores:
    """`service.analyses.ports.Stores` on a bucket.

    Arguments: data_dir, the local directory for what is being received and for the cache, which `cache_bytes` bounds;
    max_label_bytes bounds every part that is read whole: all but x and y; abandoned, how old by the clock of the bucket
    what belongs to nothing has to be to be swept; patience_s, how long a caller waits for others who have claimed a
    dataset, or use the cache; max_array_bytes, what x and y may become when they are unpacked.
    """

    def __init__(
        self,
        bucket: Bucket,
        data_dir: Path,
        max_label_bytes: int,
        cache_bytes: int,
        abandoned: timedelta = ABANDONED,
        sweep_interval_s: float = SWEEP_INTERVAL_S,
        patience_s: float = PATIENCE_S,
        max_array_bytes: int = MAX_ARRAY_BYTES,
    ) -> None:
        self._bucket, self._data_dir = bucket, data_dir
        self._bounds = Bounds(max_label_bytes, max_array_bytes)
        self._cache = FileCache(data_dir / "cache", cache_bytes, patience_s)
        self._patience_s, self._sightings = patience_s, Sightings()
        self._abandoned, self._sweep_interval_s = abandoned, sweep_interval_s
        self._next_sweep = time.monotonic()

    @property
    def tmp(self) -> Path:
        """Where files are while they are being received."""
        return (self._data_dir / "tmp").resolve()

    def prepare(self) -> None:
        """Create the local folders, readable by their owner alone."""
        self._data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        (self._data_dir / "tmp").mkdir(mode=0o700, exist_ok=True)
        self._cache.prepare()

    def admit(self) -> None:
        """See once that the bucket lets us do all that is needed.  Raises BucketRefused, StoreUnavailable."""
        self._bucket.admit(PROBE)

    def of(self, tenant: str) -> BucketStore:
        """A tenant's store."""
        layout = BucketLayout(tenant)
        records = DatasetRecords(self._bucket, layout, self._patience_s, self._sightings)
        return BucketStore(self._bucket, layout, records, self._cache, self.tmp, self._bounds)

    def tenants(self) -> Sequence[str]:
        """Everybody who has an object, the default tenant first."""
        return [DEFAULT_TENANT, *sorted(name for name in self._bucket.folders(TENANTS) if is_tenant(name))]

    def holder_of(self, analysis_id: str) -> BucketStore | None:
        """The store that holds an analysis without an outcome; None if there is no such analysis."""
        marks = (read_mark(item.key) for item in beginning_with(self._bucket, UNSETTLED, analysis_id))
        return next((self.of(mark.tenant) for mark in marks if mark is not None), None)

    def unsettled(self, chosen: Chosen | None = None) -> Iterator[Submission]:
        """Everybody's analyses without an outcome, oldest first; only those that are `chosen`, before they are read."""
        marks = (read_mark(item.key) for item in self._bucket.listed(UNSETTLED))
        for some in chunks((mark for mark in marks if mark is not None), LOOKED_AT_ONCE):
            ids = [mark.analysis_id for mark in some]
            wanted = set(ids if chosen is None else chosen(ids))
            for found in self._bucket.at_once(self._find_unsettled, [m for m in some if m.analysis_id in wanted]):
                if found is not None:
                    yield found

    def owed(self, until: datetime) -> Iterator[Owed]:
        """Everybody's deliveries that are due by then, those first that have been for longest; last those that are due
        too late to be true.
        """
        yield from owed_until(self._marks_owed(), until)
        yield from owed_in(self._marks_owed(f"{OWED}/{beyond(until)}"))

    def _marks_owed(self, after: str | None = None) -> Iterator[str]:
        return (item.key.removeprefix(f"{OWED}/") for item in self._bucket.listed(OWED, after))

    def mend(self) -> None:
        """Mark every analysis without an outcome: a copy may have its mark from before, or its folder from after.
        Mark what webhooks are owed.
        """
        for tenant in self.tenants():
            store = self.of(tenant)
            store.analyses.mark_unsettled()
            store.webhooks.mark_owed(datetime.now(UTC))

    def sweep(self) -> None:
        """Remove what processes that have died left behind, on this disk, and, seldom, on the bucket."""
        sweep_staged(self.tmp, time.time() - ABANDONED.total_seconds())
        if time.monotonic() < self._next_sweep:
            return
        latest = self._bucket.now(f"{PROBE}/clock") - self._abandoned
        for tenant in self.tenants():
            sweep_tenant(self._bucket, BucketLayout(tenant), self.of(tenant).datasets, latest)
        sweep_marks(self._bucket, latest)
        self._next_sweep = time.monotonic() + self._sweep_interval_s

    def check(self) -> None:
        """Raise StoreUnavailable unless the bucket and the local disk can be written."""
        self.of(DEFAULT_TENANT).check()

    def _find_unsettled(self, mark: Mark) -> Submission | None:
        layout = BucketLayout(mark.tenant)
        analyses = BucketAnalyses(self._bucket, layout, BucketWebhooks(self._bucket, layout))
        return analyses.find_unsettled(mark.analysis_id)
