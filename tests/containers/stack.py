"""The stack of docker-compose.yml under a project name, a password and a port of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx2

ROOT = Path(__file__).parents[2]
IMAGE = "phasegate:containers-test"
LOOK_S = 0.2  # between two looks at the state of containers and analyses
T = TypeVar("T")


class EngineMissing(Exception):
    """There is no container engine to test with; the message says what is missing."""


def look_for_engine() -> None:
    """Raises EngineMissing unless Docker, its Compose plugin and its engine are there."""
    if shutil.which("docker") is None:
        raise EngineMissing("There is no `docker` on the PATH. Install Docker Engine 25 or newer with Compose.")
    if subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode:
        raise EngineMissing("Docker has no Compose plugin. Install it (docker-compose-plugin).")
    asked = ["docker", "version", "--format", "{{.Server.Version}}"]
    found = subprocess.run(asked, capture_output=True, text=True, check=False)
    if found.returncode:
        raise EngineMissing(f"Docker Engine cannot be reached. Start it, or set DOCKER_HOST. {found.stderr.strip()}")
    version = found.stdout.strip()
    if int(version.split(".")[0]) < 25:
        raise EngineMissing(f"Docker Engine is version {version}. Health checks need 25 or newer (start_interval).")


def docker(*arguments: str, **environment: str) -> str:
    """Run docker; its standard output.  Fails with what it said on standard error."""
    done = subprocess.run(
        ["docker", *arguments], cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"docker {' '.join(arguments)}: {done.stdout[-2000:]}{done.stderr[-4000:]}"
    return done.stdout


def wait_until(look: Callable[[], T], timeout_s: float) -> T:
    """The first true answer of `look`; fails after the deadline."""
    deadline = time.monotonic() + timeout_s
    while not (answer := look()):
        assert time.monotonic() < deadline, f"not within {timeout_s} s"
        time.sleep(LOOK_S)
    return answer


@dataclass(frozen=True)
class Stack:
    """One Compose project; `override` names the files of the secrets."""

    project: str
    override: Path
    api_key: str = ""

    def compose(self, *arguments: str) -> str:
        """Run docker compose on this project."""
        files = ["--file", str(ROOT / "docker-compose.yml"), "--file", str(self.override)]
        return docker(
            "compose", "--project-name", self.project, *files, *arguments, PHASEGATE_IMAGE=IMAGE, PHASEGATE_PORT="0"
        )

    def up(self, workers: int) -> None:
        """Start what does not run, and wait until everything is healthy."""
        scale = f"worker={workers}"
        self.compose("up", "--detach", "--no-build", "--wait", "--wait-timeout", "180", "--scale", scale)

    def containers(self, service: str) -> Sequence[str]:
        """Ids of a service's containers, running or not."""
        return self.compose("ps", "--all", "--quiet", service).split()

    def address(self) -> str:
        """Base URL of the API on the host."""
        return "http://" + self.compose("port", "api", "8000").strip()

    def http(self) -> httpx2.Client:
        """A client of the API; the port changes when its container starts again."""
        headers = {"Authorization": f"Bearer {self.api_key}"}
        return httpx2.Client(base_url=self.address(), headers=headers, timeout=60, trust_env=False)

    def new_key(self, *scopes: str) -> str:
        """A key, made as an operator makes one."""
        options = [option for scope in scopes for option in ("--scope", scope)]
        return self.compose(
            "exec", "--no-TTY", "api", "phasegate", "keys", "create", "--name", "tests", *options
        ).strip()


def inspect(container: str) -> dict[str, Any]:
    """What the engine says of a container."""
    (found,) = json.loads(docker("inspect", container))
    return dict(found)


def is_healthy(container: str) -> bool:
    """Whether a container runs and its health check says that it is well."""
    state = inspect(container)["State"]
    return state["Status"] == "running" and state["Health"]["Status"] == "healthy"
