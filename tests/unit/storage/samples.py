"""Datasets, label sets and analyses as tests of stores keep them."""

import io
from datetime import UTC, datetime, timedelta

import numpy as np

from service.analyses.analysis import RECORD_VERSION, Estimation, Failure, Outcome, Submission
from service.analyses.dataset import Dataset, LabelSet, StoredArray
from service.analyses.identity import Kind, new_id
from service.analyses.ports import Store
from service.estimation.labels import LabelType
from service.estimation.options import Options

NOW = datetime(2026, 11, 26, tzinfo=UTC)


def npy(values) -> io.BytesIO:
    buffer = io.BytesIO()
    np.save(buffer, values)
    buffer.seek(0)
    return buffer


def an_upload(**parts) -> dict[str, io.BytesIO]:
    x, y = np.arange(60.0).reshape(20, 3), np.arange(80.0).reshape(20, 4)
    return {"x": npy(x), "y": npy(y), "labels": io.BytesIO(b"kind\n" + b"a\nb\n" * 10), **parts}


def received(staged, **parts) -> None:
    for part, source in an_upload(**parts).items():
        if source is not None:
            staged.receive(part, source)


def a_dataset(staged, **changed) -> Dataset:
    files = staged.files
    arrays = {
        part: StoredArray(**vars(files[part]), shape=(20, d), dtype="float64") for part, d in (("x", 3), ("y", 4))
    }
    beside = {part: files.get(part) for part in ("groups", "covariates")}
    parts = ("x", "y", *(part for part in beside if part in files))
    expires_at = NOW + timedelta(days=7)
    return Dataset(RECORD_VERSION, new_id(Kind.DATASET), NOW, expires_at, parts, **arrays, **beside, **changed)


def a_label_set(staged, dataset_id: str) -> LabelSet:
    return LabelSet(
        version=RECORD_VERSION,
        id=new_id(Kind.LABEL_SET),
        dataset_id=dataset_id,
        created_at=NOW,
        labels=staged.files["labels"],
        rows=staged.files.get("rows"),
        label_types={"kind": LabelType.CATEGORICAL},
        n_labeled=20,
    )


def kind_of(file) -> str:
    """Part and kind by the name of a stored file."""
    return f"{file.name.partition('-')[0]} {file.name.rpartition('.')[2]}"


def kept(store: Store, **parts) -> tuple[Dataset, LabelSet]:
    with store.datasets.stage() as staged:
        received(staged, **parts)
        dataset = a_dataset(staged)
        label_set = a_label_set(staged, dataset.id)
        staged.keep(dataset, label_set)
    return dataset, label_set


def committed(store: Store) -> Submission:
    dataset, label_set = kept(store)
    submission = Submission(
        RECORD_VERSION, new_id(Kind.ANALYSIS), NOW, Estimation(dataset, label_set, Options(seed=7)), {"team": "vision"}
    )
    store.analyses.add(submission)
    return submission


REPORT = (Outcome(RECORD_VERSION, datetime.now(UTC), datetime.now(UTC), None), '{"regime": "both"}')


FAILURE = (Outcome(RECORD_VERSION, None, datetime.now(UTC), Failure("worker_lost", "It died.", None)), None)
