import dataclasses
import json
import math
from functools import cache

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from service.estimation import data_records, rehearsal_records, report, separation_records, spectrum_records
from service.estimation.covariates import covariate_columns
from service.estimation.estimate import estimate
from service.estimation.labels import label_columns
from service.estimation.options import Options
from service.estimation.record import Record, as_dict, to_json, wire_name
from service.estimation.report import Report
from service.estimation.terms import Method, Rule

from .samples import paired

pytestmark = pytest.mark.usefixtures("one_chain")

X, Y, LABELS = paired(n=40)
ADAPTER = TypeAdapter(Report)


def typical(options):
    return estimate(X, Y, label_columns(LABELS), options=options)


def without_signal(options):
    """Nothing predicts the label, so every ratio is missing."""
    rng = np.random.default_rng(1)
    fold = np.empty(40)
    order = np.arange(40)
    np.random.RandomState(42).shuffle(order)
    fold[order] = np.repeat(np.arange(5.0), 8)
    return estimate(rng.standard_normal((40, 3)), rng.standard_normal((40, 2)), label_columns(fold), options=options)


def without_nuisance(options):
    """One component in every spectrum, and the labels are that component."""
    return estimate(X[:, :1], X[:, :1] * [[2.0]] + 1, label_columns(X[:, 0]), options=options)


def with_odd_names(options):
    labels = {"classe é": np.resize(["a\\", '"b"', "ü"], 40), "constant": np.zeros(40)}
    chosen = dataclasses.replace(options, rule=Rule.PERMUTATION, n_components=2, embedding_dim=3)
    return estimate(X, Y, label_columns(labels), options=chosen)


def with_groups_and_covariates(options):
    covariates = covariate_columns({"site": np.resize(["ü", "", "b"], 40), "depth": np.resize([np.nan, 1.5], 40)})
    return estimate(X, Y, label_columns(LABELS), options=options, groups=np.arange(40) // 2, covariates=covariates)


KINDS = [typical, without_signal, without_nuisance, with_odd_names, with_groups_and_covariates]
EVERY_METHOD = pytest.mark.parametrize("method", list(Method))


@cache
def report_of(kind, method):
    return kind(Options(method=method))


def leaves(value):
    if isinstance(value, dict):
        return [leaf for part in value.values() for leaf in leaves(part)]
    return [leaf for part in value for leaf in leaves(part)] if isinstance(value, list) else [value]


@EVERY_METHOD
@pytest.mark.parametrize("kind", KINDS)
class TestWire:
    def test_reads_back_equal(self, kind, method):
        found = report_of(kind, method)
        assert ADAPTER.validate_json(to_json(found)) == found
        assert ADAPTER.validate_python(json.loads(to_json(found))) == found

    def test_every_value_is_a_finite_json_type(self, kind, method):
        for value in leaves(as_dict(report_of(kind, method))):
            assert value is None or isinstance(value, bool | int | float | str)
            assert not isinstance(value, np.generic)
            assert not isinstance(value, float) or math.isfinite(value)

    def test_text_is_that_of_the_dict(self, kind, method):
        found = report_of(kind, method)
        assert json.loads(to_json(found)) == as_dict(found)

    def test_same_as_pydantic_writes(self, kind, method):
        found = report_of(kind, method)
        assert ADAPTER.dump_python(found, mode="json", by_alias=True) == as_dict(found)


@EVERY_METHOD
def test_cases_are_what_they_are_named(method):
    statuses = {kind: {s.status for s in vars(report_of(kind, method).separation).values()} for kind in KINDS}
    assert statuses[without_signal] == {"no_signal"}
    assert statuses[without_nuisance] == {"no_nuisance"}
    assert statuses[typical] == {"ok"}


def test_nan_cannot_be_written():
    broken = dataclasses.replace(report_of(typical, Method.REFERENCE).spectra.ca[0], singular_value=math.nan)
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_json(broken)


def test_class_is_class_on_the_wire():
    assert wire_name("class_") == "class"
    assert "class" in as_dict(report_of(typical, Method.REFERENCE))["spectra"]["ca"][0]


def test_unknown_fields_are_refused():
    with pytest.raises(ValidationError, match="surprise"):
        ADAPTER.validate_python(as_dict(report_of(typical, Method.REFERENCE)) | {"surprise": 1})


PARTS = (report, data_records, rehearsal_records, separation_records, spectrum_records)
RECORDS = {
    value
    for part in PARTS
    for value in vars(part).values()
    if isinstance(value, type) and issubclass(value, Record) and value is not Record
}


@pytest.mark.parametrize(
    "record", sorted(RECORDS, key=lambda record: record.__name__), ids=lambda record: record.__name__
)
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
        report_of(typical, Method.REFERENCE).regime = "both"
