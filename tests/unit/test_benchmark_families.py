"""Families depart in what they say and in nothing else; nulls have lost their dependence."""

import json

import numpy as np
import pytest

from benchmarks import families
from benchmarks.families import FAMILIES, NULLS, family_world, most_allowed, null_world
from benchmarks.labelings import LabelKind
from benchmarks.problems import REGIMES, SIZES, Size

SIZE = Size(600, 200, 24, 36)
SEED = 8  # of a problem of `plain` where x, y and labels depend strongly on each other


def some(name, count=4):
    return [family_world(name, seed, SIZE) for seed in range(count)]


@pytest.mark.parametrize("name", FAMILIES)
def test_families_depart_in_what_they_say(name):
    family = FAMILIES[name]
    drawn = some(name)
    assert [world.ratios.regime for world in drawn] == [*REGIMES]
    size = family.size or SIZE
    for world in drawn:
        assert (world.x.shape, world.y.shape) == ((size.n_pairs, size.dx), (size.n_pairs, size.dy))
        assert len(world.labels) == len(world.rows) == size.n_labeled
        assert world.population.general is (name == "general_mixing")
        assert (world.traits.degrees is not None) is (name == "heavy_tails")
        assert (world.groups is not None) is name.startswith("repeated")


def test_no_two_families_share_their_random_numbers():
    corners = [family_world(name, 0, SIZE).x[0, 0] for name in FAMILIES]
    assert len(set(corners)) == len(FAMILIES)


def test_sizes_of_departures():
    assert all(4.5 <= world.traits.degrees <= 6 for world in some("heavy_tails", 8))
    assert all(6 <= len(world.population.kappa2) <= 10 for world in some("many_signals", 8))
    for world in some("rare_class", 8):
        shares = world.labels.mean(axis=0)
        assert (world.labels.sum(axis=1) == 1).all()
        assert 0 < shares.min() < 0.12  # of 200 labeled rows, where 3 to 6 in 100 are expected


@pytest.mark.parametrize("name", ["repeated_rows", "repeated_labels"])
def test_rows_are_repeated(name):
    for world in some(name):
        counts = np.bincount(world.groups)
        assert set(counts[counts > 0][:-1]) <= {3, 4, 5}
        assert 0.6 <= world.traits.grouping.share <= 0.95
        # Rows of a group are alike in the variance that the group owns.
        order = np.argsort(world.groups, kind="stable")
        same = np.flatnonzero(np.diff(world.groups[order]) == 0)
        first, second = world.x[order[same]], world.x[order[same + 1]]
        alike = (first * second).sum() / np.sqrt((first**2).sum() * (second**2).sum())
        assert alike == pytest.approx(world.traits.grouping.share, abs=0.1)


def test_repeated_labels_are_those_of_the_group():
    for world in some("repeated_labels"):
        groups = world.groups[world.rows]
        assert len(np.unique(groups)) < len(groups)
        for group in np.unique(groups):
            assert (np.ptp(world.labels[groups == group], axis=0) == 0).all()


def strongest(a, b):
    """The largest absolute correlation between columns."""
    return np.abs(np.corrcoef(a.T, b.T)[: a.shape[1], a.shape[1] :]).max()


class TestNulls:
    def drawn(self, name):
        """A null, and the problem of `plain` that it was made from; everything depends strongly there."""
        size = Size(4000, 2000, 6, 8)
        return null_world(name, SEED, size), family_world("plain", SEED, size)

    def test_pairing_is_shuffled(self):
        null, plain = self.drawn("null_pairing")
        np.testing.assert_array_equal(null.x, plain.x)
        np.testing.assert_array_equal(null.labels, plain.labels)
        np.testing.assert_array_equal(np.sort(null.y, axis=0), np.sort(plain.y, axis=0))
        assert strongest(plain.x, plain.y) > 0.3
        assert strongest(null.x, null.y) < 0.08
        assert strongest(null.y[null.rows], null.labels) < 0.12

    def test_labels_are_strange(self):
        null, plain = self.drawn("null_labels")
        np.testing.assert_array_equal(null.x, plain.x)
        np.testing.assert_array_equal(null.y, plain.y)
        assert strongest(plain.x[plain.rows], plain.labels) > 0.2
        assert strongest(null.x[null.rows], null.labels) < 0.12

    def test_both_are_lost(self):
        null, _ = self.drawn("null_both")
        assert strongest(null.x, null.y) < 0.08
        assert strongest(null.x[null.rows], null.labels) < 0.12

    def test_no_two_nulls_share_their_random_numbers(self):
        a, b = null_world("null_pairing", 0, SIZE), null_world("null_both", 0, SIZE)
        assert not np.array_equal(a.y, b.y)


@pytest.mark.parametrize(("draws", "most"), [(400, 28), (1, 1)])
def test_allowed_claims(draws, most):
    assert most_allowed(draws) == most


@pytest.mark.usefixtures("one_chain")
def test_program_prints_tables_and_writes_json(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(SIZES, "small", Size(300, 100, 8, 11))
    path = tmp_path / "families.json"
    families.main(
        ["--families", "plain", "repeated_rows", *NULLS, "--problems", "4", "--draws", "6", "--json", str(path)]
    )
    written = json.loads(path.read_text(encoding="utf-8"))
    assert list(written["families"]) == ["plain", "repeated_rows"]
    assert list(written["claims"]) == list(NULLS)
    for row in written["families"].values():
        assert row["problems"] == 4
        assert 0 <= row["published_regime_accuracy"] <= 1
        assert 0 <= row["brier"] <= 2
    assert all(claims <= 3 for claims in written["claims"].values())
    printed = capsys.readouterr().out
    assert "repeated_rows" in printed
    assert "null_both" in printed


def test_a_signal_is_claimed_where_nothing_was_taken():
    drawn = [family_world("plain", seed, Size(1500, 500, 8, 11)) for seed in range(4)]
    judged = [families.judge(world) for world in drawn]
    assert sum(claimed for _, claimed, _ in judged) >= 3
    assert {outcome.label_kind for outcome, _, _ in judged} <= set(LabelKind)
