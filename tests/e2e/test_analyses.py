"""Analyses over HTTP, against the whole service."""

import hashlib
import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from service.client import AnalysisFailed, Phasegate, ProblemReceived
from service.estimation.covariates import covariate_columns
from service.estimation.estimate import estimate
from service.estimation.labels import LabelType, label_columns
from service.estimation.options import Options
from service.estimation.record import as_dict
from service.estimation.terms import Method, Missing
from service.schemas.analyses import REPORT
from service.schemas.options import SubmittedOptions
from tests.e2e.samples import Sample, npy

WAIT = {"Prefer": "wait=30"}


def in_process(sample: Sample, method: Method = Method.CALIBRATED) -> dict:
    """The core's own report, with as many BLAS threads as a worker has."""
    columns = label_columns({"kind": sample.kind, "score": sample.score})
    with threadpool_limits(1):
        return as_dict(estimate(sample.x, sample.y, columns, sample.rows, Options(method=method)))


# The published procedure is quick: it is asked for where a test is about the service and not about the default method.
PUBLISHED = json.dumps({"method": "reference"})


def reproducible(report: dict) -> str:
    """All of a report but its timings, every digit of it."""
    return json.dumps({name: value for name, value in report.items() if name != "timings"}, sort_keys=True)


def finished(http, location: str, timeout_s: float = 60) -> dict:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        analysis = http.get(location).json()
        if analysis["state"] not in ("queued", "running"):
            return analysis
        time.sleep(0.05)
    raise AssertionError(f"{analysis} after {timeout_s} s")


def test_an_upload_is_accepted_run_and_reported(http):
    sample = Sample()
    accepted = http.post("/v1/analyses", files=sample.files(), data={"reuse": "false"})
    assert accepted.status_code == 202
    assert accepted.headers["location"] == accepted.json()["links"]["self"]
    assert int(accepted.headers["retry-after"]) >= 1
    analysis = finished(http, accepted.headers["location"])
    assert analysis["state"] == "succeeded"
    assert analysis["progress"] == {"stage": "done", "fraction": 1.0}
    assert analysis["submitted_at"] <= analysis["started_at"] <= analysis["finished_at"]
    assert analysis["label_types"] == {"kind": "categorical", "score": "numeric"}
    assert analysis["inputs"]["x"]["shape"] == [120, 6]
    assert analysis["error"] is None
    report = http.get(analysis["links"]["report"])
    assert report.status_code == 200
    assert reproducible(report.json()) == reproducible(in_process(sample))


def test_twenty_at_once_end_with_the_cores_own_reports_bit_for_bit(http):
    samples = [Sample(seed=seed, n=100 + 7 * seed) for seed in range(20)]

    def method(sample: Sample) -> Method:
        return Method.REFERENCE if sample.seed % 7 else Method.CALIBRATED

    def submit(sample: Sample) -> str:
        options = json.dumps({"method": method(sample)})
        sent = {"options": options, "reuse": "false"}
        answer = http.post("/v1/analyses", files=sample.files(), data=sent)
        assert answer.status_code == 202, answer.text
        return answer.headers["location"]

    with ThreadPoolExecutor(20) as pool:
        locations = list(pool.map(submit, samples))
    assert len(set(locations)) == 20
    for sample, location in zip(samples, locations, strict=True):
        assert finished(http, location)["state"] == "succeeded"
        assert reproducible(http.get(f"{location}/report").json()) == reproducible(in_process(sample, method(sample)))


def test_digests_are_those_that_sha256sum_gives(http):
    answer = http.post("/v1/analyses", files=Sample().files(), data={"options": PUBLISHED}, headers=WAIT).json()
    report = http.get(answer["links"]["report"]).json()
    assert report["provenance"]["digests"]["x"] == answer["inputs"]["x"]["sha256"]
    assert report["provenance"]["digests"]["y"] == answer["inputs"]["y"]["sha256"]


def test_prefer_wait_answers_with_the_finished_analysis(http):
    answer = http.post("/v1/analyses", files=Sample().files(), data={"options": PUBLISHED}, headers=WAIT)
    assert answer.status_code == 200
    assert answer.json()["state"] == "succeeded"
    assert answer.headers["preference-applied"] == "wait=30"
    assert "retry-after" not in answer.headers


