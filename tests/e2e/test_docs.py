"""The examples of docs/python.md run."""

import re
from pathlib import Path

PAGE = (Path(__file__).parents[2] / "docs/python.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"<!-- example -->\n```python\n(.*?)```", PAGE, re.DOTALL)


def test_the_examples_of_the_page_run_one_after_the_other(running, monkeypatch, capsys):
    monkeypatch.setenv("PHASEGATE_URL", running.address)
    assert len(EXAMPLES) == 2
    names: dict[str, object] = {}
    for example in EXAMPLES:
        exec(compile(example, "docs/python.md", "exec"), names)
    said = capsys.readouterr().out
    assert "succeeded" in said
    assert said.split()[-1] in ("pass", "fail", "abstain")
    assert names["triage"].decision.summary in said
