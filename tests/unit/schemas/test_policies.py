"""Policies are read from JSON and YAML alike, strictly; what is wrong is told with its place."""

import json
import re
from pathlib import Path

import pytest

from service.estimation.record import as_dict, to_json
from service.gating.errors import InvalidPolicy
from service.gating.policy import OnUndetermined, Plan, Planned, Requirements, Severity
from service.gating.presets import PRESETS
from service.schemas.policies import POLICY_BYTES, read_policy

PAGE = (Path(__file__).parents[3] / "docs/gating.md").read_text(encoding="utf-8")
YAML = """\
# What the vision team asks.
schema_version: 1.0
planned:
  objective: alignment
  embedding_dim: 64
require:
  recovery_probability: {min: 0.8}
  single_modality_loss:
    max: 0
    label: "on"
    severity: warn
on_undetermined: pass
description: >
  Two lines
  of text.
"""


def refusal(text) -> str:
    with pytest.raises(InvalidPolicy) as refused:
        read_policy(text)
    assert refused.value.part == "policy"
    return refused.value.message


def test_yaml_is_read():
    policy = read_policy(YAML)
    assert (policy.schema_version, policy.planned) == ("1.0", Plan(Planned.ALIGNMENT, None, 64))
    loss = policy.require.single_modality_loss
    assert (loss.max, loss.label, loss.severity) == (0.0, "on", Severity.WARN)
    assert isinstance(loss.max, float)
    assert (policy.on_undetermined, policy.description) == (OnUndetermined.PASS, "Two lines of text.\n")


@pytest.mark.parametrize("form", [str, str.encode, lambda text: b"\xef\xbb\xbf" + text.encode(), " \n{}".format])
def test_json_says_the_same(form):
    text = to_json(read_policy(YAML))
    assert read_policy(form(text)) == read_policy(YAML)


@pytest.mark.parametrize("name", PRESETS)
def test_what_is_written_is_read_again(name):
    assert read_policy(to_json(PRESETS[name])) == PRESETS[name]


def changed(**changes) -> str:
    return json.dumps(as_dict(PRESETS["alignment"]) | changes)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (changed(plan={}), "policy.plan: "),
        (changed(planned={"objective": "align"}), "policy.planned.objective: Input should be 'alignment'"),
        (changed(planned={"objective": "any", "embedding_dim": "64"}), "policy.planned.embedding_dim: "),
        (changed(planned={"objective": "any", "embedding_dim": 64.0}), "policy.planned.embedding_dim: "),
        (changed(require={"warnings": {"none_of": "serious"}}), "policy.require.warnings.none_of: "),
        (changed(require={"warnings": {"none_of": ["few_label"]}}), "Did you mean few_labels?"),
        (changed(require={"recovery_probability": {"min": True}}), "policy.require.recovery_probability.min: "),
        (changed(require={"recovery_probability": {"min": 0.8, "minimum": 1}}), "recovery_probability.minimum: "),
        (changed(schema_version=1.0), 'Write "schema_version": "1.0".'),
        ("{}", "policy.schema_version: "),
        ('{"a": 1, "a": 2}', "says 'a' twice"),
        ('{"a": NaN}', "holds the number NaN"),
        ('{"a":', "is no JSON"),
        ("a: &x 1\nb: *x", "line 2: aliases are not read"),
        ("a: 1\na: 2", "line 2: 'a' stands twice"),
        ("<<: {a: 1}", "line 1: a name is no text"),
        ("yes: 1", "line 1: a name is no text"),
        ("a: 2026-11-26", "line 1: this is read as timestamp"),
        ("a: !!python/object:os.system x", "which JSON does not know"),
        ("a: 1\n--- \nb: 2", "line 2: "),
        ("a: .nan", "holds the number NaN"),
        ("a: " + 5000 * "9", "holds a number that cannot be read"),
        (1000 * "[", "nested more than 32 levels deep"),
        (33 * "[" + 33 * "]", "nested more than 32 levels deep"),
        ("a: [b", "line 1: "),
        ("", "is empty"),
        ("alignment", "policy: Input should be an object"),
        ("- a", "policy: Input should be an object"),
        (b"\xff\xfe", "is not UTF-8 text"),
        ("a: \x00", "cannot be read"),
        ("#" + POLICY_BYTES * " ", f"Send at most {POLICY_BYTES}"),
    ],
)  # fmt: skip
def test_anything_else_is_refused_with_its_place(text, words):
    assert words in refusal(text)


def test_what_it_is_called_stands_in_the_message():
    with pytest.raises(InvalidPolicy, match=r"^gate\.yaml, line 1: "):
        read_policy("a: [b", "gate.yaml")


def test_every_policy_of_the_documentation_is_one():
    blocks = re.findall(r"^```(?:yaml|json)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    policies = [read_policy(block) for block in blocks if re.search(r"^\W*schema_version\b", block, re.MULTILINE)]
    assert len(policies) >= 1


def test_every_rule_and_preset_is_documented():
    for name in (*Requirements.__dataclass_fields__, *PRESETS):
        assert f"`{name}" in PAGE, name
