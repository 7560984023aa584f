import dataclasses
import json
import math

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from service.estimation import report as report_module
from service.estimation.covariates import covariate_columns
from service.estimation.estimate import estimate
from service.estimation.labels import label_columns
from service.estimation.options import Options
from service.estimation.record import Record, as_dict, to_json, wire_name
from service.estimation.report import Report
from service.estimation.terms import Rule

from .samples import paired

X, Y, LABELS = paired(n=40)
ADAPTER = TypeAdapter(Report)


def typical():
    return estimate(X, Y, label_columns(LABELS))


def without_signal():
    """Nothing predicts the label, so every ratio is missing."""
    rng = np.random.default_rng(1)
    fold = np.empty(40)
    order = np.arange(40)
    np.random.RandomState(42).shuffle(order)
    fold[order] = np.repeat(np.arange(5.0), 8)
    return estimate(rng.standard_normal((40, 3)), rng.standard_normal((40, 2)), label_columns(fold))


def without_nuisance():
    """One component in every spectrum, and the labels are that component."""
    return estimate(X[:, :1], X[:, :1] * [[2.0]] + 1, label_columns(X[:, 0]))


def with_odd_names():
    labels = {"classe é": np.resize(["a\n", '"b"', "ü"], 40), "constant": np.zeros(40)}
    return estimate(X, Y, label_columns(labels), options=Options(rule=Rule.PERMUTATION, n_components=2))


def with_groups_and_covariates():
    covariates = covariate_columns({"site": np.resize(["ü", "", "b"], 40), "depth": np.resize([np.nan, 1.5], 40)})
    return estimate(X, Y, label_columns(LABELS), groups=np.arange(40) // 2, covariates=covariates)


KINDS = [typical, without_signal, without_nuisance, with_odd_names, with_groups_and_covariates]


def leaves(value):
    if isinstance(value, dict):
        return [leaf for part in value.values() for leaf in leaves(part)]
    return [leaf for part in value for leaf in leaves(part)] if isinstance(value, list) else [value]


@pytest.mark.parametrize("kind", KINDS)
class TestWire:
    def test_reads_back_equal(self, kind):
        report = kind()
        assert ADAPTER.validate_json(to_json(report)) == report
        assert ADAPTER.validate_python(json.loads(to_json(report))) == report

    def test_every_value_is_a_finite_json_type(self, kind):
        for value in leaves(as_dict(kind())):
            assert value is None or isinstance(value, bool | int | float | str)
            assert not isinstance(value, np.generic)
            assert not isinstance(value, float) or math.isfinite(value)

    def test_text_is_that_of_the_dict(self, kind):
        report = kind()
        assert json.loads(to_json(report)) == as_dict(report)

    def test_same_as_pydantic_writes(self, kind):
        report = kind()
        assert ADAPTER.dump_python(report, mode="json", by_alias=True) == as_dict(report)


def test_cases_are_what_they_are_named():
    assert {s.status for s in vars(without_signal().separation).values()} == {"no_signal"}
    assert {s.status for s in vars(without_nuisance().separation).values()} == {"no_nuisance"}
    assert typical().separation.ca.status == "ok"


def test_nan_cannot_be_written():
    broken = dataclasses.replace(typical().spectra.ca[0], singular_value=math.nan)
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_json(broken)


def test_class_is_class_on_the_wire():
    assert wire_name("class_") == "class"
    assert "class" in as_dict(typical())["spectra"]["ca"][0]


def test_unknown_fields_are_refused():
    with pytest.raises(ValidationError, match="surprise"):
        ADAPTER.validate_python(as_dict(typical()) | {"surprise": 1})


RECORDS = [
    value
    for value in vars(report_module).values()
    if isinstance(value, type) and issubclass(value, Record) and value is not Record
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.__name__)
def test_every_record_is_frozen_and_documented(record):
    assert record.__dataclass_params__.frozen
    schema = TypeAdapter(record).json_schema()
    assert schema["description"]
    for name, field in schema["properties"].items():
        assert field.get("description"), name
        assert field["description"].endswith("."), name


def test_every_record_appears_in_the_schema_of_the_report():
    named = set(ADAPTER.json_schema()["$defs"])
    assert {record.__name__ for record in RECORDS} - {"Report"} <= named


def test_a_report_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        typical().regime = "both"
