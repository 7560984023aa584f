"""Does a bucket let us do all that a store does?  Tried once, so that it is said at the start and not in the night."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError
from obstore.store import S3Store

from service.storage.bucket_address import BucketAddress, BucketRefused
from service.storage.bucket_reaching import MISSING, away, code_of

REFUSALS = {"AccessDenied", "ExpiredToken", "InvalidAccessKeyId", "InvalidToken", "SignatureDoesNotMatch"}


def admit(store: S3Store, address: BucketAddress, folder: str) -> None:
    """Do once, with an object in this folder, all that a store does.

    Raises BucketRefused if that is not allowed, StoreUnavailable if the bucket is away.
    """
    key = f"{folder}/{secrets.token_hex(8)}"
    with _told_apart(address):
        obstore.put(store, key, b"1", mode="create")
        tag = obstore.get(store, key).meta["e_tag"]
        obstore.put(store, key, b"2", mode={"e_tag": tag})
        is_kept = _is_kept(lambda: obstore.put(store, key, b"3", mode={"e_tag": tag}))
        is_kept = _is_kept(lambda: obstore.put(store, key, b"4", mode="create")) and is_kept
        next(iter(obstore.list(store, folder)), None)
        obstore.delete(store, [key])
    if not is_kept:
        raise BucketRefused(
            f"The bucket {address.shown} takes no notice of If-Match or If-None-Match, without which writers cannot be "
            "kept apart. Use a bucket with conditional writes."
        )


@contextmanager
def _told_apart(address: BucketAddress) -> Iterator[None]:
    """What the operator has to put right becomes BucketRefused, what passes StoreUnavailable."""
    try:
        yield
    except (BaseError, FileNotFoundError) as error:
        code, text = code_of(error), str(error)
        if code in MISSING or "NoSuchBucket" in text:
            raise BucketRefused(
                f"There is no bucket {address.bucket}. Create it, or name another in PHASEGATE_STORE_URL."
            ) from None
        if code in REFUSALS or "403 Forbidden" in text or "401 Unauthorized" in text:
            raise BucketRefused(
                f"The bucket {address.shown} lets us not in ({code or 'forbidden'}). Check the credentials in "
                "PHASEGATE_STORE_CREDENTIALS_FILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, the clock of this "
                "host, and that they may get, put, list and delete objects there."
            ) from None
        raise away(error) from None


def _is_kept(put: Callable[[], object]) -> bool:
    """Whether a write on a condition that does not hold is refused."""
    try:
        put()
    except (AlreadyExistsError, PreconditionError):
        return True
    return False
