import hashlib
import json

import numpy as np
import pytest

from service import __version__
from service.estimation import provenance
from service.estimation.covariates import covariate_columns
from service.estimation.estimate import estimate
from service.estimation.labels import LabelType, label_columns
from service.estimation.options import Options
from service.estimation.provenance import array_digest, groups_digest, labels_digest
from service.estimation.terms import Rule

from .samples import PUBLISHED, paired

pytestmark = pytest.mark.usefixtures("one_chain")


def sha256_of_saved(path, values):
    np.save(path, values)
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f4", "i1", ">i8", "u8", "b1"])
@pytest.mark.parametrize("shape", [(7, 3), (11,), (0, 4)])
def test_digest_is_that_of_the_saved_file(tmp_path, monkeypatch, dtype, shape):
    values = (np.random.default_rng(0).standard_normal(shape) * 9 + 20).astype(dtype)
    expected = sha256_of_saved(tmp_path / "a.npy", values)
    assert array_digest(values) == expected
    monkeypatch.setattr(provenance, "CHUNK_ROWS", 2)
    assert array_digest(values) == expected


def test_layout_and_mapping_leave_the_digest_alone(tmp_path):
    values = np.random.default_rng(0).standard_normal((9, 4))
    expected = sha256_of_saved(tmp_path / "a.npy", values)
    np.save(tmp_path / "f.npy", np.asfortranarray(values))
    assert array_digest(np.asfortranarray(values)) == expected
    assert array_digest(np.repeat(values, 2, axis=1)[:, ::2]) == expected
    assert array_digest(np.load(tmp_path / "a.npy", mmap_mode="r")) == expected
    assert array_digest(np.load(tmp_path / "f.npy", mmap_mode="r")) == expected


def test_digest_tells_type_shape_and_values_apart():
    values = np.zeros((4, 6))
    others = [values.astype("f4"), values.astype(">f8"), values.reshape(6, 4), values + 1]
    assert len({array_digest(other) for other in [values, *others]}) == 5


def test_labels_digest_is_of_compact_json():
    columns = label_columns({"é": np.array(["a", "b"]), "n": np.array([0.5, 2.0])})
    text = json.dumps([["é", "categorical", ["a", "b"]], ["n", "numeric", [0.5, 2.0]]], separators=(",", ":"))
    assert labels_digest(columns) == hashlib.sha256(text.encode()).hexdigest()


def test_labels_digest_tells_names_types_and_order_apart():
    values = np.array([1, 2, 1])
    digests = {
        labels_digest(label_columns(named, kind))
        for named in ({"a": values}, {"b": values}, {"a": values[::-1] + 1})
        for kind in LabelType
    }
    assert len(digests) == 6


def test_labels_digest_has_null_for_what_is_missing():
    columns = label_columns({"a": np.array(["x", ""]), "n": np.array([np.nan, 2.0])})
    text = json.dumps([["a", "categorical", ["x", None]], ["n", "numeric", [None, 2.0]]], separators=(",", ":"))
    assert labels_digest(columns) == hashlib.sha256(text.encode()).hexdigest()


def test_labels_digest_tells_missing_from_any_value_and_forgets_what_stood_there():
    mask = [False, True, False]

    def digest(values):
        return labels_digest(label_columns({"a": values}, LabelType.CATEGORICAL))

    whole = [digest(np.array([1, value, 3])) for value in (0, 1, 2)]
    masked = [digest(np.ma.MaskedArray([1, value, 3], mask=mask)) for value in (0, 1, 2)]
    assert len(set(masked)) == 1
    assert len({*whole, *masked}) == 4


def test_groups_digest_tells_numbers_from_text_and_not_one_width_from_another():
    numbers = np.array([1, 2, 1])
    text = numbers.astype(str)
    assert groups_digest(numbers) == groups_digest(numbers.astype("u1")) == hashlib.sha256(b"[1,2,1]").hexdigest()
    assert groups_digest(text) == groups_digest(text.astype("U9")) == groups_digest(text.astype("T"))
    assert len({groups_digest(numbers), groups_digest(text), groups_digest(numbers[::-1] + 1)}) == 3


def test_digests_of_groups_and_covariates_are_null_unless_sent():
    x, y, labels = paired(n=30)
    columns = label_columns(labels)
    without = estimate(x, y, columns).provenance.digests
    assert (without.groups, without.covariates) == (None, None)
    groups, covariates = np.arange(30) // 2, covariate_columns(np.ma.MaskedArray(labels[:, 0], mask=labels[:, 0] > 1))
    found = estimate(x, y, columns, groups=groups, covariates=covariates).provenance.digests
    assert found.groups == groups_digest(groups)
    assert found.covariates == labels_digest(covariates)
    assert (found.x, found.y, found.labels, found.rows) == (without.x, without.y, without.labels, without.rows)


def test_report_holds_what_it_was_made_from(tmp_path):
    x, y, labels = paired(n=30)
    rows = np.arange(29, 9, -1)
    options = Options(rule=Rule.PERMUTATION, n_components=4)
    found = estimate(x, y, label_columns(labels[:20]), rows.astype("i2"), options).provenance
    assert found.digests.x == sha256_of_saved(tmp_path / "x.npy", x)
    assert found.digests.y == sha256_of_saved(tmp_path / "y.npy", y)
    assert found.digests.rows == sha256_of_saved(tmp_path / "rows.npy", rows.astype(np.int64))
    assert found.options == options
    assert found.versions.phasegate == __version__
    assert found.versions.numpy == np.__version__
    assert found.seed is None
    assert found.threads == 1
    published = estimate(x, y, label_columns(labels[:20]), rows, PUBLISHED).provenance
    assert (published.seed.folds, published.seed.permutations) == (42, 12345)
    assert published.threads >= 1
