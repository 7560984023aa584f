"""What docs/ says of the code is still so: warnings, equations, sections, constants, and the example."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

from service.estimation import calibration, warnings
from service.estimation.posterior import chain, membership
from service.estimation.warning_codes import ORDER

ROOT = Path(__file__).parents[2]
DERIVATION = (ROOT / "docs/calibrated.md").read_text(encoding="utf-8")
PREPARING = (ROOT / "docs/preparing-data.md").read_text(encoding="utf-8")
CORE = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "service/estimation").rglob("*.py")}


def explained_codes():
    """Codes in the first column of the tables of warnings."""
    cells = re.findall(r"^\| (`[a-z_]+`(?:, `[a-z_]+`)*) \| ", PREPARING, re.MULTILINE)
    return {code for cell in cells for code in re.findall(r"[a-z_]+", cell)}


def test_every_warning_is_explained():
    of_reports = set(re.findall(r'ReportWarning\(\s*"([a-z_]+)"', inspect.getsource(warnings)))
    assert len(of_reports) > 10
    assert set(ORDER) | of_reports <= explained_codes()


def test_every_equation_that_the_core_cites_is_derived():
    cited = {number for text in CORE.values() for number in re.findall(r"eq\. (\d+)", text)}
    assert cited >= {"2", "3", "4", "6"}
    assert cited <= set(re.findall(r"\(eq\. (\d+)\)$", DERIVATION, re.MULTILINE))


def test_every_section_that_is_cited_exists():
    cited = {number for text in CORE.values() for number in re.findall(r"docs/calibrated\.md, section (\d+)", text)}
    assert cited
    assert cited <= set(re.findall(r"^## (\d+)\. ", DERIVATION, re.MULTILINE))


@pytest.mark.parametrize("anchor", re.findall(r"calibrated\.md#([a-z0-9-]+)", PREPARING))
def test_every_link_into_the_derivation_leads_somewhere(anchor):
    headings = re.findall(r"^## (.*)$", DERIVATION, re.MULTILINE)
    assert anchor in {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_constants_of_the_derivation_are_those_of_the_code():
    general = f"1 + {calibration.GENERAL} + {calibration.GENERAL_CROWDING} c + {calibration.GENERAL_ONE_TARGET}"
    for said in (
        f"(q + {calibration.SMOOTHING})^{{1/T}}",
        f"T = 1 + {calibration.SPIKED_CROWDING} c",
        f"T = {general} [one target]",
        f"{calibration.WIDENING} T h + {calibration.MARGIN} / sqrt(n)",
        f"e^{{-{membership.SIZE_RATE} k}}",
        f"Beta({membership.STRONG_ODDS}, {membership.WEAK_ODDS})",
        f"inverse gamma({chain.SPREAD_SHAPE:g}, {chain.SPREAD_SCALE})",
    ):
        assert said in DERIVATION


def test_the_example_prints_what_the_page_shows(tmp_path):
    commands, shown = re.search(
        r"<!-- example -->\n```bash\n(.*?)```\n\n```console\n(.*?)```", PREPARING, re.DOTALL
    ).groups()
    binaries = Path(sys.executable).parent
    done = subprocess.run(
        ["/bin/bash", "-euc", commands],
        cwd=tmp_path,
        env={"PATH": f"{binaries}:/usr/bin:/bin", "COLUMNS": "80", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert [line.rstrip() for line in done.stdout.splitlines()] == shown.splitlines()
