"""What the published procedure gives on real pairs.  Run with `make test-real DATA=folder`; see README.md."""

from __future__ import annotations

import functools
import json
import os
from pathlib import Path

import numpy as np
import pytest

from service.estimation.estimate import estimate
from service.estimation.labels import LabelType, label_columns
from service.estimation.options import Options
from service.estimation.report import Report
from service.estimation.terms import Method

PUBLISHED = json.loads((Path(__file__).parent / "real_values.json").read_text(encoding="utf-8"))
REGIMES = {"Both": "both", "CA only": "ca_only", "CP only": "cp_only", "Neither": "neither"}
QUANTITIES = {"mass"}  # the other labels are classes
CASES = [(key, figure) for key, figures in PUBLISHED.items() for figure in figures]


@functools.cache
def report_of(key: str) -> Report:
    name, label = key.split(":")
    folder = os.environ.get("PHASEGATE_REAL_DATA")
    assert folder, "PHASEGATE_REAL_DATA must name the folder with the data sets: make test-real DATA=folder"
    with np.load(Path(folder) / f"{name}.npz", allow_pickle=False) as data:
        values = data["labels"][:, data["label_names"].tolist().index(label)]
        kind = LabelType.NUMERIC if label in QUANTITIES else LabelType.CATEGORICAL
        columns = label_columns({label: values}, kind)
        return estimate(data["x"], data["y"], columns, options=Options(method=Method.REFERENCE))


@pytest.mark.parametrize(("key", "figure"), CASES, ids=["-".join(case) for case in CASES])
def test_real_value(key, figure):
    report, expected = report_of(key), PUBLISHED[key][figure]
    kind, _, place = figure.partition("_")
    match kind:
        case "delta":
            assert getattr(report.separation, place).ratio == pytest.approx(expected, rel=1e-6)
        case "regime":
            assert getattr(report.regimes, place) == REGIMES[expected]
        case "signal":
            assert getattr(report.separation, place.removeprefix("count_")).signal_count == expected
        case _:
            raise AssertionError(f"{figure} is not checked")
