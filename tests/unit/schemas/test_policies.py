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


WITH_MINIMUM = """\
schema_version: 1.0
planned:
  objective: alignment
require:
  recovery_probability: {{min: {}}}
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
        ("1: 1", "line 1: a name is no text"),
        ("true: 1", "line 1: a name is no text"),
        ("null: 1", "line 1: a name is no text"),
        ("a: !!timestamp 2026-11-26", "line 1: this is read as timestamp"),
        ("a: !!int 0x1", "line 1: this is not written as JSON writes it"),
        ("a: !!bool on", "line 1: this is not written as JSON writes it"),
        ("a: !!float [1]", "line 1: this is not written as JSON writes it"),
        ("a: !!python/object:os.system x", "which JSON does not know"),
        ("a: 1\n--- \nb: 2", "line 2: "),
        ("a: 1e999", "holds the number Infinity"),
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


@pytest.mark.parametrize("name", ["<<", "yes", "0x1", "~"])
def test_a_name_that_json_would_know_for_text_is_text(name):
    assert f"policy.{name}: " in refusal(WITH_MINIMUM.format("0.8") + f"{name}: {{a: 1}}\n")


@pytest.mark.parametrize(
    ("written", "advice"),
    [
        (".8", "'.8' is text. Write it as JSON writes numbers, without quotes: 0.8."),
        ("'0.8'", "'0.8' is text. Write it as JSON writes numbers, without quotes: 0.8."),
        ("+8e-1", "without quotes: 0.8."),
        ("01", "without quotes: 1."),
        ("1.", "without quotes: 1."),
        ("1_0", "'1_0' is text. Write it as JSON writes numbers, without quotes, such as 8 or 0.8."),
        ("0x1", "such as 8 or 0.8"),
        ("0:30", "such as 8 or 0.8"),
        (".inf", "such as 8 or 0.8"),
        ("'1e9999'", "such as 8 or 0.8"),
        ("on", "'on' is text"),
        ("true", "Input should be a valid number. "),
        ("~", "'~' is text"),
    ],
)
def test_a_number_that_json_would_not_write_so_is_text_and_that_is_said(written, advice):
    message = refusal(WITH_MINIMUM.format(written))
    assert message.startswith("policy.require.recovery_probability.min: Input should be a valid number")
    assert advice in message


@pytest.mark.parametrize(
    ("written", "value"), [("0.8", 0.8), ("8e-1", 0.8), ("80E-2", 0.8), ("1", 1.0), ("5e-2", 0.05), ("1.0e+0", 1.0)]
)
def test_a_number_that_json_would_write_so_is_one(written, value):
    found = read_policy(WITH_MINIMUM.format(written)).require.recovery_probability.min
    assert (found, type(found)) == (value, float)


@pytest.mark.parametrize("written", ["on", "yes", "1_0", "0x1", "1:30", "~", "2026-11-26", "True", "NULL", "00"])
def test_a_word_that_json_does_not_know_is_text_without_quotes(written):
    said = WITH_MINIMUM.format("0.8") + f"  rehearsed_score: {{min: 0.5, label: {written}}}\ndescription: {written}\n"
    policy = read_policy(said)
    assert (policy.require.rehearsed_score.label, policy.description) == (written, written)


def test_what_is_left_out_in_yaml_is_null():
    said = WITH_MINIMUM.format("0.8").replace("alignment", "prediction\n  direction:\n  embedding_dim: null")
    assert read_policy(said).planned == Plan(Planned.PREDICTION)


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
