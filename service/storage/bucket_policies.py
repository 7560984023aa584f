"""Versions of named policies on a bucket: an object each, which is created once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from service.analyses.policy import StoredPolicy
from service.gating.references import is_name
from service.storage.bucket import Bucket
from service.storage.bucket_layout import BucketLayout
from service.storage.records import STORED_POLICY, decode_record

SUFFIX = ".json"


class BucketPolicies:
    """`service.analyses.ports.PolicyStore` on a bucket."""

    def __init__(self, bucket: Bucket, layout: BucketLayout) -> None:
        self._bucket, self._layout = bucket, layout

    def names(self) -> Sequence[str]:
        """Every name that has a version, sorted."""
        return sorted({name for name, _ in self._versions(self._layout.policies)})

    def numbers(self, name: str) -> Sequence[int]:
        """The versions of a name, the first one first."""
        return sorted(number for _, number in self._versions(self._layout.policies_of(name))) if is_name(name) else []

    def count(self) -> int:
        """Versions of all names together."""
        return sum(1 for _ in self._versions(self._layout.policies))

    def find(self, name: str, number: int) -> StoredPolicy | None:
        """A version, or None."""
        content = self._bucket.read(self._layout.policy(name, number)) if is_name(name) else None
        return None if content is None else decode_record(content, STORED_POLICY, f"{name}/{number}")

    def add(self, policy: StoredPolicy) -> bool:
        """Keep a version; False if there is one with this number.  Raises StoreUnavailable."""
        record = STORED_POLICY.dump_json(policy, by_alias=True)
        return self._bucket.create(self._layout.policy(policy.name, policy.number), record)

    def _versions(self, folder: str) -> Iterator[tuple[str, int]]:
        for item in self._bucket.listed(folder):
            name, _, file = item.key.removeprefix(f"{self._layout.policies}/").partition("/")
            stem = file.removesuffix(SUFFIX)
            if is_name(name) and stem.isdecimal():
                yield name, int(stem)
