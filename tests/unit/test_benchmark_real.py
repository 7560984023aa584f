"""The benchmark on real pairs: subsets keep what belongs together, accidents are what they say, tables say it all."""

import json

import numpy as np
import pytest

from benchmarks import real_data, real_tables
from benchmarks.real_runs import ACCIDENTS, broken
from benchmarks.real_sets import SETS, RealPair, for_reference, half
from benchmarks.real_tables import BEGIN, END, agreement, between_markers, ratio, tables
from service.estimation.covariates import covariate_columns
from service.estimation.labels import label_columns
from service.estimation.options import Options, Scalings
from service.estimation.terms import Missing, Scaling

pytestmark = pytest.mark.usefixtures("one_chain")

SHIPPED = [name for name, real in SETS.items() if real.file is None]


@pytest.fixture
def pair():
    """Forty groups of one to four rows; x, y, label and covariate all know their row."""
    rng = np.random.default_rng(3)
    groups = np.repeat(np.arange(40), rng.integers(1, 5, 40))
    row = np.arange(len(groups), dtype=np.float64)
    return RealPair(
        np.column_stack([row, 100 * rng.standard_normal(len(row)), rng.standard_normal(len(row))]),
        np.column_stack([row, rng.standard_normal(len(row))]),
        label_columns({"label": row}),
        groups,
        covariate_columns({"depth": row}),
        Options(scaling=Scalings(Scaling.STANDARDIZE, Scaling.STANDARDIZE), missing=Missing.DROP_ROWS),
    )


def test_a_half_keeps_groups_whole_and_rows_together(pair):
    some = half(pair, seed=1)
    rows = some.x[:, 0]
    assert len(np.unique(some.groups)) == 20
    assert len(rows) == np.isin(pair.groups, some.groups).sum()
    for values in (some.y[:, 0], some.labels[0].values, some.covariates[0].values):
        np.testing.assert_array_equal(values, rows)
    np.testing.assert_array_equal(some.groups, pair.groups[rows.astype(int)])


