"""Uploads whose rows have ids, on every store: what is kept is joined, and the record says what became of the rows."""

import io
from datetime import timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from service.analyses import intake
from service.analyses.dataset import DatasetState, FileFormat
from service.analyses.errors import DatasetImmutable, UploadError
from service.analyses.ports import Store
from service.analyses.tenancy import DEFAULT_TENANT
from service.analyses.understanding import sentence_of_join, sentence_of_label_join
from service.estimation.labels import label_columns
from service.storage.input_files import open_features, open_labels
from tests.places import DiskPlace
from tests.unit.storage import samples

DAY = timedelta(days=1)
RNG = np.random.default_rng(2)
X_IDS, Y_IDS = np.arange(5, 45), RNG.permutation(np.arange(0, 42))
PAIRED = [value for value in X_IDS if value < 42]
X, Y = RNG.standard_normal((40, 3)), RNG.standard_normal((42, 2)).astype(np.float32)
Y_BY_ID = {value: Y[place] for place, value in enumerate(Y_IDS.tolist())}


def parquet(**columns) -> bytes:
    file = io.BytesIO()
    pa.parquet.write_table(pa.table(columns), file)
    return file.getvalue()


def npy(values) -> bytes:
    return samples.npy(values).getvalue()


def csv(header: str, *columns) -> bytes:
    lines = [header, *(",".join(map(str, line)) for line in zip(*columns, strict=True))]
    return ("\n".join(lines) + "\n").encode()


def names(ids) -> list[str]:
    return [f"s{value}" for value in ids]


