"""A real Valkey server for every test that asks for one."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from redis import Redis

from service.serving.embedded_server import answers, prepare_server
from service.storage.redis_queue import open_connection

from .waiting import wait_until


@dataclass(frozen=True)
class Valkey:
    url: str
    process: subprocess.Popen[bytes]


@contextmanager
def embedded_server(directory: Path) -> Iterator[Valkey]:
    """An embedded server, killed when the context ends."""
    server = prepare_server(directory)
    process = subprocess.Popen(server.command)
    try:
        wait_until(lambda: answers(server), 10)
        yield Valkey(server.url, process)
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """An embedded server of this test's own."""
    with embedded_server(tmp_path_factory.mktemp("valkey")) as found:
        yield found


@pytest.fixture(scope="module")
def shared_valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """An embedded server for the tests of one file, none of which may stop it."""
    with embedded_server(tmp_path_factory.mktemp("valkey")) as found:
        yield found


@pytest.fixture
def valkey_url(valkey: Valkey) -> str:
    """Its address."""
    return valkey.url


@pytest.fixture
def connection(valkey_url: str) -> Iterator[Redis]:
    opened = open_connection(valkey_url)
    yield opened
    opened.close()
