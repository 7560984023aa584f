import json

import numpy as np
import pytest

from service.analyses.errors import InvalidTable
from service.estimation.estimate import estimate
from service.estimation.labels import label_columns
from service.estimation.options import Options
from service.estimation.record import to_json
from service.estimation.terms import Method
from service.storage.input_files import open_features, open_labels

X, Y = np.arange(12.0).reshape(4, 3), np.arange(8, dtype=np.float32).reshape(4, 2)


@pytest.fixture
def folder(tmp_path):
    np.save(tmp_path / "x.npy", X)
    np.save(tmp_path / "y.npy", Y)
    (tmp_path / "labels.csv").write_text("kind,dose\na,1.5\nb,2.5\n")
    np.save(tmp_path / "labels.npy", np.array([0.5, 1.5]))
    (tmp_path / "rows.csv").write_text("3\n0\n")
    np.save(tmp_path / "rows.npy", np.array([3, 0]))
    (tmp_path / "groups.csv").write_text("subject\ns1\ns1\ns2\ns2\n")
    np.save(tmp_path / "groups.npy", np.array([7, 7, 9, 9]))
    return tmp_path


def test_features_are_mapped_and_the_rest_is_left_out(folder):
    given = open_features(folder / "x.npy", folder / "y.npy")
    assert isinstance(given.x, np.memmap)
    np.testing.assert_array_equal(given.x, X)
    np.testing.assert_array_equal(given.y, Y)
    assert (given.groups, given.covariates) == (None, None)
    labels = open_labels(folder / "labels.csv")
    assert list(labels.columns) == ["kind", "dose"]
    assert labels.rows is None


@pytest.mark.parametrize("kind", ["csv", "npy"])
def test_every_other_part_is_csv_or_npy_whatever_its_name(folder, kind):
    renamed = {}
    for part in ("labels", "rows", "groups"):
        renamed[part] = folder / f"{part}.data"
        (folder / f"{part}.{kind}").rename(renamed[part])
    given = open_features(folder / "x.npy", folder / "y.npy", renamed["groups"], covariates=renamed["labels"])
    labels = open_labels(renamed["labels"], renamed["rows"])
    np.testing.assert_array_equal(labels.rows, [3, 0])
    assert given.groups.tolist() == (["s1", "s1", "s2", "s2"] if kind == "csv" else [7, 7, 9, 9])
    assert list(labels.columns) == (["kind", "dose"] if kind == "csv" else ["label_0"])
    assert list(given.covariates) == (["kind", "dose"] if kind == "csv" else ["covariate_0"])


def test_groups_are_one_column(folder):
    (folder / "groups.csv").write_text("subject,site\ns1,a\n")
    with pytest.raises(InvalidTable, match="groups has 2 columns"):
        open_features(folder / "x.npy", folder / "y.npy", groups=folder / "groups.csv")


def test_features_are_numbers(folder):
    with pytest.raises(InvalidTable, match="x has 'a' in row 0"):
        open_features(folder / "labels.csv", folder / "y.npy")


@pytest.mark.parametrize("method", list(Method))
def test_the_order_of_values_and_of_bytes_in_a_file_does_not_change_the_report(tmp_path, method, one_chain):
    rng = np.random.default_rng(3)
    shared = rng.standard_normal((90, 2))
    x = shared @ rng.standard_normal((2, 5)) + rng.standard_normal((90, 5))
    y = shared @ rng.standard_normal((2, 4)) + rng.standard_normal((90, 4))

    def report(change, name):
        for part, values in (("x", x), ("y", y), ("labels", shared), ("rows", np.arange(90))):
            np.save(tmp_path / f"{part}-{name}.npy", change(values))
        features = open_features(tmp_path / f"x-{name}.npy", tmp_path / f"y-{name}.npy")
        labels = open_labels(tmp_path / f"labels-{name}.npy", tmp_path / f"rows-{name}.npy")
        columns = label_columns(labels.columns, "numeric")
        found = estimate(features.x, features.y, columns, labels.rows, Options(method=method, seed=1))
        known = json.loads(to_json(found))
        del known["timings"], known["provenance"]
        return known

    usual = report(lambda values: values, "usual")
    assert report(np.asfortranarray, "fortran") == usual
    assert report(lambda values: values.astype(values.dtype.newbyteorder(">")), "big-endian") == usual
    both = report(lambda values: np.asfortranarray(values.astype(values.dtype.newbyteorder(">"))), "both")
    assert both == usual
