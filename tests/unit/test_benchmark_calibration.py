"""The fit of the calibration: the service's own formulas, coefficients recovered, tables that add up."""

import json
import math
from dataclasses import asdict, replace

import numpy as np
import pytest

from benchmarks import calibration, results
from benchmarks.temperature import (
    PRESENT,
    UNCALIBRATED,
    Record,
    as_arrays,
    fit,
    intervals,
    probabilities,
    temperatures,
)
from service.estimation.calibration import (
    LOG_LIMIT,
    Circumstances,
    cell_probabilities,
    log_interval,
    temperature,
    without_claim,
)

LEVELS = [0.05, 0.5, 0.95]


def record_of(log_ratios, given, seed=0, truth=(0.1, -0.2, 0.3), claimed=True):
    """A record as the program makes it of draws (n, 3)."""
    cells = (log_ratios > 0) @ np.array([4, 2, 1])
    quantiles = np.quantile(np.clip(log_ratios, -LOG_LIMIT, LOG_LIMIT), LEVELS, axis=0).T
    return Record(
        generator="wide",
        seed=seed,
        spiked=given.spiked,
        crowding=given.crowding,
        one_target=given.one_target,
        n_pairs=given.n_pairs,
        claimed=claimed,
        cells=tuple((np.bincount(cells, minlength=8) / len(cells)).tolist()),
        quantiles=tuple(tuple(row) for row in quantiles.tolist()),
        log_ratios=truth,
    )


@pytest.mark.parametrize("spiked", [True, False])
@pytest.mark.parametrize("crowding", [0.05, 0.4, 1.7])
@pytest.mark.parametrize("one_target", [True, False])
def test_formulas_are_those_of_the_service(spiked, crowding, one_target):
    given = Circumstances(spiked=spiked, crowding=crowding, one_target=one_target, n_pairs=345.6)
    draws = np.random.default_rng(0).normal([0.2, -0.5, 1.0], [0.4, 0.6, 0.8], (500, 3))
    records = as_arrays([record_of(draws, given)])
    assert temperatures(records, PRESENT)[0] == pytest.approx(temperature(given), rel=1e-12)
    expected = cell_probabilities(draws, np.ones(len(draws)), given)
    np.testing.assert_allclose(probabilities(records, PRESENT)[0], expected.ravel(), rtol=1e-12)
    low, high = intervals(records, PRESENT)
    for place in range(3):
        expected = log_interval(draws[:, place], 0.9, given)
        bounded = (max(low[0, place], -LOG_LIMIT), min(high[0, place], LOG_LIMIT))
        assert bounded == pytest.approx(tuple(np.clip(expected[::2], -LOG_LIMIT, LOG_LIMIT)), rel=1e-9)


def test_without_a_claim_intervals_have_no_ends_and_neither_has_half():
    given = Circumstances(spiked=True, crowding=0.1, one_target=False, n_pairs=300.0)
    draws = np.full((50, 3), 0.7)
    records = as_arrays([record_of(draws, given, claimed=False)])
    expected = without_claim(cell_probabilities(draws, np.ones(50), given))
    np.testing.assert_allclose(probabilities(records, PRESENT)[0], expected.ravel(), rtol=1e-12)
    low, high = intervals(records, PRESENT)
    assert np.isneginf(low).all()
    assert np.isposinf(high).all()


def test_uncalibrated_draws_are_left_as_they_are():
    given = Circumstances(spiked=False, crowding=0.5, one_target=True, n_pairs=100)
    record = record_of(np.random.default_rng(1).normal(0.3, 1, (500, 3)), given)
    records = as_arrays([record])
    np.testing.assert_allclose(probabilities(records, UNCALIBRATED)[0], record.cells, rtol=1e-12)
    low, high = intervals(records, UNCALIBRATED)
    np.testing.assert_allclose(np.stack([low[0], high[0]], axis=1), np.array(record.quantiles)[:, [0, 2]], rtol=1e-12)


def overconfident(count, slope, rng):
    """Records whose draws are sharper than the truth: by a temperature 1 + slope times crowding, spiked ones."""
    found = []
    for seed in range(count):
        crowding = rng.uniform(0, 1)
        given = Circumstances(spiked=True, crowding=crowding, one_target=False, n_pairs=400)
        truth = rng.normal(0, 1, 3)
        deviation = rng.uniform(0.1, 0.6)
        centre = truth + rng.normal(0, deviation * (1 + slope * crowding), 3)
        draws = centre + deviation * rng.standard_normal((400, 3))
        found.append(record_of(draws, given, seed, tuple(truth.tolist())))
    return found