@pytest.mark.parametrize("prefer", ["wait=0", "respond-async, wait=0"])
def test_a_wait_that_runs_out_answers_202(http, prefer):
    # A thousand-feature problem takes longer than no time at all.
    rng = np.random.default_rng(1)
    wide = npy(rng.standard_normal((400, 600)))
    sample = Sample()
    files = sample.files(x=wide, y=wide, labels=b"v\n" + b"\n".join(b"%d.5" % i for i in range(400)), rows=None)
    answer = http.post("/v1/analyses", files=files, data={"reuse": "false"}, headers={"Prefer": prefer})
    assert answer.status_code == 202
    assert answer.headers["preference-applied"] == "wait=0"
    early = http.get(answer.json()["links"]["report"])
    assert (early.status_code, early.json()["code"]) == (409, "report_not_ready")
    assert early.headers["retry-after"]
    assert finished(http, answer.headers["location"])["state"] == "succeeded"


@pytest.mark.parametrize(
    ("labels", "rows"),
    [
        ("labels.npy", "rows.npy"),
        ("labels.npy", "rows.csv"),
    ],
)
def test_labels_and_rows_may_be_arrays_or_tables(http, labels, rows):
    sample = Sample()
    files = sample.files(
        labels=npy(sample.score),
        rows=npy(sample.rows) if rows.endswith("npy") else b"row\n" + b"\n".join(b"%d" % row for row in sample.rows),
    )
    answer = http.post("/v1/analyses", files=files, data={"options": PUBLISHED}, headers=WAIT).json()
    report = http.get(answer["links"]["report"]).json()
    options = Options(method=Method.REFERENCE)
    with threadpool_limits(1):
        expected = estimate(sample.x, sample.y, label_columns(sample.score), sample.rows, options)
    assert reproducible(report) == reproducible(as_dict(expected))


def test_labels_for_all_rows_need_no_rows(http):
    sample = Sample(m=120)
    files = sample.files(rows=None)
    answer = http.post("/v1/analyses", files=files, data={"options": PUBLISHED}, headers=WAIT).json()
    assert http.get(answer["links"]["report"]).json()["data"]["n_labeled"] == 120


def test_integers_need_a_type_and_take_it(http):
    sample = Sample()
    files = sample.files(labels=npy((sample.score > 0).astype(np.int16)))
    refused = http.post("/v1/analyses", files=files)
    assert (refused.status_code, refused.json()["code"]) == (422, "label_type_required")
    for types, expected in (("categorical", "categorical"), ({"label_0": "numeric"}, "numeric")):
        options = json.dumps({"method": "reference", "label_types": types})
        answer = http.post("/v1/analyses", files=files, data={"options": options}, headers=WAIT)
        assert answer.status_code == 200, answer.text
        assert answer.json()["label_types"] == {"label_0": expected}


def test_options_may_be_a_file_and_are_echoed(http):
    options = json.dumps({"rule": "permutation", "n_components": 3}).encode()
    files = {**Sample().files(), "options": ("options.json", options, "application/json")}
    answer = http.post("/v1/analyses", files=files, headers=WAIT).json()
    report = http.get(answer["links"]["report"]).json()
    assert answer["options"] == report["provenance"]["options"]
    assert report["provenance"]["options"]["rule"] == "permutation"
    assert len(report["spectra"]["ca"]) == 3


