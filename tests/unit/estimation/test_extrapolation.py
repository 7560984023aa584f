"""What would settle an objective: the search for the least factor, and when it is made at all."""

from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest

from service.estimation import extrapolation
from service.estimation.extrapolation import FACTORS, OBJECTIVES, least_factor, what_would_settle
from service.estimation.separation_records import RecoveryProbability, WouldSettle

SETTLED = {True: (0.05, 0.95), False: (0.3, 0.5, 0.7)}


def probabilities(place, decided):
    """Some probability that is decided or not, another for every place."""
    choices = SETTLED[decided]
    return choices[place % len(choices)]


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("first", range(len(FACTORS) + 1))
def test_the_search_finds_what_trying_every_factor_finds(name, first):
    asked = []

    def extrapolated(factor):
        asked.append(factor)
        place = FACTORS.index(factor)
        undecided = dict.fromkeys(OBJECTIVES, 0.5)
        return RecoveryProbability(**undecided | {name: probabilities(place, place >= first)})

    every = [factor for place, factor in enumerate(FACTORS) if place >= first]
    assert least_factor(extrapolated, name) == (every[0] if every else None)
    assert len(asked) <= 4


def test_the_search_never_answers_with_an_undecided_factor():
    """More data may unsettle an objective, against the assumption: the answer is then one that settles, if any is."""
    for decided in product((True, False), repeat=len(FACTORS)):

        def extrapolated(factor, decided=decided):
            place = FACTORS.index(factor)
            return RecoveryProbability(ca=probabilities(place, decided[place]), cp_x_to_y=0.5, cp_y_to_x=0.5)

        found = least_factor(extrapolated, "ca")
        assert (found is None) == (not decided[-1])
        assert found is None or decided[FACTORS.index(found)]


def cells_of(ca, forward, reverse):
    """Probabilities of the eight cells of three independent events."""
    one = [np.array([1 - p, p]) for p in (ca, forward, reverse)]
    return np.einsum("i,j,k->ijk", *one)


def settled(monkeypatch, recovery, then, claimed=True):
    """What would settle an estimate whose extrapolation is `then(more_pairs, more_labels)`, and the calls made."""
    calls = []

    def sample(material, *, seed, more_pairs, more_labels, spiked, effort):
        calls.append((more_pairs, more_labels))
        assert (material, seed, spiked) == ("scaled", 7, True)
        assert 0 < effort <= 1
        return SimpleNamespace(probabilities=cells_of(*then(more_pairs, more_labels)))

    monkeypatch.setattr(extrapolation, "sample", sample)
    monkeypatch.setattr(extrapolation, "in_units", lambda material: ("scaled", (1.0, 1.0)))
    found = SimpleNamespace(
        probabilities=cells_of(*recovery), circumstances=SimpleNamespace(spiked=True), claimed=claimed
    )
    return what_would_settle("given", found, n_pairs=1000, n_labeled=120, seed=7), calls


def test_decided_objectives_cost_no_extrapolation(monkeypatch):
    found, calls = settled(monkeypatch, (0.9, 0.1, 0.8), lambda pairs, labels: (0.5, 0.5, 0.5))
    assert found == dict.fromkeys(OBJECTIVES)
    assert calls == []


def test_without_a_claim_nothing_is_extrapolated(monkeypatch):
    found, calls = settled(monkeypatch, (0.1, 0.4, 0.3), lambda pairs, labels: (0.9, 0.9, 0.9), claimed=False)
    assert found == {"ca": None, "cp_x_to_y": WouldSettle(None, None), "cp_y_to_x": WouldSettle(None, None)}
    assert calls == []


def test_what_would_settle_is_there_for_undetermined_objectives_alone(monkeypatch):
    def then(more_pairs, more_labels):
        return 0.9, 0.9 if more_labels >= 4 else 0.6, 0.9 if more_pairs >= 8 else 0.4

    found, calls = settled(monkeypatch, (0.9, 0.6, 0.4), then)
    assert found == {
        "ca": None,
        "cp_x_to_y": WouldSettle(more_labels=360, more_pairs=None),
        "cp_y_to_x": WouldSettle(more_labels=None, more_pairs=7000),
    }
    assert len(calls) == len(set(calls)) <= 2 * len(FACTORS)
    assert all(1.0 in call for call in calls)


def test_objectives_share_extrapolations(monkeypatch):
    found, calls = settled(monkeypatch, (0.5, 0.5, 0.5), lambda pairs, labels: (0.95, 0.95, 0.05))
    assert set(found.values()) == {WouldSettle(more_labels=120, more_pairs=1000)}
    assert len(calls) == len(set(calls))
