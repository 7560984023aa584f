"""Image and stack, made once for all tests of containers."""

import os
import secrets
from collections.abc import Iterator
from dataclasses import replace
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
    values = {"redis_password": password, "metrics_key": f"pg_{secrets.token_hex(6)}_{secrets.token_hex(32)}"}
    lines = ["secrets:"]
    for name, value in values.items():
        secret = folder / name
        secret.write_text(value + "\n")
        secret.chmod(0o444)
        lines += [f"  {name}:", f"    file: {secret}"]
    override = folder / "override.yml"
    override.write_text("\n".join(lines) + "\n")
    stack = Stack(f"phasegate-test-{os.getpid()}", override)
    try:
        stack.up(WORKERS)
        yield replace(stack, api_key=stack.new_key("submit", "read"))
    finally:
        stack.compose("--profile", "monitoring", "down", "--volumes", "--remove-orphans", "--timeout", "20")
