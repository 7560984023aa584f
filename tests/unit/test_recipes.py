"""What holds of the recipes without running them: `make recipe-NAME` does that, in environments of their own."""

import re
import tomllib
from datetime import date
from pathlib import Path

import pytest

from examples.samples import SAMPLES
from service.estimation.spiked_model import model_separation

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
RECIPES = sorted(check.parent.name for check in EXAMPLES.glob("*/check.py"))
BASE = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]


def test_the_recipes_that_are_promised_are_there():
    assert set(RECIPES) >= {"airflow", "ci", "mlflow", "pretrain"}


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_has_a_target_a_page_and_a_date(recipe):
    assert f"\nrecipe-{recipe}: examples/{recipe}/.venv/made ## " in (ROOT / "Makefile").read_text(encoding="utf-8")
    assert f"make recipe-{recipe}" in (EXAMPLES / recipe / "README.md").read_text(encoding="utf-8")
    row = next(
        line
        for line in (EXAMPLES / "README.md").read_text(encoding="utf-8").splitlines()
        if line.startswith(f"| [{recipe}]({recipe}/README.md) | ")
    )
    ran = re.search(r"\| (\d{4}-\d\d-\d\d), \d+ s, Python 3\.\d+\.\d+ \|$", row)
    assert ran, row
    assert date.fromisoformat(ran[1]) >= date(2026, 11, 26)


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_lock_pins_by_hash_what_a_client_needs_and_names_no_index(recipe):
    lock = (EXAMPLES / recipe / "requirements.lock").read_text(encoding="utf-8")
    pins = re.findall(
        r"^([a-z0-9.-]+)(?:\[[a-z,-]+\])?==\S+ \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", lock, re.MULTILINE
    )
    assert len(pins) == len(re.findall(r"^[a-z]", lock, re.MULTILINE))
    assert {re.match(r"[a-z0-9-]+", requirement)[0] for requirement in BASE} <= {name for name, _ in pins}
    assert "://" not in lock
    assert "index-url" not in lock


def test_the_truth_of_the_samples_is_what_their_page_says():
    ratios = {name: model_separation(sample.model).separation.ca.ratio for name, sample in SAMPLES.items()}
    assert ratios["aligned"] > 2
    assert ratios["hidden"] < 0.5
    assert 0.75 < ratios["open"] < 1.33
