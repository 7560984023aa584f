"""Which policy a text means: never what happens to lie in the working directory."""

import json

import pytest

from service.gating.errors import InvalidPolicy, InvalidPolicyName
from service.gating.presets import PRESETS
from service.gating.references import Reference
from service.remote.choices import choice_of

POLICY = {
    "schema_version": "1.0",
    "planned": {"objective": "alignment"},
    "require": {"regimes": {"any_of": ["both", "ca_only"]}},
}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "alignment").write_text("not a policy")
    (tmp_path / "gate.yaml").write_text(
        "schema_version: '1.0'\nplanned: {objective: alignment}\nrequire:\n  regimes: {any_of: [both, ca_only]}\n"
    )
    (tmp_path / "gate.JSON").write_text(json.dumps(POLICY))
    (tmp_path / "policy").write_text(json.dumps(POLICY))


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_a_preset_is_meant_whatever_files_there_are(name):
    choice = choice_of(name)
    assert (choice.label, choice.reference, choice.policy) == (name, Reference(name), None)


@pytest.mark.parametrize("text", ["gate.yaml", "gate.JSON", "./policy", "./gate.yaml"])
def test_a_slash_or_a_suffix_means_a_file(text):
    choice = choice_of(text)
    assert (choice.reference, choice.label) == (None, text.removeprefix("./"))
    assert choice.policy == choice_of("gate.yaml").policy
    assert [regime.value for regime in choice.policy.require.regimes.any_of] == ["both", "ca_only"]


def test_a_stored_policy_is_named_with_or_without_a_version():
    assert choice_of("ours@3").reference == Reference("ours", 3)
    assert choice_of("ours").reference == Reference("ours")


@pytest.mark.parametrize(
    ("text", "error"),
    [("", InvalidPolicyName), ("No such", InvalidPolicyName), ("none.json", OSError), ("./", OSError)],
)
def test_what_means_no_policy_is_refused(text, error):
    with pytest.raises(error):
        choice_of(text)


def test_a_file_that_is_no_policy_is_named_in_the_message(tmp_path):
    (tmp_path / "bad.yaml").write_text("planned: 3\n")
    with pytest.raises(InvalidPolicy, match=r"bad\.yaml"):
        choice_of("bad.yaml")
