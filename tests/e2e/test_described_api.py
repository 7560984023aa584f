"""The running service against its own description, request by generated request, good and bad ones.

A short, seeded form; `make fuzz` runs a long one: PHASEGATE_FUZZ_EXAMPLES says how many requests each call gets,
PHASEGATE_FUZZ_SEED which ones.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SEED = os.environ.get("PHASEGATE_FUZZ_SEED", "1")
EXAMPLES = int(os.environ.get("PHASEGATE_FUZZ_EXAMPLES", "4"))
IMPATIENT = {
    "PHASEGATE_MAX_WAIT_S": "0.2",
    "PHASEGATE_MAX_UPLOAD_BYTES": "2000000",
    "PHASEGATE_RATE_PER_MINUTE": "0",  # refusals for their number would hide all others
    "PHASEGATE_LOG_LEVEL": "ERROR",
}


@pytest.mark.timeout(0 if "PHASEGATE_FUZZ_EXAMPLES" in os.environ else 300)
def test_every_answer_is_one_that_the_description_has(own, tmp_path):
    running = own("--workers", "1", **IMPATIENT)
    command = [sys.executable, "-m", "schemathesis.cli", "--no-color", "run", f"{running.address}/openapi.json"]
    command += ["--checks", "all", "--seed", SEED, "--max-examples", str(EXAMPLES), "--continue-on-failure"]
    ended = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "SCHEMATHESIS_HOOKS": "tests.e2e.described_api_hooks"},
        capture_output=True,
        text=True,
    )
    found = re.search(r"(\d+) generated.*", ended.stdout)
    seconds = re.search(r"in ([0-9.]+)s =+\s*$", ended.stdout)
    sys.stdout.write(
        f"described API: {found[0] if found else '?'} in {seconds[1] if seconds else '?'} s, seed {SEED}\n"
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert found is not None
    assert int(found[1]) > 500, "most requests were never made"
    assert running.received() == []