class TestFit:
    def test_honest_draws_need_no_temperature(self):
        records = as_arrays(overconfident(600, 0.0, np.random.default_rng(2)))
        found = fit(records)
        assert found.spiked_crowding < 0.5
        low, high = intervals(records, found)
        own_low, _, own_high = np.moveaxis(records.quantiles, 2, 0)
        assert np.median((high - low) / (own_high - own_low)) == pytest.approx(1, abs=0.1)

    def test_draws_of_no_signal_widen_no_interval(self):
        records = overconfident(300, 0.0, np.random.default_rng(7))
        lost = [replace(record, quantiles=((-LOG_LIMIT,) * 3,) * 3) for record in records[:30]]
        all_cells, kept = as_arrays(records + lost), as_arrays(records)
        found, without = fit(all_cells), fit(kept)
        found = replace(found, spiked_crowding=without.spiked_crowding)
        low, high = intervals(kept, found)
        assert np.median(high - low) == pytest.approx(np.median(np.diff(intervals(kept, without), axis=0)), rel=0.2)

    def test_sharp_draws_are_tempered(self):
        found = fit(as_arrays(overconfident(600, 2.0, np.random.default_rng(3))))
        assert 0.6 < found.spiked_crowding < 6
        # No general world speaks: the prior does.
        assert (found.general, found.general_crowding) == (0, 0)

    def test_fitted_probabilities_promise_less_than_sharp_draws(self):
        data = as_arrays(overconfident(400, 3.0, np.random.default_rng(4)))
        found, truth = fit(data), data.true_cells
        losses = [
            -np.log(np.maximum(probabilities(data, of)[np.arange(400), truth], 1e-6)).mean()
            for of in (found, UNCALIBRATED)
        ]
        assert losses[0] < losses[1]

    def test_intervals_cover_after_the_fit(self):
        data = as_arrays(overconfident(500, 1.0, np.random.default_rng(5)))
        low, high = intervals(data, fit(data))
        covered = (low <= data.log_ratios) & (data.log_ratios <= high)
        assert covered.mean() == pytest.approx(0.9, abs=0.05)


class TestReliability:
    def records(self):
        """Three certain records: right in both regime and cell, right in the regime alone, wrong."""
        given = Circumstances(spiked=True, crowding=0.1, one_target=False, n_pairs=100)
        both = np.full((10, 3), 1.0)
        return [
            record_of(both, given, 0, (1.0, 1.0, 1.0)),
            record_of(both, given, 1, (1.0, 1.0, -1.0)),
            record_of(both, given, 2, (math.inf, -1.0, 1.0)),
        ]

    def test_figures_of_certain_answers(self):
        data = as_arrays(self.records())
        cells = probabilities(data, UNCALIBRATED)
        found = calibration.reliability(data, cells, *intervals(data, UNCALIBRATED))
        assert found["accuracy"] == found["sure_right"] == pytest.approx(2 / 3)
        assert found["brier"] == pytest.approx(2 / 3)
        assert found["ece"] == pytest.approx(1 / 3)
        assert found["sure"] == found["promised"] == 1
        # The infinite ratio does not count; of prediction, 4 of 6 lie in their intervals, which are points.
        assert found["covered_ca"] == 1
        assert found["covered_cp"] == pytest.approx(4 / 6)

    def test_bands_part_the_records(self):
        records = overconfident(60, 0.0, np.random.default_rng(6))
        general = [replace(record, spiked=False) for record in records[:20]]
        data = as_arrays(records + general)
        found = calibration.bands(data)
        assert found["all"].sum() == 80
        assert (found["spiked"] ^ found["general"]).all()
        parts = [chosen for name, chosen in found.items() if name.startswith("spiked, crowding")]
        np.testing.assert_array_equal(np.sum(parts, axis=0), found["spiked"])

    def test_halves_have_every_regime(self):
        records = [replace(record, seed=seed) for seed, record in enumerate(self.records() * 8)]
        second = calibration.second_half(records)
        for half in (second, ~second):
            assert {record.seed % 4 for record, chosen in zip(records, half, strict=True) if chosen} == {0, 1, 2, 3}


def test_record_is_what_the_estimate_says():
    found = calibration.record("wide", 0)
    assert sum(found.cells) == pytest.approx(1)
    assert all(low <= median <= high for low, median, high in found.quantiles)
    assert found.n_pairs > 0
    assert (found.generator, found.seed) == ("wide", 0)
    assert found == calibration.record("wide", 0)


@pytest.mark.usefixtures("one_chain")
def test_program_prints_tables_and_fits_again_what_it_wrote(tmp_path, capsys, monkeypatch):
    path, again = tmp_path / "first.json", tmp_path / "again.json"
    calibration.main(["--worlds", "12", "--crowded", "0", "--json", str(path)])
    calibration.main(["--again", str(path), "--json", str(again)])
    first, second = (json.loads(file.read_text(encoding="utf-8")) for file in (path, again))
    assert first == second
    assert len(first["records"]) == 12
    assert first["reliability"]["present coefficients"]["all"]["worlds"] == 12
    assert first["coefficients"]["present"] == asdict(PRESENT)
    assert "fitted on the other half" in capsys.readouterr().out


def test_infinite_ratios_survive_writing(tmp_path):
    path = tmp_path / "records.json"
    given = Circumstances(spiked=True, crowding=0.1, one_target=False, n_pairs=100)
    record = record_of(np.zeros((10, 3)), given, truth=(math.inf, 0.5, math.inf))
    results.write(path, {"records": [asdict(record)]})
    assert calibration.read_records(path) == [record]


def test_too_few_worlds_are_refused(capsys):
    with pytest.raises(SystemExit):
        calibration.main(["--worlds", "3", "--crowded", "2"])
    assert "at least 8" in capsys.readouterr().err
