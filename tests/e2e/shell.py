"""A shell in which commands are given as a user gives them."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Shell:
    """A shell in the folder of the upload, which may know where the service is."""

    folder: Path
    address: str | None

    def environment(self, **more: str) -> dict[str, str]:
        plain = {name: value for name, value in os.environ.items() if not name.startswith("PHASEGATE_")}
        return plain | ({"PHASEGATE_URL": self.address} if self.address else {}) | more

    def __call__(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command(*arguments),
            cwd=self.folder,
            env=self.environment(**environment),
            capture_output=True,
            text=True,
            timeout=60,
        )


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "service.cli", *arguments]


def refused(result: subprocess.CompletedProcess[str], exit_code: int) -> str:
    """The one line on standard error of a command that ended with this code and printed nothing."""
    assert (result.returncode, result.stdout) == (exit_code, ""), result.stderr
    assert result.stderr.startswith("phasegate: ")
    assert result.stderr.count("\n") == 1
    return result.stderr
