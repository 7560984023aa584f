"""Puts the parts together from settings: the only place that chooses them."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from service.access.errors import InvalidKey
from service.access.keys import Keys, Scope, given_key
from service.access.ring import KeyRing
from service.analyses.claims import Claims
from service.analyses.errors import StoreUnavailable
from service.analyses.ports import Queue, Stores
from service.analyses.tenancy import DEFAULT_TENANT
from service.notifications.delivering import LEASE_S
from service.settings import Settings
from service.storage.bucket import Bucket
from service.storage.bucket_address import BucketRefused, bucket_address
from service.storage.bucket_keys import BucketKeys
from service.storage.bucket_records import PATIENCE_S
from service.storage.bucket_stores import BucketStores
from service.storage.disk import DiskStores
from service.storage.disk_keys import DiskKeys
from service.storage.idempotency import RedisClaims
from service.storage.leases import RedisLeases
from service.storage.measures import Measures
from service.storage.rates import CallRates
from service.storage.redis_password import PasswordRefused, read_password, with_password
from service.storage.redis_queue import RedisQueue, open_brief_connection, open_connection, open_measure

METRICS_KEY_NAME = "metrics"
ABSENCE_S = 1.0  # for so long the API takes a queue or a bucket that was away to be away still
API_PATIENCE_S = 2.0  # for others who use the same on a bucket: few threads serve all callers


class QueueNotConfigured(Exception):
    """A process that needs the queue was not told where it is, or not what lets it in."""


class StoreNotUsable(Exception):
    """The data directory cannot be created or written, or the bucket lets us not in."""


class KeyFileRefused(Exception):
    """The file of PHASEGATE_METRICS_KEY_FILE holds no key."""


@dataclass(frozen=True, kw_only=True)
class WorkerServices:
    """What workers work with."""

    settings: Settings
    stores: Stores
    queue: Queue
    redis_url: str = field(repr=False)  # may hold a password


@dataclass(frozen=True, kw_only=True)
class Services(WorkerServices):
    """What the API works with; some of it has threads, and must not be forked."""

    claims: Claims
    leases: RedisLeases
    rates: CallRates
    measure: Callable[[], Measures]


def queue_url(settings: Settings) -> str:
    """Address of the queue, with its password if a file holds one: never to be logged.  Raises QueueNotConfigured."""
    if settings.redis_url is None:
        raise QueueNotConfigured(
            "PHASEGATE_REDIS_URL is not set. Set it to your Redis or Valkey, or use `phasegate serve`, which brings "
            "its own server."
        )
    if settings.redis_password_file is None:
        return settings.redis_url
    try:
        return with_password(settings.redis_url, read_password(settings.redis_password_file))
    except PasswordRefused as error:
        raise QueueNotConfigured(str(error)) from error


def open_stores(
    settings: Settings, *, absence_s: float = 0.0, patience_s: float = PATIENCE_S
) -> DiskStores | BucketStores:
    """The stores, their local folders in place; a bucket is not reached before it is used.

    Arguments: absence_s, for how long a bucket that was silent is not asked again; patience_s, how long a caller waits
    for others who use the same on it.

    Raises StoreNotUsable.
    """
    stores = _chosen_stores(settings, absence_s, patience_s)
    try:
        stores.prepare()
    except OSError as error:
        raise StoreNotUsable(
            f"The data directory {settings.data_dir} cannot be used: {error.strerror or error}. Choose one that you "
            "can write to, with --data-dir or PHASEGATE_DATA_DIR."
        ) from error
    return stores


def _chosen_stores(
    settings: Settings, absence_s: float = 0.0, patience_s: float = PATIENCE_S
) -> DiskStores | BucketStores:
    bucket = _bucket(settings, absence_s)
    if bucket is None:
        return DiskStores(settings.data_dir, settings.max_label_bytes, settings.max_upload_bytes)
    return BucketStores(
        bucket,
        settings.data_dir,
        settings.max_label_bytes,
        settings.cache_bytes,
        patience_s=patience_s,
        max_array_bytes=settings.max_upload_bytes,
    )


def _bucket(settings: Settings, absence_s: float) -> Bucket | None:
    if settings.store_url is None:
        return None
    try:
        address = bucket_address(
            settings.store_url,
            endpoint=settings.store_endpoint,
            region=settings.store_region,
            credentials_file=settings.store_credentials_file,
            allow_http=settings.store_allow_http,
        )
    except BucketRefused as error:
        raise StoreNotUsable(str(error)) from error
    return Bucket(address, absence_s)


def check_store(settings: Settings) -> None:
    """See that a bucket lets us in; one that is away now may be there later.  Raises StoreNotUsable.

    A child sees to it: a process that has used the bucket must not fork others that do.
    """
    if settings.store_url is None:
        return
    stores = _chosen_stores(settings)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        exit_code = 1
        try:
            os.write(writing, _refusal(stores).encode())
            exit_code = 0
        finally:  # what it is may quote a secret, and is left unsaid
            os._exit(exit_code)
    os.close(writing)
    with open(reading, encoding="utf-8") as file:
        refusal = file.read()
    _, status = os.waitpid(child, 0)
    if refusal or status:
        raise StoreNotUsable(
            refusal
            or "The bucket cannot be tried: the client library refuses its address. Check PHASEGATE_STORE_URL, "
            "PHASEGATE_STORE_ENDPOINT, PHASEGATE_STORE_REGION and the AWS variables."
        )


def _refusal(stores: DiskStores | BucketStores) -> str:
    """Why the bucket cannot be used, empty if it can or may yet."""
    try:
        if isinstance(stores, BucketStores):
            stores.admit()
    except StoreUnavailable:
        return ""
    except BucketRefused as error:
        return str(error)
    return ""


def open_keys(settings: Settings, *, absence_s: float = 0.0) -> Keys:
    """The keys, which are kept where the store is.  Raises StoreNotUsable."""
    bucket = _bucket(settings, absence_s)
    return DiskKeys(settings.data_dir) if bucket is None else BucketKeys(bucket)


def open_ring(settings: Settings) -> KeyRing:
    """The keys that let callers in: those of the store, and the one for the metrics.  Raises KeyFileRefused."""
    path = settings.metrics_key_file
    if path is None:
        return KeyRing(open_keys(settings, absence_s=ABSENCE_S))
    try:
        text = path.read_text(encoding="ascii").strip()
        given = given_key(text, METRICS_KEY_NAME, DEFAULT_TENANT, {Scope.ADMIN}, datetime.now(UTC))
    except OSError as error:
        reason = f"{error.strerror or error}. Name a file that can be read, or unset it."
        raise KeyFileRefused(f"PHASEGATE_METRICS_KEY_FILE: {path} cannot be read: {reason}") from error
    except (InvalidKey, ValueError) as error:
        reason = "It holds no key: pg_, 12 hexadecimal digits, _, 64 hexadecimal digits. `make secrets` makes one."
        raise KeyFileRefused(f"PHASEGATE_METRICS_KEY_FILE: {path} cannot be used. {reason}") from error
    return KeyRing(open_keys(settings, absence_s=ABSENCE_S), [given])


def build(settings: Settings) -> WorkerServices:
    """Connect store and queue, with the patience of a worker.  Raises QueueNotConfigured, StoreNotUsable."""
    url = queue_url(settings)
    return WorkerServices(
        settings=settings,
        stores=open_stores(settings),
        queue=RedisQueue(open_connection(url), time_limit_s=settings.analysis_time_limit_s),
        redis_url=url,
    )


def build_api(settings: Settings) -> Services:
    """Connect store and queue for callers who wait.  Raises QueueNotConfigured, StoreNotUsable."""
    url = queue_url(settings)
    connection = open_brief_connection(url)
    return Services(
        settings=settings,
        stores=open_stores(settings, absence_s=ABSENCE_S, patience_s=API_PATIENCE_S),
        queue=RedisQueue(connection, time_limit_s=settings.analysis_time_limit_s, absence_s=ABSENCE_S),
        claims=RedisClaims(connection, ttl_s=settings.idempotency_s, absence_s=ABSENCE_S),
        leases=RedisLeases(connection, ttl_s=LEASE_S, absence_s=ABSENCE_S),
        rates=CallRates(connection, per_minute=settings.rate_per_minute, absence_s=ABSENCE_S),
        redis_url=url,
        measure=open_measure(url),
    )
