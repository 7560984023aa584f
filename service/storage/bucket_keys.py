"""API keys on a bucket: keys/{id}.json, beside the datasets, so that every API over one bucket knows the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from service.access.errors import InvalidKey
from service.access.keys import KEY_ID, Key
from service.analyses.errors import StoreUnavailable
from service.storage.bucket import Bucket
from service.storage.disk_keys import KEY
from service.storage.records import decode_record

FOLDER = "keys"
ATTEMPTS = 10  # of who finds the record changed under his hands


class BucketKeys:
    """`service.access.keys.Keys` on a bucket."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    def add(self, key: Key) -> None:
        """Keep a new key.  Raises InvalidKey for an id that is there already, StoreUnavailable."""
        if not self._bucket.create(_place(key.id), KEY.dump_json(key)):
            raise InvalidKey(f"There is a key {key.id} already. Make another.")

    def find(self, key_id: str) -> Key | None:
        """A key, or None for an unknown id.  Raises StoreUnavailable."""
        content = self._bucket.read(_place(key_id)) if KEY_ID.fullmatch(key_id) else None
        return None if content is None else decode_record(content, KEY, _place(key_id))

    def all(self) -> Sequence[Key]:
        """All keys, oldest first.  Raises StoreUnavailable."""
        names = (item.key.rpartition("/")[2].removesuffix(".json") for item in self._bucket.listed(FOLDER))
        found: list[Key | None] = self._bucket.at_once(self.find, names)
        return sorted((key for key in found if key is not None), key=lambda key: (key.created_at, key.id))

    def revoke(self, key_id: str, at: datetime) -> Key | None:
        """Make a key count for nothing; the key, or None for an unknown id.  Raises StoreUnavailable."""
        for _ in range(ATTEMPTS):
            tagged = self._bucket.read_tagged(_place(key_id)) if KEY_ID.fullmatch(key_id) else None
            key = decode_record(tagged.content, KEY, _place(key_id)) if tagged else None
            if tagged is None or key is None or key.revoked_at is not None:
                return key
            revoked = replace(key, revoked_at=at)
            if self._bucket.replace(_place(key_id), KEY.dump_json(revoked), tagged.tag) is not None:
                return revoked
        raise StoreUnavailable("The key is being changed by other calls all the time. Try again later.")


def _place(key_id: str) -> str:
    return f"{FOLDER}/{key_id}.json"
