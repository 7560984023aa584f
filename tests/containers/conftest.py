"""Image and stack, made once for all tests of containers."""

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from .stack import IMAGE, EngineMissing, Stack, docker, look_for_engine

WORKERS = 3


@pytest.fixture(scope="session")
def image() -> str:
    """The image of this checkout."""
    try:
        look_for_engine()
    except EngineMissing as error:
        pytest.exit(str(error), returncode=2)
    docker("build", "--tag", IMAGE, ".")
    return IMAGE


@pytest.fixture(scope="session")
def password() -> str:
    return secrets.token_hex(32)


@pytest.fixture(scope="session")
def stack(image: str, password: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """API, Redis and three workers, healthy."""
    folder: Path = tmp_path_factory.mktemp("stack")
    secret = folder / "redis_password"
    secret.write_text(password + "\n")
    secret.chmod(0o444)
    override = folder / "override.yml"
    override.write_text(f"secrets:\n  redis_password:\n    file: {secret}\n")
    stack = Stack(f"phasegate-test-{os.getpid()}", override)
    try:
        stack.up(WORKERS)
        yield stack
    finally:
        stack.compose("--profile", "monitoring", "down", "--volumes", "--remove-orphans", "--timeout", "20")
