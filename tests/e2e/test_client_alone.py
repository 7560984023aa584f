"""The package `phasegate` where nothing is installed but what the client needs."""

import json
import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, packages_distributions, requires

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

SERVER_MODULES = (
    "api",
    "worker",
    "storage",
    "wiring",
    "settings",
    "serving",
    "remote",
    "cli",
    "demo",
    "logs",
    "figures",
)
DURING_A_TRIAGE = """
import json, sys
from importlib.abc import MetaPathFinder

blocked = set(json.loads(sys.argv[1]))

class Absent(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in blocked:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())

import numpy as np
from phasegate import Phasegate

rng = np.random.default_rng(0)
shared = rng.standard_normal((60, 2))
x, y = shared @ rng.standard_normal((2, 5)), shared @ rng.standard_normal((2, 4))
x, y = x + rng.standard_normal(x.shape), y + rng.standard_normal(y.shape)
with Phasegate() as client:
    labels, options = {"score": shared[:, 0]}, {"method": "reference"}
    triage = client.triage(x, y, labels, policy="alignment", options=options, timeout_s=60)
print(json.dumps({"regime": triage.report.regime, "decision": triage.decision.decision, "loaded": sorted(sys.modules)}))
"""


def installed_with(package, extras=frozenset()):
    """Names of all distributions that a package brings."""
    found = {canonicalize_name(package)}
    try:
        needed = [Requirement(text) for text in requires(package) or ()]
    except PackageNotFoundError:
        return set()  # for another system or another version of Python
    for need in needed:
        if need.marker is None or any(need.marker.evaluate({"extra": extra}) for extra in extras or {""}):
            found |= installed_with(need.name, frozenset(need.extras))
    return found


@pytest.fixture(scope="module")
def absent():
    """Modules that are not there where the base requirements alone are installed."""
    present = installed_with("phasegate")
    assert {"numpy", "httpx2", "pydantic"} <= present
    modules = packages_distributions()
    owned = {name: {canonicalize_name(owner) for owner in owners} for name, owners in modules.items()}
    absent = [name for name, owners in owned.items() if not owners & (present | {"setuptools", "pip"})]
    assert {"fastapi", "scipy", "sklearn", "redis", "pandas", "pyarrow", "starlette", "arro3"} <= set(absent)
    return absent


def test_the_client_works_where_the_base_requirements_alone_are_installed(running, absent):
    command = [sys.executable, "-c", DURING_A_TRIAGE, json.dumps(absent)]
    environment = {**os.environ, "PHASEGATE_URL": running.address}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stderr) == (0, "")
    answer = json.loads(done.stdout)
    assert answer["regime"] in ("both", "ca_only", "cp_only", "neither")
    assert answer["decision"] in ("pass", "fail", "abstain")
    loaded = set(answer["loaded"])
    assert loaded & {f"service.{name}" for name in SERVER_MODULES} == set()
    assert loaded & set(absent) == set()
