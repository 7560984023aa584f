"""Uploads in other formats than .npy, and uploads whose rows have ids, over HTTP."""

import hashlib
import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from service.client import Phasegate
from tests.e2e.samples import Sample, npy

SAMPLE = Sample(seed=31)
ORDER = np.random.default_rng(31).permutation(SAMPLE.n)
IDS = [f"s{place:03}" for place in range(SAMPLE.n)]
OPTIONS = json.dumps({"method": "reference"})
WAIT = {"Prefer": "wait=30"}


def parquet(columns) -> bytes:
    file = io.BytesIO()
    pa.parquet.write_table(pa.table(columns), file, compression="zstd")
    return file.getvalue()


def npz(**arrays) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


X = parquet({"id": IDS} | {f"f{place}": SAMPLE.x[:, place] for place in range(6)})
Y = npz(embeddings=SAMPLE.y[ORDER], id=np.array(IDS)[ORDER])
LABELS = "id,kind,score\n" + "".join(
    f"{IDS[row]},{kind},{float(score)!r}\n"
    for row, kind, score in zip(SAMPLE.rows, SAMPLE.kind, SAMPLE.score, strict=True)
)


def report_of(http, **parts) -> tuple[dict, dict]:
    answer = http.post("/v1/analyses", files=parts, data={"options": OPTIONS, "reuse": "false"}, headers=WAIT)
    assert answer.status_code == 200, answer.text
    assert answer.json()["state"] == "succeeded", answer.text
    return answer.json(), http.get(answer.json()["links"]["report"]).json()


def test_joined_parquet_and_npz_have_the_report_of_aligned_npy(http):
    analysis, report = report_of(http, x=("x", X), y=("y", Y), labels=("l", LABELS.encode()))
    _, aligned = report_of(http, **SAMPLE.files())
    assert report["separation"] == aligned["separation"]
    assert report["spectra"] == aligned["spectra"]
    inputs = analysis["inputs"]
    assert inputs["x"]["sha256"] == hashlib.sha256(X).hexdigest()
    assert (inputs["x"]["format"], inputs["x"]["shape"], inputs["x"]["dtype"]) == ("parquet", [120, 6], "float32")
    assert inputs["x"]["understood"]["text"] == "Parquet with 120 rows: 6 columns (f0, f1, f2, ...); ids in id."
    assert inputs["y"]["understood"]["text"] == ".npz with 120 rows: array embeddings; ids in id."
    assert inputs["join"]["text"] == "x and y were joined on id: 120 pairs."
    assert inputs["label_join"]["text"] == "Labels were matched on id: 60 have a row."


def test_parts_come_one_by_one_in_any_format_and_again(http):
    opened = http.post("/v1/datasets", json={"parts": ["x", "y"], "id_column": "id"}).json()
    address = opened["links"]["self"]
    told = {"Content-Type": "application/vnd.apache.parquet"}
    mistaken = http.put(f"{address}/x", content=X, headers={"Content-Type": "text/csv"})
    assert (mistaken.status_code, mistaken.json()["code"], mistaken.json()["part"]) == (422, "format_mismatch", "x")
    first = http.put(f"{address}/x", content=X, headers=told)
    assert (first.status_code, first.json()["state"], first.json()["join"]) == (200, "open", None)
    ready = http.put(f"{address}/y", content=Y)
    assert (ready.status_code, ready.json()["state"], ready.json()["n_pairs"]) == (200, "ready", 120)
    assert ready.json()["join"]["used"] is True
    assert http.put(f"{address}/x", content=X).json() == ready.json()
    other = http.put(f"{address}/x", content=npy(SAMPLE.x))
    assert (other.status_code, other.json()["code"]) == (409, "dataset_immutable")
    labels = http.post(f"{address}/label-sets", files={"labels": ("l", LABELS.encode())}, data={"id_column": "sample"})
    assert (labels.status_code, labels.json()["code"]) == (422, "no_such_id_column")
    labels = http.post(f"{address}/label-sets", files={"labels": ("l", LABELS.encode())})
    assert (labels.status_code, labels.json()["join"]["n_matched"]) == (201, 60)


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"PK\x03\x04nonsense", 422, "invalid_npz"),
        (b"PAR1nonsensePAR1", 422, "invalid_parquet"),
        (b"\x89HDF\r\n\x1a\n", 422, "format_not_read"),
        (parquet({"name": ["a", "b"]}), 422, "unsupported_columns"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_own_code_and_nothing_is_kept(http, content, status, code):
    address = http.post("/v1/datasets", json={}).json()["links"]["self"]
    answer = http.put(f"{address}/x", content=content)
    assert (answer.status_code, answer.json()["code"], answer.json()["part"]) == (status, code, "x")
    assert http.get(address).json()["missing_parts"] == ["x", "y"]


def test_the_limits_name_the_formats(http):
    limits = http.get("/v1/limits").json()["uploads"]
    assert limits["formats"] == ["npy", "npz", "safetensors", "parquet", "arrow", "csv"]
    assert limits["unpacked_bytes"] == limits["body_bytes"]


def test_a_client_sends_files_of_any_format(http, tmp_path):
    for name, content in {"x.parquet": X, "y.npz": Y, "labels.csv": LABELS.encode()}.items():
        (tmp_path / name).write_bytes(content)
    with Phasegate(str(http.base_url)) as client:
        dataset = client.create_dataset(tmp_path / "x.parquet", tmp_path / "y.npz", id_column="id")
        label_set = client.add_label_set(dataset.id, tmp_path / "labels.csv")
    assert (dataset.join.n_matched, label_set.join.n_matched) == (120, 60)
