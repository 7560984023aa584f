"""Where the bucket is and what lets us in: from settings, and what they leave open from the standard AWS variables."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

ENDPOINT_VARIABLES = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
MAX_CREDENTIALS_BYTES = 10_000


class BucketRefused(Exception):
    """The bucket cannot be used as it is set up; the message says what to do, and holds no secret."""


@dataclass(frozen=True)
class Credentials:
    """An access key, neither half of which is ever shown."""

    access_key_id: str = field(repr=False)
    secret_access_key: str = field(repr=False)


@dataclass(frozen=True)
class BucketAddress:
    """A bucket, and the prefix in it under which everything is.

    What is None is left to the AWS variables, which the client library reads itself.
    """

    bucket: str
    prefix: str | None = None
    endpoint: str | None = None
    region: str | None = None
    credentials: Credentials | None = None
    allow_http: bool = False

    @property
    def shown(self) -> str:
        """The address for messages and logs."""
        return f"s3://{self.bucket}" + (f"/{self.prefix}" if self.prefix else "")


def bucket_address(
    url: str,
    *,
    endpoint: str | None,
    region: str | None,
    credentials_file: Path | None,
    allow_http: bool,
    environment: Mapping[str, str] = os.environ,
) -> BucketAddress:
    """The bucket of a URL s3://bucket/prefix.  Raises BucketRefused."""
    parts = urlsplit(url)
    prefix = parts.path.strip("/")
    if parts.scheme != "s3" or not parts.netloc or "@" in parts.netloc or ":" in parts.netloc or parts.query:
        raise BucketRefused(
            "PHASEGATE_STORE_URL is not the address of a bucket. Write s3://bucket or s3://bucket/prefix; the endpoint "
            "and the credentials have settings of their own."
        )
    if any(part in ("", ".", "..") for part in prefix.split("/")) and prefix:
        raise BucketRefused("The prefix in PHASEGATE_STORE_URL has an empty or dotted part. Write s3://bucket/prefix.")
    chosen = endpoint or next((environment[name] for name in ENDPOINT_VARIABLES if environment.get(name)), None)
    if chosen is not None and chosen.startswith("http://") and not allow_http:
        raise BucketRefused(
            "The endpoint of the bucket begins with http://, so that data and requests would travel in the open. Use "
            "https://, or set PHASEGATE_STORE_ALLOW_HTTP=true if the network between is yours alone."
        )
    credentials = None if credentials_file is None else read_credentials(credentials_file)
    return BucketAddress(parts.netloc, prefix or None, chosen, region, credentials, allow_http)


def read_credentials(path: Path) -> Credentials:
    """Access key id and secret access key, a line each, from a file.  Raises BucketRefused."""
    try:
        with path.open("rb") as file:
            lines = file.read(MAX_CREDENTIALS_BYTES).decode("ascii").split()
    except OSError as error:
        raise BucketRefused(
            f"PHASEGATE_STORE_CREDENTIALS_FILE cannot be read: {error.strerror or 'unknown reason'}. Check path "
            "and mode."
        ) from None
    except UnicodeDecodeError:
        lines = []
    if len(lines) != 2:
        raise BucketRefused(
            "PHASEGATE_STORE_CREDENTIALS_FILE does not hold two lines. Write the access key id into the first, the "
            "secret access key into the second."
        )
    return Credentials(*lines)