SMALL = Sample()
REFUSED = {
    "unpaired_rows": {"y": npy(SMALL.y[:-1])},
    "too_few_pairs": {"x": npy(SMALL.x[:19]), "y": npy(SMALL.y[:19])},
    "too_few_labeled_rows": {"rows": npy(SMALL.rows[:9]), "labels": npy(SMALL.score[:9])},
    "label_row_out_of_range": {"rows": npy(SMALL.rows + 60)},
    "label_row_repeated": {"rows": npy(np.zeros(60, dtype=int))},
    "label_count_mismatch": {"rows": npy(SMALL.rows[:-1])},
    "unsupported_dtype": {"x": npy(SMALL.x.astype(np.complex64))},
    "wrong_shape": {"x": npy(SMALL.x[:, 0])},
    "invalid_npz": {"x": b"PK\x03\x04nonsense"},
    "csv_quote": {"labels": b'a\n"unclosed\n'},
    "missing_label_value": {
        "labels": b"a,b\nu,\n" + b"u,2.5\n" * 30 + b"v,1.5\n" * 29,
        "options": PUBLISHED.encode(),
    },
    "group_count_mismatch": {"groups": npy(np.arange(119))},
    "missing_group_id": {"groups": b"subject\n" + b'""\n' + b"s1\n" * 119},
    "too_few_groups": {"groups": npy(np.arange(120) % 9)},
    "covariate_count_mismatch": {"covariates": npy(np.ones(60))},
    "covariate_type_required": {"covariates": npy(np.arange(120))},
    "covariate_names": {"covariates": b"depth,\n" + b"1.5,2.5\n" * 120},
    "too_many_covariate_targets": {"covariates": b"batch\n" + b"".join(b"b%d\n" % i for i in range(201))},
    "label_names": {"labels": b"a,\n1.5,2.5\n" * 1 + b"1.5,2.5\n" * 59},
}


@pytest.mark.parametrize("code", REFUSED)
def test_what_cannot_be_estimated_is_refused_before_the_202(http, running, code):
    before = running.stored()
    answer = http.post("/v1/analyses", files=SMALL.files(**REFUSED[code]))
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["code"] == code
    assert problem["type"] == f"urn:phasegate:problem:{code}"
    assert problem["detail"].endswith(".")
    assert str(running.data_dir) not in answer.text
    assert running.stored() == before
    assert running.received() == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("{", "Invalid JSON"),
        ("[]", "options"),
        ('{"colour": 1}', "options.colour"),
        ('{"rule": "magic"}', "options.rule"),
        ('{"n_components": 1}', "from 2 to 500"),
        ('{"pca_components": 2001}', "from 2 to 2000"),
        ('{"pca_components": "100"}', "options.pca_components"),
        ('{"pca_variance": 1.1}', "above 0 and at most 1"),
        ('{"method": "reference", "pca_variance": 0.9}', "leave out pca_variance"),
        ('{"pca_variance": true}', "options.pca_variance"),
        ('{"method": "guess"}', "options.method: "),
        ('{"alpha": 0.6}', "from 0.0001 to 0.5"),
        ('{"alpha": true}', "options.alpha"),
        ('{"interval_level": "0.9"}', "options.interval_level"),
        ('{"embedding_dim": 0}', "from 1 to 2000"),
        ('{"embedding_dim": 8.0}', "options.embedding_dim"),
        ('{"seed": -1}', "from 0 to 4294967295"),
        ('{"seed": false}', "options.seed"),
        ('{"method": "reference", "scaling": "standardize"}', "leave out scaling"),
        ('{"method": "reference", "scaling": {"y": "standardize"}}', "leave out scaling"),
        ('{"scaling": "log"}', "options.scaling.x: "),
        ('{"scaling": {"z": "none"}}', "options.scaling.z: "),
        ('{"scaling": null}', "options.scaling: "),
        ('{"method": "reference", "missing": "mean"}', "leave out missing"),
        ('{"missing": "ignore"}', "options.missing: "),
        ('{"covariate_types": "numeric"}', "none were sent"),
        ('{"label_types": {"kind": "maybe"}}', "options.label_types.kind: "),
        ('{"n_components": true}', "options.n_components"),
        ('{"n_components": 3.0}', "options.n_components"),
        ('{"n_components": "5"}', "options.n_components"),
    ],
)
def test_options_out_of_bounds_are_refused(http, options, message):
    answer = http.post("/v1/analyses", files=SMALL.files(), data={"options": options})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_option")
    assert message in answer.json()["detail"]


@pytest.mark.parametrize("scaling", ["none", {"x": "none", "y": "none"}, {"y": "none"}, {}])
def test_one_word_of_scaling_stands_for_both_modalities(http, scaling):
    options = json.dumps({"method": "reference", "scaling": scaling, "seed": 3})
    answer = http.post("/v1/analyses", files=SMALL.files(), data={"options": options})
    assert answer.is_success, answer.text
    assert answer.json()["options"]["scaling"] == {"x": "none", "y": "none"}
    assert answer.json()["options"]["seed"] == 3