def test_a_half_without_groups_is_half_of_the_rows_and_another_for_another_seed(pair):
    alone = RealPair(pair.x, pair.y, pair.labels)
    first, again, other = (half(alone, seed).x[:, 0] for seed in (1, 1, 2))
    assert len(first) == len(pair.x) // 2
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_the_published_procedure_gets_complete_scaled_pairs(pair):
    pair.x[5, 1] = np.nan
    given = for_reference(pair)
    assert 5 not in given.labels[0].values
    assert len(given.x) == len(given.y) == len(pair.x) - 1
    assert given.groups is None
    np.testing.assert_allclose(given.x.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(given.x.std(axis=0), 1)


def test_accidents_do_what_they_say_and_leave_labels_alone(pair):
    copied, shuffled, noise = (broken(pair, accident) for accident in ACCIDENTS)
    np.testing.assert_array_equal(copied.y[:, -1], pair.x[:, 0])  # of the spreads 1, 40 and 100 the middle one
    np.testing.assert_array_equal(copied.y[:, :-1], pair.y)
    assert not np.array_equal(shuffled.y, pair.y)
    np.testing.assert_array_equal(np.sort(shuffled.y[:, 0]), pair.y[:, 0])
    np.testing.assert_array_equal(shuffled.x, pair.x)
    assert (noise.x.shape, noise.y.shape) == (pair.x.shape, pair.y.shape)
    assert abs(np.corrcoef(noise.x[:, 0], pair.x[:, 0])[0, 1]) < 0.5
    for accident in (copied, shuffled, noise):
        np.testing.assert_array_equal(accident.labels[0].values, pair.labels[0].values)
        np.testing.assert_array_equal(accident.groups, pair.groups)
    with pytest.raises(ValueError, match="spilled"):
        broken(pair, "spilled")


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_sets_load_with_labels_for_every_pair(name):
    pair = SETS[name].load(None)
    assert len(pair.x) == len(pair.y) == len(pair.labels[0].values)
    assert pair.x.shape[1] >= 2
    assert pair.y.shape[1] >= 2


def test_only_conclusive_halves_can_contradict():
    halves = [
        {"regime": regime, "probability": probability}
        for regime, probability in (("both", 0.9), ("both", 0.8), ("neither", 0.95), ("neither", 0.79), ("both", 0.4))
    ]
    assert agreement(halves, "neither") == {
        "agree": 2,
        "conclusive": {"both": 2, "neither": 1},
        "split": 1,
        "against": 2,
    }
    assert agreement([], "both") == {"agree": 0, "conclusive": {}, "split": 0, "against": 0}


@pytest.mark.parametrize(
    ("separation", "text"),
    [
        ({"status": "no_signal", "ratio": None, "interval": None}, "no signal"),
        ({"status": "ok", "ratio": 1.2345, "interval": None}, "1.23, 2/3"),
        ({"status": "ok", "ratio": 1.2345, "interval": {"low": 0, "high": 12345.6}}, "1.23 (0 to 12346), 2/3"),
        ({"status": "no_nuisance", "ratio": None, "interval": {"low": 0.5, "high": None}}, "∞ (0.5 to ∞), 2/3"),
    ],
)
def test_a_ratio_says_what_there_is(separation, text):
    assert ratio({**separation, "signal_count": 3, "recovered_count": 2}) == text


def test_tables_go_between_the_markers_and_nowhere_else():
    page = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    new = between_markers(page, "| new |")
    assert new == f"before\n{BEGIN}\n\n| new |\n\n{END}\nafter\n"
    assert between_markers(new, "| new |") == new
    for broken_page in ("nothing", BEGIN, f"{END} {BEGIN}"):
        with pytest.raises(ValueError, match="tables: begin"):
            between_markers(broken_page, "")


def test_a_set_runs_from_data_to_tables(tmp_path, capsys):
    page = tmp_path / "page.md"
    page.write_text(f"# Page\n{BEGIN}{END}", encoding="utf-8")
    real_data.main(["--sets", "wine", "--halves", "1", "--results", str(tmp_path)])
    printed = capsys.readouterr().out
    found = json.loads((tmp_path / "wine.json").read_text(encoding="utf-8"))
    assert tables({"wine": found}) in printed
    assert (found["report"]["data"]["n_features_x"], found["report"]["data"]["n_features_y"]) == (6, 7)
    assert "| wine | copied | yes |" in printed
    assert "| wine | shuffled | no |" in printed
    assert "| wine | noise | no |" in printed
    assert list(found["published"]) == ["same_features", "as_they_are"]
    assert len(found["halves"]) == 1
    for line in real_tables.tables({"wine": found}).splitlines():
        assert not line.startswith("| wine") or "None" not in line

    assert "covariates |\n| --- | --- | --- | --- | --- | --- |" in printed
    found["report"]["spectra"]["ca"][1]["covariates"] = {"depth": 0.25}
    assert "| wine | 1 | " in real_tables.tables({"wine": found})
    assert "depth 0.25 |" in real_tables.tables({"wine": found})

    with pytest.raises(SystemExit):
        real_data.main(["--sets", "--results", str(tmp_path), "--page", str(page)])
    assert "no results yet: bmmc" in capsys.readouterr().err
    for name in SETS:
        (tmp_path / f"{name}.json").write_text(json.dumps(found), encoding="utf-8")
    real_data.main(["--sets", "--results", str(tmp_path), "--page", str(page)])
    assert page.read_text(encoding="utf-8").count("| emoji |") == printed.count("| wine |") + 1


def test_sets_in_files_need_their_folder(capsys):
    with pytest.raises(SystemExit):
        real_data.main(["--sets", "bmmc", "digits"])
    assert "--data where these sets are: bmmc" in capsys.readouterr().err
