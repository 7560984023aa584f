"""Estimation in this process: the policies that are known here, time limits, and the checks of an upload."""

import threading

import numpy as np
import pytest

from service.analyses.errors import AnalysisError
from service.estimation.errors import EstimationError
from service.gating.presets import PRESETS
from service.in_process import KnownPolicy, estimate_files, known_policy, within
from service.remote.choices import choice_of
from service.remote.commands import Upload
from service.remote.endings import Ended
from tests.e2e.samples import Sample


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_a_preset_is_known_with_its_version(name):
    expected = KnownPolicy(PRESETS[name], name, 1)
    assert known_policy(choice_of(name)) == known_policy(choice_of(f"{name}@1")) == expected


@pytest.mark.parametrize("text", ["ours", "ours@3", "alignment@7"])
def test_what_only_a_service_can_know_is_not_known_here(text):
    with pytest.raises(Ended, match="presets are alignment, prediction, any-crossmodal"):
        known_policy(choice_of(text))


def test_work_gives_its_result_and_its_stages_in_order():
    shown = []

    def work(progress):
        for stage in ("one", "two"):
            progress(stage, 0.5)
        return 7

    assert within(60.0, lambda *news: shown.append(news), work) == 7
    assert shown == [("one", 0.5), ("two", 0.5)]


def test_what_the_work_raises_is_raised():
    def work(progress):
        raise MemoryError("of the work")

    with pytest.raises(MemoryError, match="of the work"):
        within(60.0, lambda *news: None, work)


def test_work_that_takes_too_long_is_given_up():
    over = threading.Event()
    try:
        with pytest.raises(TimeoutError, match=r"longer than 0.05 s and is given up. Give it longer with --timeout"):
            within(0.05, lambda *news: None, lambda progress: over.wait())
    finally:
        over.set()


@pytest.fixture
def upload(tmp_path):
    """An upload of files, some of them changed."""
    sample = Sample(seed=3)

    def make(options='{"method": "reference"}', **changed):
        parts = {"x": sample.x, "y": sample.y, "rows": sample.rows} | changed
        paths = {}
        for part, values in parts.items():
            if values is not None:
                paths[part] = tmp_path / f"{part}.npy"
                np.save(paths[part], values)
        (tmp_path / "labels.csv").write_bytes(sample.labels_csv())
        return Upload(labels=tmp_path / "labels.csv", options=options, **paths)

    return make


def test_every_part_counts(upload):
    groups, covariates = np.arange(120) // 2, np.linspace(0.0, 1.0, 120)
    report = estimate_files(upload(groups=groups, covariates=covariates), lambda *news: None)
    assert (report.data.n_labeled, report.data.n_groups) == (60, 60)
    assert [covariate.name for covariate in report.data.covariates] == ["covariate_0"]
    assert (report.data.n_features_x, report.data.n_features_y) == (6, 8)


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"x": np.ones((119, 6))}, "unpaired_rows"),
        ({"x": np.ones(120)}, "wrong_shape"),
        ({"rows": None}, "label_count_mismatch"),
        ({"rows": np.zeros(60, dtype=int)}, "label_row_repeated"),
        ({"groups": np.arange(119)}, "group_count_mismatch"),
        ({"groups": np.zeros(120, dtype=int)}, "too_few_groups"),
        ({"covariates": np.ones(119)}, "covariate_count_mismatch"),
        ({"options": '{"covariate_types": "numeric"}'}, "invalid_option"),
        ({"options": '{"alpha": 7.0}'}, "invalid_option"),
        ({"options": '{"label_types": {"none": "numeric"}}'}, "label_names"),
    ],
)
def test_what_an_upload_is_refused_for_is_refused_here(upload, changed, code):
    with pytest.raises((EstimationError, AnalysisError)) as refusal:
        estimate_files(upload(**changed), lambda *news: None)
    assert refusal.value.code == code