def groups_and_covariates(n: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """A subject for every two pairs, a batch that one pair in three lacks, and a depth that every second lacks."""
    subjects = np.array([f"s{row // 2}" for row in range(n)])
    batches = np.resize(["a", "", "b"], n)
    return subjects, {"batch": batches, "depth": np.where(np.arange(n) % 2, np.nan, np.arange(n) / 8)}


def covariates_csv(covariates: dict[str, np.ndarray]) -> bytes:
    lines = [
        f"{batch},{'' if np.isnan(depth) else float(depth)}" for batch, depth in zip(*covariates.values(), strict=True)
    ]
    return ("batch,depth\n" + "\n".join(lines) + "\n").encode()


@pytest.mark.parametrize("form", ["csv", "npy"])
def test_groups_and_covariates_reach_the_report(http, running, form):
    sample = Sample(seed=3)
    subjects, covariates = groups_and_covariates(sample.n)
    groups = npy(subjects) if form == "npy" else ("subject\n" + "\n".join(subjects) + "\n").encode()
    before = set(running.stored())
    answer = http.post(
        "/v1/analyses", files=sample.files(groups=groups, covariates=covariates_csv(covariates)), headers=WAIT
    )
    assert answer.status_code == 200, answer.text
    analysis = answer.json()
    assert analysis["covariate_types"] == {"batch": "categorical", "depth": "numeric"}
    assert analysis["inputs"]["groups"]["size_bytes"] == len(groups)
    assert analysis["inputs"]["groups"]["sha256"] == hashlib.sha256(groups).hexdigest()
    assert analysis["inputs"]["covariates"]["size_bytes"] == len(covariates_csv(covariates))
    stored = [Path(name).name for name in set(running.stored()) - before]
    assert {("groups", form), ("covariates", "csv")} <= {
        (name.partition("-")[0], name.rpartition(".")[2]) for name in stored
    }
    report = http.get(analysis["links"]["report"]).json()
    assert report["data"]["n_groups"] == 60
    assert [c["name"] for c in report["data"]["covariates"][0]["classes"]] == ["(missing)", "a", "b"]
    assert set(report["spectra"]["ca"][0]["covariates"]) == {"batch", "depth"}
    assert report["model"]["effective_pairs"] <= sample.n
    columns = label_columns({"kind": sample.kind, "score": sample.score})
    with threadpool_limits(1):
        expected = estimate(
            sample.x,
            sample.y,
            columns,
            sample.rows,
            groups=subjects,
            covariates=covariate_columns(covariates),
        )
    assert reproducible(report) == reproducible(as_dict(expected))


def test_covariates_of_whole_numbers_take_the_type_that_is_said(http):
    files = SMALL.files(covariates=b"batch\n" + b"1\n\n3\n" * 40)
    options = json.dumps({"method": "reference", "covariate_types": {"batch": "categorical"}})
    answer = http.post("/v1/analyses", files=files, data={"options": options}, headers=WAIT).json()
    assert answer["covariate_types"] == {"batch": "categorical"}
    (batch,) = http.get(answer["links"]["report"]).json()["data"]["covariates"]
    assert {c["name"]: c["count"] for c in batch["classes"]} == {"(missing)": 40, "1": 40, "3": 40}


@pytest.mark.parametrize("form", ["csv", "npy"])
def test_labels_that_too_few_rows_have_are_dropped_and_the_rest_is_estimated(http, form):
    sample = Sample(seed=4)
    few = np.where(np.arange(sample.m) < 9, sample.score, np.nan)
    if form == "npy":
        labels = npy(np.column_stack([sample.score, few]))
    else:
        lines = [
            f"{a!r},{'NA' if np.isnan(b) else b}" for a, b in zip(sample.score.tolist(), few.tolist(), strict=True)
        ]
        labels = ("label_0,label_1\n" + "\n".join(lines) + "\n").encode()
    answer = http.post("/v1/analyses", files=sample.files(labels=labels), headers=WAIT).json()
    report = http.get(answer["links"]["report"]).json()
    with threadpool_limits(1):
        expected = estimate(sample.x, sample.y, label_columns({"label_0": sample.score, "label_1": few}), sample.rows)
    assert reproducible(report) == reproducible(as_dict(expected))
    assert [(label["present"], label["used"]) for label in report["data"]["labels"]] == [(60, True), (9, False)]
    assert "sparse_label_columns" in {warning["code"] for warning in report["warnings"]}


@pytest.mark.parametrize(
    "labels",
    [
        npy(np.where(np.arange(60) % 3, SMALL.score, np.nan)),
        b"kind\n" + b'a\n""\nb\n' * 20,
        b"kind\n" + b"a\n\nb\n" * 20,
        b"score\n" + b"".join(b"%d.5\nNA\n" % i for i in range(30)),
    ],
    ids=["npy", "text", "empty line", "numbers"],
)
def test_partly_missing_labels_are_refused_where_the_method_needs_them_all(http, labels):
    answer = http.post("/v1/analyses", files=SMALL.files(labels=labels), data={"options": PUBLISHED})
    assert (answer.status_code, answer.json()["code"]) == (422, "missing_label_value")
    assert "of 60 labels" in answer.json()["detail"]
    assert "method calibrated" in answer.json()["detail"]


def test_partly_missing_labels_and_features_are_estimated_by_default(http):
    sample = Sample(seed=6)
    score = np.where(np.arange(sample.m) % 3, sample.score, np.nan)
    y = sample.y.copy()
    y[[3, 40], [5, 0]] = np.nan
    options = json.dumps({"missing": "mean"})
    files = sample.files(y=npy(y), labels=npy(score))
    answer = http.post("/v1/analyses", files=files, data={"options": options}, headers=WAIT).json()
    report = http.get(answer["links"]["report"]).json()
    assert (report["data"]["n_missing_x"], report["data"]["n_missing_y"]) == (0, 2)
    assert (report["data"]["n_labeled"], report["data"]["labels"][0]["present"]) == (40, 40)
    expected = estimate(sample.x, y, label_columns(score), sample.rows, Options(missing=Missing.MEAN))
    assert reproducible(report) == reproducible(as_dict(expected))


def test_the_published_procedure_is_run_on_request(http):
    sample = Sample(seed=7)
    answer = http.post("/v1/analyses", files=sample.files(), data={"options": PUBLISHED}, headers=WAIT).json()
    report = http.get(answer["links"]["report"]).json()
    columns = label_columns({"kind": sample.kind, "score": sample.score})
    with threadpool_limits(1):
        expected = estimate(sample.x, sample.y, columns, sample.rows, Options(method=Method.REFERENCE))
    assert (report["method"], report["evidence"], report["rehearsal"]) == ("reference", None, None)
    assert reproducible(report) == reproducible(as_dict(expected))


def with_nan(values: np.ndarray) -> bytes:
    broken = values.copy()
    broken[7, 3] = np.nan
    return npy(broken)


FAILED = {
    "non_finite_values": ({"x": with_nan(SMALL.x)}, "row 7, column 3"),
    "values_too_large": ({"y": npy(SMALL.y * 1e150)}, "1e+100"),
    "constant_modality": ({"x": npy(np.ones_like(SMALL.x))}, "No column of x varies"),
    "constant_labels": ({"labels": npy(np.ones(60))}, "No label column varies"),
    "too_few_labeled_rows": (
        {"labels": npy(np.where(np.arange(60) < 9, SMALL.score, np.nan))},
        "No label column has 10 values",
    ),
}


@pytest.mark.parametrize("code", FAILED)
def test_what_the_worker_finds_ends_the_analysis_with_a_problem(http, code):
    changed, message = FAILED[code]
    answer = http.post("/v1/analyses", files=SMALL.files(**changed), headers=WAIT)
    assert answer.status_code == 200
    analysis = answer.json()
    assert analysis["state"] == "failed"
    assert analysis["error"]["code"] == code
    assert message in analysis["error"]["detail"]
    report = http.get(analysis["links"]["report"])
    assert (report.status_code, report.json()["code"]) == (409, "no_report")
    assert code in report.json()["detail"]


def test_a_missing_part_is_named(http):
    answer = http.post("/v1/analyses", files=SMALL.files(y=None))
    assert (answer.status_code, answer.json()["code"], answer.json()["part"]) == (422, "invalid_request", "y")


@pytest.mark.parametrize("address", ["an-" + "0" * 32, "nonsense", "..%2F..%2Fetc", "an-" + "0" * 32 + "%0A"])
@pytest.mark.parametrize("tail", ["", "/report"])
def test_unknown_analyses_are_not_found(http, address, tail):
    answer = http.get(f"/v1/analyses/{address}{tail}")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


def test_the_typed_client_submits_waits_and_reads(running, tmp_path):
    sample = Sample(seed=5)
    paths = {"x": tmp_path / "x.npy", "y": tmp_path / "y.npy", "rows": tmp_path / "rows.npy"}
    for name, path in paths.items():
        np.save(path, getattr(sample, name))
    labels = tmp_path / "labels.csv"
    labels.write_bytes(sample.labels_csv())
    with Phasegate(running.address) as client:
        submitted = client.submit(paths["x"], paths["y"], labels, paths["rows"])
        seen: list[float] = []
        done = client.wait(submitted.id, 60, lambda analysis: seen.append(analysis.progress.fraction))
        assert done.state == "succeeded"
        assert seen == sorted(seen)
        assert seen[-1] == 1.0
        assert client.report(submitted.id).regime == in_process(sample)["regime"]
        assert REPORT.validate_python(client.report_json(submitted.id)) == client.report(submitted.id)
        groups, covariates = tmp_path / "groups.npy", tmp_path / "covariates.npy"
        np.save(groups, np.arange(120) // 3)
        np.save(covariates, sample.x[:, :2])
        beside = client.submit(
            paths["x"],
            paths["y"],
            labels,
            paths["rows"],
            SubmittedOptions(seed=5),
            wait_s=30,
            groups=groups,
            covariates=covariates,
        )
        assert beside.options.seed == 5
        data = client.report(beside.id).data
        assert (data.n_groups, [covariate.name for covariate in data.covariates]) == (
            40,
            ["covariate_0", "covariate_1"],
        )
        with pytest.raises(ProblemReceived, match="label_names"):
            client.submit(
                paths["x"], paths["y"], labels, paths["rows"], SubmittedOptions(label_types={"no": LabelType.NUMERIC})
            )
        constant = tmp_path / "constant.npy"
        np.save(constant, np.ones((120, 3)))
        failing = client.submit(constant, paths["y"], labels, paths["rows"])
        with pytest.raises(AnalysisFailed, match="constant_modality"):
            client.wait(failing.id, 60)


def test_parts_that_would_be_ignored_are_refused(http):
    files = SMALL.files()
    twice = [*files.items(), ("x", files["x"])]
    misspelt = {**files, "option": ("option", b"{}")}
    for sent, message in ((twice, "'x' was sent 2 times"), (misspelt, "no part 'option'")):
        answer = http.post("/v1/analyses", files=sent)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
        assert message in answer.json()["detail"]


def test_options_are_bounded_however_they_are_sent(http):
    large = b'{"label_types": {' + b" " * 70_000 + b"}}"
    as_file = http.post("/v1/analyses", files={**SMALL.files(), "options": ("options", large)})
    as_text = http.post("/v1/analyses", files=SMALL.files(), data={"options": large.decode()})
    for answer in (as_file, as_text):
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
        assert "65536 bytes" in answer.json()["detail"]


def test_a_wait_may_stand_in_any_prefer_header(http):
    headers = [("Prefer", "respond-async"), ("Prefer", "wait=30")]
    answer = http.post("/v1/analyses", files=SMALL.files(), data={"options": PUBLISHED}, headers=headers)
    assert answer.status_code == 200


def test_labels_that_cannot_be_written_are_refused_at_the_door(http):
    answer = http.post("/v1/analyses", files=SMALL.files(labels=npy(np.array(["a", "\ud800"] * 30))))
    assert (answer.status_code, answer.json()["code"]) == (422, "unsupported_dtype")
