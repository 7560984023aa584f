"""Settings of one process: read from the environment once, at process entry, and passed down.

Every field is set by the environment variable PHASEGATE_<FIELD>; some have a command-line option as well.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, NonNegativeInt, PositiveInt, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from service.access.hosts import read_names
from service.access.targets import read_targets

PREFIX = "PHASEGATE_"
OTHER_VARIABLES = frozenset({"PHASEGATE_URL", "PHASEGATE_API_KEY", "PHASEGATE_API_KEY_OVER_HTTP"})
"""Of the commands that talk to a running service."""
ALIKE = 0.9
DECISION_RETENTION = timedelta(days=3 * 365)


class Settings(BaseSettings):
    """What a process of the service may be told.  Frozen: nothing changes a setting while the process runs."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    host: str = Field("127.0.0.1", description="Address the API listens on.")
    port: int = Field(8000, ge=0, le=65535, description="Port the API listens on; 0 picks a free one.")
    require_keys: bool = Field(
        False, description="Whether every call needs an API key; without, the API listens on loopback alone."
    )
    metrics_key_file: Path | None = Field(
        None, description="File with a key, made beforehand, that may read /metrics and nothing else."
    )
    allowed_hosts: str = Field(
        "", description="Names, separated by commas, under which the API is reached, besides those of loopback."
    )
    let_anyone_on_the_network_use_this_service: bool = Field(
        False, description="Whether the API may listen on any address without asking for keys."
    )
    data_dir: Path = Field(
        Path("phasegate-data"), description="Directory of the array store and of the embedded server's data."
    )
    redis_url: str | None = Field(
        None,
        pattern="^(redis|rediss|unix)://.",
        description="Redis or Valkey to use as the queue; without it `phasegate serve` starts an embedded one.",
    )
    redis_password_file: Path | None = Field(
        None, description="File with the password of the user that PHASEGATE_REDIS_URL names; no process shows it."
    )
    store_url: str | None = Field(
        None,
        pattern="^s3://.",
        description="Bucket of the array store, s3://bucket/prefix, for API and workers on different hosts; without it "
        "the store is in the data directory.",
    )
    store_endpoint: str | None = Field(
        None,
        pattern="^https?://.",
        description="Where the bucket's server is, unless AWS_ENDPOINT_URL says so or it is Amazon's.",
    )
    store_region: str | None = Field(None, description="Region of the bucket, unless AWS_REGION says so.")
    store_credentials_file: Path | None = Field(
        None,
        description="File with the access key id and the secret access key of the bucket, a line each; without it the "
        "AWS variables or the role of the machine count.",
    )
    store_allow_http: bool = Field(False, description="Whether the endpoint of the bucket may begin with http://.")
    cache_bytes: PositiveInt = Field(
        20 * 1024**3,
        description="Local disk, in the data directory, for files of a bucket that analyses use (bytes).",
    )
    workers: PositiveInt = Field(
        default_factory=lambda: max(1, (os.cpu_count() or 1) // 2), description="Worker processes of `phasegate serve`."
    )
    threads_per_worker: PositiveInt = Field(
        1, description="BLAS threads of one analysis. Reports repeat bit for bit at an equal number of threads."
    )
    analysis_time_limit_s: PositiveInt = Field(
        1800, description="An analysis that runs longer is stopped and ends failed (seconds)."
    )
    analysis_memory_limit_bytes: PositiveInt | None = Field(
        None,
        description="Memory that one analysis may take, its mapped features not counted; what is known to need more "
        "is refused when it is submitted (bytes). Without it `phasegate serve` gives every worker an equal share of "
        "three quarters of the memory there is; a worker or an API started by itself sets no limit.",
    )
    drain_s: PositiveInt = Field(
        4,
        description="After SIGTERM, requests in progress and a running analysis may go on for this long (seconds); an "
        "analysis that needs longer is handed back.",
    )
    max_upload_bytes: PositiveInt = Field(2 * 1024**3, description="Largest request body the API accepts (bytes).")
    max_label_bytes: PositiveInt = Field(
        64 * 1024**2, description="Largest labels, rows, groups or covariates part (bytes)."
    )
    max_connections: PositiveInt = Field(
        1000, description="Most connections of an API, and never more than half the files that it may open."
    )
    max_streams: PositiveInt = Field(
        200,
        description="Most streams of events and waits of one caller that an API holds at the same time; all callers "
        "together hold at most half of the connections.",
    )
    body_silence_s: Annotated[float, Field(gt=0)] = Field(
        30.0, description="A request whose head or body pauses for longer is ended with 408 (seconds)."
    )
    webhook_hosts: str = Field(
        "",
        description="Hosts that webhooks may reach, separated by commas: `hooks.example.org`, `*.example.org`, "
        "`hooks.example.org:8443`, or with an inner network `hooks.internal=10.0.0.0/8`; without any there are no "
        "webhooks.",
    )
    webhook_allow_http: bool = Field(False, description="Whether the address of a webhook may begin with http://.")
    max_wait_s: Annotated[float, Field(gt=0)] = Field(
        60.0, description="Longest wait that `Prefer: wait=N` may ask for (seconds)."
    )
    retention_s: PositiveInt = Field(
        7 * 24 * 3600,
        description="A dataset with its label sets is removed this long after it came, an analysis with its report "
        "this long after it ended (seconds).",
    )
    decision_retention_s: PositiveInt | None = Field(
        None,
        description="A decision is removed this long after it was made, with the figures that it rests on; no less "
        "than PHASEGATE_RETENTION_S (seconds).",
    )
    idempotency_s: PositiveInt = Field(
        24 * 3600, description="For so long a call with an Idempotency-Key can be repeated (seconds)."
    )
    max_queued: PositiveInt = Field(1000, description="Most analyses that wait at the same time.")
    max_datasets: PositiveInt = Field(1000, description="Most datasets of one tenant.")
    max_label_sets: PositiveInt = Field(1000, description="Most label sets of one dataset.")
    max_concurrent_uploads: PositiveInt = Field(
        64, description="Most uploads of one caller that an API takes at the same time."
    )
    rate_per_minute: NonNegativeInt = Field(
        600, description="Most calls of one caller within a minute that change something; 0 for no limit."
    )
    listen_fd: int | None = Field(
        None,
        ge=3,
        description="Listening socket that the API inherits instead of opening one; set by the process tree.",
    )
    log_level: str = Field("INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="Least level that is logged.")

    @property
    def retention(self) -> timedelta:
        """`retention_s` as a duration."""
        return timedelta(seconds=self.retention_s)

    @property
    def decision_retention(self) -> timedelta:
        """How long decisions are kept: three years if nothing is said, or as long as reports where that is longer."""
        if self.decision_retention_s is None:
            return max(DECISION_RETENTION, self.retention)
        return timedelta(seconds=self.decision_retention_s)

    @field_validator("decision_retention_s")
    @classmethod
    def _outlives_the_report(cls, decision_retention_s: int | None, info: ValidationInfo) -> int | None:
        retention_s = info.data.get("retention_s", 0)
        if decision_retention_s is not None and decision_retention_s < retention_s:
            raise ValueError(
                f"decisions are kept for longer than the reports that they rest on: set it to {retention_s} "
                "(PHASEGATE_RETENTION_S) or more"
            )
        return decision_retention_s

    @field_validator("allowed_hosts")
    @classmethod
    def _are_names(cls, names: str) -> str:
        read_names(names)
        return names

    @field_validator("webhook_hosts")
    @classmethod
    def _are_targets(cls, hosts: str) -> str:
        read_targets(hosts)
        return hosts

    @field_validator("redis_password_file")
    @classmethod
    def _belongs_to_a_server(cls, path: Path | None, info: ValidationInfo) -> Path | None:
        if path is not None and info.data.get("redis_url", "wrong") is None:
            raise ValueError("it is the password of PHASEGATE_REDIS_URL, which is not set: set both or neither")
        return path

    @field_validator("redis_url")
    @classmethod
    def _can_be_read(cls, redis_url: str | None) -> str | None:
        """Refuse an address that no client can read, without repeating it: what is wrong is most often a password."""
        try:
            _ = urlsplit(redis_url or "").port
        except ValueError:
            raise ValueError(
                "no such address can be read; write special characters of user and password as %XX (/ as %2F, # as %23)"
            ) from None
        return redis_url


def misspelt(environment: Mapping[str, str]) -> dict[str, str]:
    """Variables that look like a setting and are none, with the setting that each is likely to mean.

    Only what is close to a setting is taken for one: PHASEGATE_REQUIRE_KEY would leave a service open to everybody.
    """
    known = [PREFIX + name.upper() for name in Settings.model_fields]
    likely: dict[str, str] = {}
    for name in environment:
        if name.startswith(PREFIX) and name not in known and name not in OTHER_VARIABLES:
            for meant in get_close_matches(name, known, n=1, cutoff=ALIKE):
                likely[name] = meant
    return likely
