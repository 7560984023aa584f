"""The benchmark of size and power: nulls without the effect, one table a part."""

import json

import numpy as np

from benchmarks import evidence
from benchmarks.evidence import Shape, classes, draw, gappy, mixed, none, shared


def test_shuffled_rows_keep_the_features_and_lose_the_coupling():
    samples = [draw(np.random.default_rng(0), Shape(2000, 12, 10), shared, shuffled=shuffled) for shuffled in (0, 1)]
    strongest = []
    for sample in samples:
        q_x, q_y = np.linalg.qr(sample.x)[0], np.linalg.qr(sample.y)[0]
        strongest.append(np.linalg.norm(q_x.T @ q_y, 2))
    assert strongest[0] > 0.7
    assert strongest[1] < 0.3


def test_groups_are_near_copies():
    sample = draw(np.random.default_rng(1), Shape(30, 8, 5, grouped=True), none)
    sizes = np.bincount(sample.groups)
    assert (len(sizes), sizes.min(), sizes.max()) == (30, 1, 10)
    means = np.stack([sample.x[sample.groups == group].mean(axis=0) for group in range(30)])
    assert (sample.x - means[sample.groups]).std() < 0.1 * sample.x.std()


def test_labels_hang_on_the_signal():
    rng = np.random.default_rng(2)
    signal = rng.standard_normal((4000, 4))
    assert 0.15 < np.corrcoef(mixed(rng, signal)[:, 0], signal.sum(axis=1))[0, 1] ** 2 < 0.25
    one_hot = classes(8, 0.5)(rng, signal)
    assert (one_hot.sum(axis=1) == 1).all()
    assert one_hot.shape == (4000, 8)
    assert 0.45 < np.isnan(gappy(rng, signal)).mean() < 0.55


def test_tables_are_printed_and_written(tmp_path, capsys):
    path = tmp_path / "evidence.json"
    evidence.main(["--parts", "component size", "--draws", "2", "--json", str(path)])
    (table,) = json.loads(path.read_text(encoding="utf-8"))["tables"].values()
    assert list(table) == list(evidence.PARTS["component size"])
    assert all(share in (0, 0.5, 1) for share in table.values())
    assert "component size, 2 draws" in capsys.readouterr().out
