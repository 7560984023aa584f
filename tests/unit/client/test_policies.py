"""Policies in the forms that callers have them in."""

import json
import math
from types import MappingProxyType

import numpy as np
import pytest

from service.client.policies import asked_policy, full_policy
from service.estimation.terms import Regime
from service.gating.errors import InvalidPolicy, InvalidPolicyName
from service.schemas.policies import POLICY_BYTES

TEXT = """
schema_version: "1.0"
planned: {objective: alignment}
require: {recovery_probability: {min: 0.5}}  # see docs/gate.yaml
"""


def mapping(least, **more):
    require = {"recovery_probability": {"min": least}}
    return {"schema_version": "1.0", "planned": {"objective": "alignment"}, "require": require, **more}


JSON = json.dumps(mapping(0.5))


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pol.yaml").write_text(TEXT)
    (tmp_path / "pol.JSON").write_text(JSON)
    (tmp_path / "pol").write_text(TEXT)
    (tmp_path / "alignment").write_text(TEXT)


@pytest.mark.parametrize("said", ["pol.yaml", "pol.JSON", "./pol", "./pol.yaml", TEXT, TEXT.strip(), JSON])
def test_a_slash_or_a_suffix_means_a_file_unless_the_text_is_a_policy(said):
    assert asked_policy(said) == full_policy(said) == full_policy(mapping(0.5))


@pytest.mark.parametrize("name", ["alignment", "ours", "ours@3"])
def test_anything_else_is_a_name_whatever_files_there_are(name):
    assert asked_policy(name) == name


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ("pol.yml", FileNotFoundError),
        ("no/pol", FileNotFoundError),
        ("Alignment", InvalidPolicyName),
        ("a:b", InvalidPolicyName),
        ("description: pol.yaml", InvalidPolicy),
    ],
)
def test_what_means_no_policy_is_refused(said, error):
    with pytest.raises(error):
        asked_policy(said)


@pytest.mark.parametrize("least", [np.float32(0.5), np.float64(0.5), np.float16(0.5)])
def test_numbers_of_numpy_are_numbers(least):
    assert full_policy(mapping(least)) == full_policy(mapping(0.5))
    assert full_policy(mapping(np.int64(1)))["require"]["recovery_probability"]["min"] == 1.0
    planned = {"objective": "alignment", "embedding_dim": np.int32(8)}
    assert full_policy(mapping(0.5, planned=MappingProxyType(planned)))["planned"]["embedding_dim"] == 8


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"description": np.datetime64("2026-11-26")}, "it holds a numpy.datetime64"),
        ({"require": {"regimes": {"any_of": set(Regime)}}}, "it holds a builtins.set"),
        ({"require": {"recovery_probability": {"min": np.ones(2)}}}, "it holds a numpy.ndarray"),
        ({"require": {"recovery_probability": {"min": np.longdouble(0.5)}}}, "it holds a numpy.longdouble"),
        ({"require": {("recovery_probability", "min"): 0.5}}, "keys must be str"),
        ({"require": {"recovery_probability": {"min": math.nan}}}, "."),
    ],
)
def test_a_mapping_that_is_no_document_is_an_invalid_policy(wrong, words):
    with pytest.raises(InvalidPolicy, match=words) as refused:
        full_policy(mapping(0.5, **wrong))
    assert str(refused.value).endswith(".")


def test_a_mapping_that_holds_itself_is_an_invalid_policy():
    endless = mapping(0.5)
    endless["require"]["recovery_probability"] = endless
    with pytest.raises(InvalidPolicy, match="Circular reference"):
        full_policy(endless)


def test_of_a_file_without_end_no_more_is_read_than_a_policy_may_have():
    with pytest.raises(InvalidPolicy, match=f"zero has more than {POLICY_BYTES} bytes"):
        asked_policy("/dev/zero")
