import hashlib
import io
import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest

from service.analyses.analysis import RECORD_VERSION, Failure, Outcome, StoredArray, Submission, new_id
from service.analyses.errors import InvalidArrayFile, InvalidTable, LabelsTooLarge, StoreUnavailable
from service.analyses.ports import Upload
from service.estimation.labels import LabelType
from service.estimation.options import Options
from service.estimation.terms import Method, Rule
from service.storage.disk import DiskStore


@dataclass
class Part:
    file: BinaryIO
    filename: str | None = None


def npy(values) -> Part:
    buffer = io.BytesIO()
    np.save(buffer, values)
    buffer.seek(0)
    return Part(buffer)


@pytest.fixture
def store(tmp_path) -> DiskStore:
    store = DiskStore(tmp_path / "data", max_label_bytes=10_000)
    store.prepare()
    return store


def an_upload(**parts) -> Upload:
    x, y = np.arange(60.0).reshape(20, 3), np.arange(80.0).reshape(20, 4)
    labels = Part(io.BytesIO(b"kind\n" + b"a\nb\n" * 10))
    return Upload(**{"x": npy(x), "y": npy(y), "labels": labels, "rows": None, **parts})


def committed(store: DiskStore) -> Submission:
    with store.stage(an_upload()) as staged:
        files = staged.files()
        arrays = {
            part: StoredArray(files[part].name, files[part].size_bytes, files[part].sha256, (20, d), "float64")
            for part, d in (("x", 3), ("y", 4))
        }
        submission = Submission(
            version=RECORD_VERSION,
            id=new_id(),
            submitted_at=datetime.now(UTC),
            options=Options(),
            label_types={"kind": LabelType.CATEGORICAL},
            labels=files["labels"],
            rows=None,
            **arrays,
        )
        staged.commit(submission)
    return submission


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


REPORT = (Outcome(RECORD_VERSION, datetime.now(UTC), datetime.now(UTC), None), '{"regime": "both"}')
FAILURE = (Outcome(RECORD_VERSION, None, datetime.now(UTC), Failure("worker_lost", "It died.", None)), None)


def test_what_is_committed_is_read_back_by_another_store(store, tmp_path):
    submission = committed(store)
    other = DiskStore(tmp_path / "data", max_label_bytes=10_000)
    assert other.submission(submission.id) == submission
    inputs = other.inputs(submission)
    np.testing.assert_array_equal(inputs.x, np.arange(60.0).reshape(20, 3))
    assert inputs.y.shape == (20, 4)
    assert list(inputs.labels) == ["kind"]
    assert inputs.rows is None


def test_groups_and_covariates_are_stored_and_read(store):
    groups = Part(io.BytesIO(b"subject\n" + b"s1\ns2\n" * 10))
    with store.stage(an_upload(groups=groups, covariates=npy(np.ones((20, 2))))) as staged:
        files = staged.files()
        assert (files["groups"].name, files["covariates"].name) == ("groups.csv", "covariates.npy")
        submission = Submission(
            version=RECORD_VERSION,
            id=new_id(),
            submitted_at=datetime.now(UTC),
            options=Options(seed=7),
            label_types={"kind": LabelType.CATEGORICAL},
            x=StoredArray(**vars(files["x"]), shape=(20, 3), dtype="float64"),
            y=StoredArray(**vars(files["y"]), shape=(20, 4), dtype="float64"),
            labels=files["labels"],
            rows=None,
            groups=files["groups"],
            covariates=files["covariates"],
            covariate_types={"covariate_0": LabelType.NUMERIC, "covariate_1": LabelType.NUMERIC},
        )
        staged.commit(submission)
    assert store.submission(submission.id) == submission
    inputs = store.inputs(submission)
    assert inputs.groups.tolist() == ["s1", "s2"] * 10
    assert list(inputs.covariates) == ["covariate_0", "covariate_1"]


def test_groups_and_covariates_are_bounded_like_labels(store):
    for part in ("groups", "covariates"):
        big = Part(io.BytesIO(b"a\n" * 5001))
        with pytest.raises(LabelsTooLarge, match=f"{part} is larger") as caught, store.stage(an_upload(**{part: big})):
            pass
        assert caught.value.part == part


