"""The environments of the tree's children: settings reach them as PHASEGATE_ variables and in no other way."""

from __future__ import annotations

import os
from pathlib import Path

from service.settings import Settings

PREFIX = "PHASEGATE_"
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def base_environment() -> dict[str, str]:
    """This process's environment without its own settings."""
    return {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}


def settings_environment(settings: Settings, redis_url: str) -> dict[str, str]:
    """The environment from which a child reads the same settings, with the queue's address filled in."""
    environment = base_environment()
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if value is not None:
            environment[PREFIX + name.upper()] = str(value.resolve() if isinstance(value, Path) else value)
    return environment | {f"{PREFIX}REDIS_URL": redis_url}


def api_environment(settings: Settings, redis_url: str, listen_fd: int) -> dict[str, str]:
    """For the API: the socket to serve."""
    with_socket = settings.model_copy(update={"listen_fd": listen_fd})
    return settings_environment(with_socket, redis_url)


def worker_environment(settings: Settings, redis_url: str) -> dict[str, str]:
    """For a worker: its number of BLAS threads, which the libraries read once, when they are loaded."""
    threads = dict.fromkeys(THREAD_VARIABLES, str(settings.threads_per_worker))
    return settings_environment(settings, redis_url) | threads