PARTS = {
    "x": parquet(id=X_IDS, a=X[:, 0], b=X[:, 1], c=X[:, 2]),
    "y": csv("u,id,v", Y[:, 0], Y_IDS, Y[:, 1]),
    "groups": csv("id,subject", Y_IDS, Y_IDS // 3),
    "covariates": parquet(depth=(Y_IDS / 2).tolist(), id=Y_IDS.tolist(), batch=[f"b{value % 2}" for value in Y_IDS]),
}
LABELED = [41, 3, 7, 44, 20, 6, 9, 8, 11, 10, 12, 30, 31, 33]
LABELS = csv("id,kind", LABELED, [f"k{value % 2}" for value in LABELED])


@pytest.fixture
def store(place) -> Store:
    return place.open().of(DEFAULT_TENANT)


def created(store, parts=PARTS, **how):
    sources = {part: io.BytesIO(content) for part, content in parts.items()}
    return intake.create_dataset(store, sources, None, DAY, **how)


def in_parts(store, parts, order, **how):
    dataset = intake.open_dataset(store, parts, None, **how)
    for part in order:
        with store.datasets.stage(dataset.id_column or "id") as staged:
            staged.receive(part, io.BytesIO(parts[part]))
            dataset = intake.put_part(store, dataset.id, part, staged, DAY)
    return dataset


FEATURES = {part: PARTS[part] for part in ("x", "y")}


def check_joined(store, dataset):
    assert dataset.state is DatasetState.READY
    assert store.datasets.find(dataset.id) == dataset
    features = store.datasets.features_of(dataset)
    np.testing.assert_array_equal(features.x, X[: len(PAIRED)])
    np.testing.assert_allclose(features.y, np.array([Y_BY_ID[value] for value in PAIRED]), rtol=1e-7)
    np.testing.assert_array_equal(features.groups, [value // 3 for value in PAIRED])
    np.testing.assert_array_equal(features.covariates["depth"], [value / 2 for value in PAIRED])
    assert features.covariates["batch"].tolist() == [f"b{value % 2}" for value in PAIRED]
    assert list(features.covariates) == ["depth", "batch"]
    join = dataset.join
    assert (join.n_matched, join.n_only_x, join.n_only_y) == (37, 3, 5)
    assert (join.only_x, sorted(join.only_y)) == (("42", "43", "44"), ["0", "1", "2", "3", "4"])
    assert "x and y were joined on id: 37 pairs; left out: 3 rows of x (42, 43, 44)" in sentence_of_join(dataset)
    assert (dataset.x.format, dataset.y.format) == (FileFormat.PARQUET, FileFormat.CSV)
    assert (dataset.x.sent_bytes, dataset.x.received.understood.id_column) == (len(PARTS["x"]), "id")


def test_a_form_with_ids_on_both_sides_is_joined(store, place):
    dataset = created(store)
    check_joined(store, dataset)
    kept = [name for name in place.contents() if name.endswith((".npy", ".csv"))]
    assert len(kept) == 5, "x, y, ids, groups, covariates, and nothing of what they were made from"


@pytest.mark.parametrize("order", [["x", "y", "groups", "covariates"], ["covariates", "y", "groups", "x"]])
def test_parts_that_come_one_by_one_are_joined_when_the_last_is_here(store, place, order):
    dataset = in_parts(store, PARTS, order)
    check_joined(store, dataset)
    kept = [name for name in place.contents() if name.endswith((".npy", ".csv"))]
    assert len(kept) == 5
    with store.datasets.stage() as staged:
        staged.receive("x", io.BytesIO(PARTS["x"]))
        assert intake.put_part(store, dataset.id, "x", staged, DAY) == dataset
    with store.datasets.stage() as staged:
        staged.receive("x", io.BytesIO(npy(X)))
        with pytest.raises(DatasetImmutable):
            intake.put_part(store, dataset.id, "x", staged, DAY)


def test_labels_belong_to_the_rows_with_their_ids(store):
    dataset = created(store, FEATURES)
    label_set = intake.add_label_set(store, dataset.id, {"labels": io.BytesIO(LABELS)}, None)
    assert store.datasets.find_label_set(label_set.id) == label_set
    assert (label_set.n_labeled, label_set.join.n_left_out, label_set.join.left_out) == (12, 2, ("3", "44"))
    assert sentence_of_label_join(label_set.join) == (
        "Labels were matched on id: 12 have a row; left out: 2 without (3, 44)."
    )
    labels = store.datasets.labels_of(label_set)
    assert [PAIRED[row] for row in labels.rows] == [value for value in LABELED if value in PAIRED]
    assert labels.columns["kind"].tolist() == [f"k{value % 2}" for value in LABELED if value in PAIRED]
    assert list(labels.columns) == ["kind"]
    features, again = store.datasets.inputs_of(dataset, label_set)
    assert len(features.x) == 37
    np.testing.assert_array_equal(again.rows, labels.rows)


def test_labels_without_ids_say_places_where_no_row_of_x_was_left_out(store):
    dataset = created(store, {"x": parquet(id=PAIRED, a=X[:37, 0], b=X[:37, 1]), "y": PARTS["y"]})
    rows = np.arange(0, 36, 3)
    sources = {"labels": io.BytesIO(npy(rows * 0.5)), "rows": io.BytesIO(npy(rows))}
    label_set = intake.add_label_set(store, dataset.id, sources, None)
    assert (label_set.join, label_set.n_labeled) == (None, 12)


def refused(store, code, parts, **how):
    with pytest.raises(UploadError) as caught:
        created(store, parts, **how)
    assert caught.value.code == code
    return caught.value.message


def test_ids_that_cannot_be_joined_are_refused(tmp_path):
    place = DiskPlace(tmp_path / "data", 10_000)
    store = place.open().of(DEFAULT_TENANT)
    before = place.contents()
    twice = FEATURES | {"x": parquet(id=[*X_IDS[:-1], 5], a=X[:, 0], b=X[:, 1])}
    assert "x has 1 ids that stand for more than one of its 40 rows: '5'" in refused(store, "repeated_ids", twice)
    others = FEATURES | {"x": parquet(id=names(X_IDS), a=X[:, 0])}
    assert "0 are the same" in refused(store, "ids_do_not_match", others)
    gaps = FEATURES | {"x": parquet(id=[None, *X_IDS[1:]], a=X[:, 0])}
    assert "lacks values" in refused(store, "invalid_ids", gaps)
    reals = FEATURES | {"x": parquet(id=X_IDS / 2, a=X[:, 0])}
    assert "neither whole numbers nor text" in refused(store, "invalid_ids", reals)
    fewer = FEATURES | {"groups": csv("id,subject", Y_IDS[:30], Y_IDS[:30])}
    assert "groups lacks" in refused(store, "ids_lacking", fewer)
    assert refused(store, "no_such_id_column", {"x": npy(X), "y": npy(X)}, id_column="sample")
    assert place.contents() == before


def test_labels_that_cannot_be_matched_are_refused(store):
    dataset = created(store, FEATURES)
    for parts, code in (
        ({"labels": LABELS, "rows": npy(np.arange(14))}, "ids_with_rows"),
        ({"labels": csv("id,kind", names(LABELED), LABELED)}, "ids_do_not_match"),
        ({"labels": csv("id,kind", [*LABELED[:-1], 41], LABELED)}, "repeated_ids"),
    ):
        sources = {part: io.BytesIO(content) for part, content in parts.items()}
        with pytest.raises(UploadError) as caught:
            intake.add_label_set(store, dataset.id, sources, "categorical")
        assert caught.value.code == code


def test_ids_of_one_side_alone_are_not_used_and_that_is_said(store, place):
    parts = {"x": PARTS["x"], "y": npy(Y[:40])}
    for dataset in (created(store, parts), in_parts(store, parts, ["x", "y"]), in_parts(store, parts, ["y", "x"])):
        assert (dataset.n_pairs, dataset.join, dataset.ids, dataset.x_ids) == (40, None, None, None)
        assert sentence_of_join(dataset).startswith("Only x has ids (id), which were not used")
        np.testing.assert_array_equal(store.datasets.features_of(dataset).y, Y[:40])
    assert len([name for name in place.contents() if name.endswith(".npy")]) == 6


def test_a_part_without_ids_takes_the_place_of_one_with_them(store):
    dataset = intake.open_dataset(store, (), None)
    for part, content in (("x", PARTS["x"]), ("x", npy(X[:, :2])), ("y", npy(Y[:40]))):
        with store.datasets.stage() as staged:
            staged.receive(part, io.BytesIO(content))
            dataset = intake.put_part(store, dataset.id, part, staged, DAY)
    assert (dataset.n_pairs, dataset.join, dataset.x.shape) == (40, None, (40, 2))
    assert sentence_of_join(dataset) is None


def test_the_id_column_may_have_another_name(store):
    parts = {"x": csv("sample,a", names(X_IDS), X[:, 0]), "y": parquet(v=Y[:, 0], sample=names(Y_IDS))}
    dataset = in_parts(store, parts, ["y", "x"], id_column="sample")
    assert (dataset.n_pairs, dataset.join.id_column, dataset.join.only_x) == (37, "sample", ("s42", "s43", "s44"))
    labels = {"labels": io.BytesIO(csv("kind,sample", LABELED, names(LABELED)))}
    label_set = intake.add_label_set(store, dataset.id, labels, "categorical")
    assert label_set.n_labeled == 12


def write(path, content):
    path.write_bytes(content)
    return path


def test_files_are_joined_where_they_are_as_uploads_are(tmp_path):
    store = DiskPlace(tmp_path / "data", 10_000).open().of(DEFAULT_TENANT)
    kept = store.datasets.features_of(created(store))
    paths = {part: write(tmp_path / part, content) for part, content in PARTS.items()}
    features = open_features(**paths)
    for part in ("x", "y", "groups"):
        np.testing.assert_array_equal(getattr(features, part), getattr(kept, part))
    assert features.covariates["depth"].tolist() == kept.covariates["depth"].tolist()
    assert features.ids.tolist() == PAIRED
    labels = open_labels(write(tmp_path / "labels", LABELS), features=features)
    assert [PAIRED[row] for row in labels.rows] == [value for value in LABELED if value in PAIRED]
    assert label_columns(labels.columns)[0].name == "kind"
    with pytest.raises(UploadError, match="Neither x nor y has an id column 'sample'"):
        open_features(paths["x"], paths["y"], id_column="sample")


ONE_SIDED = {"x": PARTS["x"], "y": npy(Y[:40])}
NO_IDS = {"x": npy(X), "y": npy(Y[:40])}
SHUFFLED = csv("id,kind", RNG.permutation(X_IDS), [f"k{value % 2}" for value in range(40)])


@pytest.mark.parametrize("features", [ONE_SIDED, NO_IDS])
def test_ids_of_labels_never_become_a_label_where_rows_were_not_joined(store, tmp_path, features):
    dataset = created(store, features)
    with pytest.raises(UploadError, match=r"labels has a column 'id'.*another name") as caught:
        intake.add_label_set(store, dataset.id, {"labels": io.BytesIO(SHUFFLED)}, "categorical")
    assert caught.value.code == "ids_need_both"
    opened = open_features(*(write(tmp_path / part, content) for part, content in features.items()))
    with pytest.raises(UploadError) as caught:
        open_labels(write(tmp_path / "labels", SHUFFLED), features=opened)
    assert (caught.value.code, "only x has" in caught.value.message) == ("ids_need_both", features is ONE_SIDED)
    renamed = SHUFFLED.replace(b"id,", b"station,")
    label_set = intake.add_label_set(store, dataset.id, {"labels": io.BytesIO(renamed)}, "categorical")
    assert list(label_set.label_types) == ["station", "kind"]


def test_ids_of_groups_and_covariates_need_those_of_x_and_y(store, place):
    before = place.contents()
    two = csv("id,subject", X_IDS, X_IDS // 3)
    for features in (ONE_SIDED, NO_IDS):
        assert "groups has a column 'id'" in refused(store, "ids_need_both", features | {"groups": two})
        covariates = features | {"covariates": parquet(id=X_IDS, depth=X_IDS / 2)}
        assert "covariates has a column 'id'" in refused(store, "ids_need_both", covariates)
    only = {"groups": csv("id", X_IDS // 3)}
    assert refused(store, "ids_need_both", ONE_SIDED | only)
    assert place.contents() == before
    assert created(store, NO_IDS | only).groups is not None, "a column of groups may be called anything"


def test_ids_of_groups_that_came_first_need_those_of_x_and_y_too(store):
    parts = NO_IDS | {"groups": csv("id,subject", X_IDS, X_IDS // 3)}
    with pytest.raises(UploadError) as caught:
        in_parts(store, parts, ["groups", "x", "y"])
    assert caught.value.code == "ids_need_both"


def test_an_id_column_that_was_named_has_to_be_in_x_and_in_y(store):
    assert "y has no id column 'id'" in refused(store, "no_such_id_column", ONE_SIDED, id_column="id")
    with pytest.raises(UploadError) as caught:
        in_parts(store, ONE_SIDED, ["y", "x"], id_column="id")
    assert caught.value.code == "no_such_id_column"


def test_rows_are_refused_where_the_join_has_moved_them(store, tmp_path):
    dataset = created(store, FEATURES)
    parts = {"labels": npy(np.arange(12) * 0.5), "rows": npy(np.arange(12))}
    with pytest.raises(UploadError, match="3 of these were left out") as caught:
        intake.add_label_set(store, dataset.id, {part: io.BytesIO(each) for part, each in parts.items()}, None)
    assert caught.value.code == "rows_after_join"
    opened = open_features(*(write(tmp_path / part, content) for part, content in FEATURES.items()))
    with pytest.raises(UploadError) as caught:
        open_labels(*(write(tmp_path / part, content) for part, content in parts.items()), features=opened)
    assert caught.value.code == "rows_after_join"


def archived(**arrays) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (b"", "lacks values"),
        (b"a" * 201, "longer than 200 bytes"),
        (b"\xff\xfe", "not valid Unicode"),
    ],
)
def test_ids_of_bytes_are_checked_as_text_is(store, change, said):
    ids = np.array([change, *(name.encode() for name in names(X_IDS[1:]))])
    assert said in refused(store, "invalid_ids", {"x": archived(x=X, id=ids), "y": npy(Y)})


@pytest.mark.parametrize(("part", "other"), [("x", "y"), ("y", "x")])
def test_a_table_that_is_called_like_the_other_part_is_refused(store, part, other):
    parts = NO_IDS | {part: archived(**{other: X})}
    assert "may have been swapped" in refused(store, "which_array", parts)


def test_ids_are_found_in_every_part_whatever_they_look_like(store):
    ids = ["NA", "120", "12e1", "007", "7", *(str(3_000_000_000_000_000_000 + value) for value in range(35))]
    x = csv("id,a,b,c", ids, *X.T)
    y = csv("id,u,v", ids, X[:, 0], X[:, 1])
    covariates = csv("id,depth", ids[::-1], np.arange(40) / 2)
    dataset = created(store, {"x": x, "y": y, "covariates": covariates})
    label_set = intake.add_label_set(
        store, dataset.id, {"labels": io.BytesIO(csv("id,kind", ids[:25], ["a", "b"] * 12 + ["a"]))}, None
    )
    assert (dataset.join.n_matched, label_set.join.n_matched) == (40, 25)


def test_the_index_of_pandas_frames_joins_every_part(store):
    def indexed(columns):
        file = io.BytesIO()
        pd.DataFrame(columns, index=pd.Index(X_IDS, name="id")).to_parquet(file)
        return file.getvalue()

    parts = {"x": indexed(X), "y": indexed(X[:, :2]), "covariates": indexed({"depth": np.arange(40) / 2})}
    dataset = created(store, parts)
    labels = {"labels": io.BytesIO(indexed({"kind": ["a", "b"] * 20}))}
    assert (dataset.join.n_matched, intake.add_label_set(store, dataset.id, labels, None).join.n_matched) == (40, 40)


def test_labels_that_come_with_the_features_are_matched_when_these_are_joined(store):
    with store.datasets.stage() as staged:
        intake.receive(staged, {part: io.BytesIO(each) for part, each in {**FEATURES, "labels": LABELS}.items()})
        assert intake.joined(staged, None).join.n_matched == 37
        assert staged.match_labels().n_matched == 12
        assert len(staged.labels().rows) == 12