def test_a_submission_of_the_first_version_is_read(store, tmp_path):
    analysis_id = committed(store).id
    file = {"size_bytes": 1, "sha256": "00"}
    (tmp_path / "data" / "analyses" / analysis_id / "submission.json").write_text(
        json.dumps(
            {
                "version": 1,
                "id": analysis_id,
                "submitted_at": "2026-01-01T00:00:00Z",
                "options": {"method": "reference", "rule": "elbow", "n_components": 50, "pca_components": 100},
                "label_types": {"kind": "categorical"},
                "x": {"name": "x.npy", **file, "shape": [20, 3], "dtype": "float64"},
                "y": {"name": "y.npy", **file, "shape": [20, 4], "dtype": "float64"},
                "labels": {"name": "labels.csv", **file},
                "rows": None,
            }
        )
    )
    submission = store.submission(analysis_id)
    assert submission.options == Options(method=Method.REFERENCE, rule=Rule.ELBOW, n_components=50, pca_components=100)
    assert (submission.groups, submission.covariates, submission.covariate_types) == (None, None, {})
    inputs = store.inputs(submission)
    assert (inputs.groups, inputs.covariates) == (None, None)


def test_digests_are_those_of_the_bytes_received(store, tmp_path):
    submission = committed(store)
    content = (tmp_path / "data" / "analyses" / submission.id / "x.npy").read_bytes()
    assert submission.x.sha256 == hashlib.sha256(content).hexdigest()
    assert submission.x.size_bytes == len(content)


def test_an_upload_that_is_not_committed_leaves_nothing(store, tmp_path):
    with store.stage(an_upload()) as staged:
        assert staged.inputs().x.shape == (20, 3)
    assert files_below(tmp_path) == []


def test_parts_are_told_apart_by_content_and_not_by_name(store):
    labels = npy(np.arange(20.0))
    labels.filename = "../../labels.csv"
    with store.stage(an_upload(labels=labels, rows=Part(io.BytesIO(b"3\n4\n")))) as staged:
        assert {part: file.name for part, file in staged.files().items()} == {
            "x": "x.npy",
            "y": "y.npy",
            "labels": "labels.npy",
            "rows": "rows.csv",
        }
        np.testing.assert_array_equal(staged.inputs().labels["label_0"], np.arange(20.0))
        np.testing.assert_array_equal(staged.inputs().rows, [3, 4])


def test_empty_and_overlarge_parts_are_refused(store, tmp_path):
    with pytest.raises(InvalidArrayFile, match="y is empty"), store.stage(an_upload(y=Part(io.BytesIO()))):
        pass
    big = Part(io.BytesIO(b"a\n" * 5001))
    with pytest.raises(LabelsTooLarge, match="10000 bytes"), store.stage(an_upload(labels=big)):
        pass
    assert files_below(tmp_path) == []


@pytest.mark.parametrize(("first", "second"), [(REPORT, FAILURE), (FAILURE, REPORT), (REPORT, REPORT)])
def test_an_outcome_is_written_once(store, tmp_path, first, second):
    submission = committed(store)
    assert store.outcome(submission.id) is None
    assert store.settle(submission.id, *first) is True
    written = files_below(tmp_path)
    assert store.settle(submission.id, replace(second[0], version=99), second[1]) is False
    assert store.outcome(submission.id) == first[0]
    assert files_below(tmp_path) == written
    if first is REPORT:
        assert store.report(submission.id) == REPORT[1].encode()


def test_what_an_interrupted_settlement_left_counts_for_nothing(store, tmp_path):
    submission = committed(store)
    folder = tmp_path / "data" / "analyses" / submission.id
    (folder / "outcome.json").write_text("{")
    (folder / ".report.json").write_text("{")
    assert store.outcome(submission.id) is None
    assert store.settle(submission.id, *REPORT) is True
    assert store.outcome(submission.id) == REPORT[0]


def test_sweeping_removes_what_never_became_an_analysis(store, tmp_path):
    submission = committed(store)
    (tmp_path / "data" / "tmp" / "upload-left").mkdir()
    (tmp_path / "data" / "tmp" / "upload-left" / "x.npy").write_bytes(b"half")
    store.sweep()
    assert list((tmp_path / "data" / "tmp").iterdir()) == []
    assert store.submission(submission.id) == submission


def test_unsettled_analyses_come_oldest_first(store):
    submissions = [committed(store) for _ in range(3)]
    store.settle(submissions[1].id, *REPORT)
    expected = [s.id for s in sorted(submissions, key=lambda s: s.id) if s.id != submissions[1].id]
    assert [s.id for s in store.unsettled()] == expected


def test_a_store_that_is_gone_is_reported(store, tmp_path):
    store.check()
    (tmp_path / "data" / "tmp").rmdir()
    with pytest.raises(StoreUnavailable):
        store.check()
    with pytest.raises(StoreUnavailable), store.stage(an_upload()):
        pass


def test_the_store_is_its_owners_alone(store, tmp_path):
    committed(store)
    for folder in (tmp_path / "data", tmp_path / "data" / "tmp", tmp_path / "data" / "analyses"):
        assert folder.stat().st_mode & 0o777 == 0o700


def test_an_empty_table_is_said_to_be_one(store):
    with pytest.raises(InvalidTable, match="labels is empty"), store.stage(an_upload(labels=Part(io.BytesIO()))):
        pass
