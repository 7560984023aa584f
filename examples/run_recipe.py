"""Run a recipe in its own environment against a live service, and say how that went.

python -m examples.run_recipe NAME [--record]: starts the service on a free loopback port with an empty data directory,
writes the samples, runs examples/NAME/check.py with the recipe's own Python, and stops the service.  The recipe learns
where both are from PHASEGATE_URL and PHASEGATE_SAMPLES.  With --record, examples/README.md says when it last ran.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from examples.samples import write_samples
from service.demo import running_service

EXAMPLES = Path(__file__).parent
README = EXAMPLES / "README.md"
SETTINGS = {
    "PHASEGATE_WORKERS": "1",  # so that a recipe can keep the queue waiting with one analysis
    "PHASEGATE_RATE_PER_MINUTE": "0",
}


def main() -> int:
    """Run one recipe; returns the exit code of its check."""
    parser = argparse.ArgumentParser(description="Run a recipe against a live service.")
    parser.add_argument("recipe", choices=sorted(check.parent.name for check in EXAMPLES.glob("*/check.py")))
    parser.add_argument("--record", action="store_true", help="write into examples/README.md when it ran")
    asked = parser.parse_args()
    python = EXAMPLES / asked.recipe / ".venv" / "bin" / "python"
    if not python.exists():
        print(f"{asked.recipe} has no environment yet. Make it and run the recipe: make recipe-{asked.recipe}")
        return 2
    started = time.monotonic()
    code = run_check(asked.recipe, python)
    took_s = time.monotonic() - started
    if code:
        print(f"{asked.recipe}: failed with exit code {code} after {took_s:.0f} s.")
        return code
    version = subprocess.run([python, "--version"], check=True, capture_output=True, text=True).stdout.strip()
    ran = f"{datetime.now(UTC):%Y-%m-%d}, {took_s:.0f} s, {version}"
    print(f"{asked.recipe}: {ran}")
    if asked.record:
        record(asked.recipe, ran)
    return 0


def run_check(recipe: str, python: Path) -> int:
    """Run the recipe's check against a service of its own; returns its exit code."""
    with tempfile.TemporaryDirectory(prefix=f"phasegate-{recipe}-") as folder:
        samples = Path(folder) / "samples"
        write_samples(samples)
        with running_service(Path(folder) / "data", Console(stderr=True), SETTINGS) as address:
            environment = {name: value for name, value in os.environ.items() if not name.startswith("PHASEGATE_")}
            environment |= {
                "PHASEGATE_URL": address,
                "PHASEGATE_SAMPLES": str(samples),
                "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",
            }
            check = EXAMPLES / recipe / "check.py"
            return subprocess.run([python, check], env=environment, cwd=folder, check=False).returncode


def record(recipe: str, ran: str) -> None:
    """Put when a recipe last ran into the last column of its row of the README's table."""
    lines = README.read_text(encoding="utf-8").splitlines()
    row = next(place for place, line in enumerate(lines) if line.startswith(f"| [{recipe}]"))
    lines[row] = f"{lines[row].rstrip(' |').rpartition('|')[0].rstrip()} | {ran} |"
    README.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
