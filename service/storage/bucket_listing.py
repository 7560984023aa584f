"""Listing what is on a bucket: newest first, and no further than wanted."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice, takewhile

from service.analyses.identity import Kind, is_id
from service.storage.bucket import Bucket, Listed
from service.storage.bucket_layout import backwards, forwards

AFTER_ALL = "zz"  # sorts after every name in a folder


def newest_first(
    bucket: Bucket, folder: str, kind: Kind, record: str, before: str | None, at_most: int | None
) -> list[str]:
    """Ids of what has a record of this name in a folder of its own, newest first, and so many of them.

    Arguments: before, an id or the beginning of one: only ids that sort before it.
    """
    after = None if before is None else f"{folder}/{backwards(before)}/{AFTER_ALL}"
    found = (item.key.removeprefix(f"{folder}/").split("/") for item in bucket.listed(folder, after))
    ids = (forwards(parts[0]) for parts in found if len(parts) == 2 and parts[1] == record)
    wanted = (an_id for an_id in ids if is_id(an_id, kind) and (before is None or an_id < before))
    return list(islice(wanted, at_most))


def beginning_with(bucket: Bucket, folder: str, text: str) -> Iterator[Listed]:
    """The objects in a folder whose names begin with a text, after which any name goes on with a full stop."""
    start = f"{folder}/{text}"
    return takewhile(lambda item: item.key.startswith(f"{start}."), bucket.listed(folder, start))
