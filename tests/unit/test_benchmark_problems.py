"""The benchmark's problems are what they claim: closed forms, shares of regimes, frozen draws."""

import json
import math

import numpy as np
import pytest
from scipy import linalg, stats

from benchmarks import accuracy, estimators
from benchmarks.problems import (
    REGIMES,
    SIZES,
    LabelKind,
    NuisanceProfile,
    Size,
    SpikedModel,
    TrueRatios,
    draw_model,
    draw_problem,
    sample,
)
from benchmarks.scoring import ask, calibration_error, calibration_error_by_chance, compare, score, summarise


def population(model: SpikedModel, dx: int, dy: int):
    """Sxx, Syy, Sxy of a model in its own basis."""
    k, paired = len(model.kappa2), len(model.nu)
    cross = np.zeros((dx, dy))
    cross[range(k), range(k)] = model.kappa2
    nuisance = range(k, k + paired)
    cross[nuisance, nuisance] = model.nu * np.sqrt(model.tilde_x[:paired] * model.tilde_y[:paired])
    return (
        np.diag(np.concatenate([model.kappa2 + model.gamma_x, model.tilde_x])),
        np.diag(np.concatenate([model.kappa2 + model.gamma_y, model.tilde_y])),
        cross,
    )


def inverse_root(covariance):
    return linalg.inv(linalg.sqrtm(covariance).real)


def smallest_signal_over_largest_nuisance(coupling, k):
    """Signal are the right singular vectors that lie in the first k coordinates."""
    _, values, right = linalg.svd(coupling, full_matrices=False)
    signal = (right[:, :k] ** 2).sum(axis=1) > 0.5
    assert signal.sum() == k
    return values[signal].min() / values[~signal].max()


@pytest.mark.parametrize("seed", range(12))
def test_closed_forms_are_those_of_the_population(seed):
    dx, dy = (11, 9) if seed % 2 else (8, 13)
    model = draw_model(np.random.default_rng(seed), dx, dy)
    sxx, syy, sxy = population(model, dx, dy)
    k, ratios = len(model.kappa2), model.ratios()
    alignment = inverse_root(sxx) @ sxy @ inverse_root(syy)
    assert ratios.ca == pytest.approx(smallest_signal_over_largest_nuisance(alignment, k), rel=1e-9)
    forward = smallest_signal_over_largest_nuisance(sxy.T @ inverse_root(sxx), k)
    assert ratios.cp_x_to_y == pytest.approx(forward, rel=1e-9)
    reverse = smallest_signal_over_largest_nuisance(sxy @ inverse_root(syy), k)
    assert ratios.cp_y_to_x == pytest.approx(reverse, rel=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_samples_have_the_population_s_couplings(seed):
    rng = np.random.default_rng(seed)
    size = Size(60_000, 50, 7, 9)
    model = draw_model(rng, size.dx, size.dy)
    problem = sample(rng, model, size)
    sxx, syy, sxy = population(model, size.dx, size.dy)
    joint = np.cov(problem.x.T, problem.y.T)
    found_x, found_y, found_xy = joint[:7, :7], joint[7:, 7:], joint[:7, 7:]
    np.testing.assert_allclose(linalg.eigvalsh(found_x), np.sort(np.diag(sxx)), rtol=0.05)
    np.testing.assert_allclose(
        linalg.svdvals(inverse_root(found_x) @ found_xy @ inverse_root(found_y)),
        linalg.svdvals(inverse_root(sxx) @ sxy @ inverse_root(syy)),
        atol=0.02,
    )


def test_regimes_come_in_equal_shares():
    regimes = [draw_problem(seed, SIZES["tight"]).ratios.regime for seed in range(20)]
    assert regimes == [*REGIMES] * 5


def test_every_kind_and_profile_occurs():
    problems = [draw_problem(seed, SIZES["tight"]) for seed in range(40)]
    assert {problem.label_kind for problem in problems} == set(LabelKind)
    assert {problem.profile for problem in problems} == set(NuisanceProfile)
    for problem in problems:
        size = SIZES["tight"]
        assert problem.x.shape == (size.n_pairs, size.dx)
        assert problem.y.shape == (size.n_pairs, size.dy)
        assert problem.labels.shape[0] == size.n_labeled
        assert (problem.labels.std(axis=0) > 0).all()
        assert (np.diff(problem.rows) > 0).all()


@pytest.mark.parametrize(
    ("seed", "size", "ratios", "corner"),
    [
        (0, "small", (3.0702588120197447, 2.218629657581246, 1.5359501487742826), 1.500364429019593),
        (1, "small", (1.5112752921276522, 0.604405704057409, 1.829487931811238), 0.3734031251091528),
        (2, "tight", (0.7067250520544003, 2.11423409046557, 1.7009500401256166), -0.3099224855826926),
        (3, "tight", (0.6845398150821901, 0.6838632896326525, 0.5582979375899871), -1.6001974447844018),
    ],
)
def test_a_seed_names_one_problem_for_ever(seed, size, ratios, corner):
    problem = draw_problem(seed, SIZES[size])
    assert tuple(vars(problem.ratios).values()) == pytest.approx(ratios, rel=1e-12)
    assert problem.x[0, 0] == pytest.approx(corner, rel=1e-9)


@pytest.mark.parametrize(
    ("seed", "size", "truth", "answered"),
    [
        (0, "small", "both", "neither"),
        (8, "small", "both", "both"),
        (9, "small", "ca_only", "ca_only"),
        (22, "small", "cp_only", "cp_only"),
        (3, "small", "neither", "neither"),
        (0, "tight", "both", "cp_only"),
        (2, "tight", "cp_only", "cp_only"),
        (5, "tight", "ca_only", "neither"),
        (7, "tight", "neither", "neither"),
    ],
)
def test_published_procedure_on_single_problems(seed, size, truth, answered):
    problem = draw_problem(seed, SIZES[size])
    answer = estimators.reference(problem.x, problem.y, problem.labels, problem.rows)
    assert problem.ratios.regime == truth
    assert answer["probabilities"] == {regime.value: float(regime == answered) for regime in REGIMES}


def test_no_signal_is_a_ratio_of_zero():
    problem = draw_problem(7, SIZES["tight"])
    ratios = estimators.reference(problem.x, problem.y, problem.labels, problem.rows)["ratios"]
    assert (ratios["ca"], ratios["cp_y_to_x"]) == (0.0, 0.0)
    assert ratios["cp_x_to_y"] == pytest.approx(0.8416, abs=1e-4)


def test_no_nuisance_is_an_infinite_ratio():
    x = np.random.default_rng(0).standard_normal((40, 1))
    y = x @ np.ones((1, 3)) + np.random.default_rng(1).standard_normal((40, 3))
    assert set(estimators.reference(x, y, x, np.arange(40))["ratios"].values()) == {math.inf}


class TestScoring:
    def knowing(self, seed, size="tight"):
        """An estimator that knows the answer to one problem."""
        truth = draw_problem(seed, SIZES[size]).ratios
        probabilities = {regime.value: float(regime is truth.regime) for regime in REGIMES}
        return lambda x, y, labels, rows, seed: {"ratios": vars(truth), "probabilities": probabilities}

    def test_truth_scores_full_marks(self):
        figures = score(self.knowing(5), SIZES["tight"], [5])
        for name in ("regime_accuracy", "sure_fraction", "sure_accuracy", "direction_accuracy"):
            assert figures[name] == 1
        assert figures["regime_accuracy_ca_only"] == 1
        assert (figures["brier"], figures["ratio_log_error_median"]) == (0, 0)
        assert math.isnan(figures["regime_accuracy_both"])

    def test_uniform_guess(self):
        def guess(x, y, labels, rows, seed):
            ratios = {"ca": 1.0, "cp_x_to_y": 1.0, "cp_y_to_x": 1.0}
            return {"ratios": ratios, "probabilities": dict.fromkeys(REGIMES, 0.25)}

        figures = score(guess, SIZES["tight"], range(4))
        assert figures["brier"] == pytest.approx(0.75)
        assert figures["mean_confidence"] == 0.25
        assert (figures["regime_accuracy"], figures["sure_fraction"]) == (0.25, 0)
        assert figures["direction_accuracy"] == 0

    def test_ratios_are_clipped(self):
        problem = draw_problem(0, SIZES["tight"])
        probabilities = dict.fromkeys(REGIMES, 0.25)
        ratios = {"ca": math.inf, "cp_x_to_y": 0.0, "cp_y_to_x": problem.ratios.cp_y_to_x}
        errors = ask(lambda *_: {"ratios": ratios, "probabilities": probabilities}, problem).ratio_errors
        truth = problem.ratios
        assert errors == pytest.approx([math.log(50 / truth.ca), math.log(truth.cp_x_to_y / 0.02), 0.0])

    def test_intervals_are_held_against_finite_ratios(self):
        answer = {
            "ratios": {"ca": 1.0, "cp_x_to_y": 1.0, "cp_y_to_x": 1.0},
            "probabilities": dict.fromkeys(REGIMES, 0.25),
            "intervals": {"ca": (0.5, 2.0), "cp_x_to_y": (0.0, 1.5), "cp_y_to_x": (0.2, 3.0)},
        }
        outcomes = [
            compare(answer, TrueRatios(ca=1.9, cp_x_to_y=1.6, cp_y_to_x=math.inf), "linear", 0.0),
            compare(answer, TrueRatios(ca=2.1, cp_x_to_y=0.1, cp_y_to_x=0.2), "linear", 0.0),
        ]
        assert [outcome.covered for outcome in outcomes] == [
            {"ca": True, "cp_x_to_y": False},
            {"ca": False, "cp_x_to_y": True, "cp_y_to_x": True},
        ]
        assert outcomes[0].log_widths == pytest.approx([math.log(4), math.inf])
        figures = summarise(outcomes)
        assert figures["interval_coverage"] == pytest.approx(3 / 5)
        assert figures["interval_coverage_ca"] == figures["interval_coverage_cp_x_to_y"] == 0.5
        assert figures["interval_coverage_cp_y_to_x"] == 1
        assert figures["interval_log_width_median"] == pytest.approx(math.log(15))

    def test_two_infinite_predictions_are_equal(self):
        answer = {
            "ratios": {"ca": 1.0, "cp_x_to_y": math.inf, "cp_y_to_x": math.inf},
            "probabilities": dict.fromkeys(REGIMES, 0.25),
        }
        assert compare(answer, TrueRatios(2.0, math.inf, math.inf), "linear", 0.0).right_way
        assert not compare(answer, TrueRatios(2.0, math.inf, 3.0), "linear", 0.0).right_way

    def test_calibration_error_is_that_of_its_bins(self):
        confidences = [0.25, 0.3, 0.55, 0.6, 0.95, 0.95, 0.95, 0.95]
        hits = [False, True, True, True, True, True, True, False]
        # (0.2, 0.3]: 1 hit, 0.55 promised; (0.5, 0.6]: 2, 1.15; (0.9, 1]: 3, 3.8.
        assert calibration_error(confidences, hits) == pytest.approx((0.45 + 0.85 + 0.8) / 8)

    def test_calibration_error_has_its_limits(self):
        assert calibration_error([1.0] * 5, [True] * 5) == 0
        assert calibration_error([1.0] * 5, [False] * 5) == 1
        assert calibration_error_by_chance([1.0] * 5) == 0

    def test_calibration_error_by_chance_is_that_of_honest_answers(self):
        # One bin: the mean of |hits / n - p|, that of a binomial distribution.
        hits = np.arange(51)
        expected = (stats.binom.pmf(hits, 50, 0.7) * np.abs(hits / 50 - 0.7)).sum()
        assert calibration_error_by_chance([0.7] * 50) == pytest.approx(expected, rel=0.15)
        assert calibration_error_by_chance([0.7] * 5000) < 0.15 * calibration_error_by_chance([0.7] * 50)

    @pytest.mark.parametrize("probabilities", [(0.5, 0.5, 0.5, 0.0), (1.5, -0.5, 0.0, 0.0)])
    def test_no_distribution_is_refused(self, probabilities):
        answer = {
            "ratios": {"ca": 1.0, "cp_x_to_y": 1.0, "cp_y_to_x": 1.0},
            "probabilities": dict(zip(REGIMES, probabilities, strict=True)),
        }
        with pytest.raises(ValueError, match="no distribution"):
            ask(lambda *_: answer, draw_problem(0, SIZES["tight"]))

    def test_a_near_problem_counts_apart(self):
        outcomes = [ask(self.knowing(seed), draw_problem(seed, SIZES["tight"])) for seed in range(12)]
        near = [outcome.near_boundary for outcome in outcomes]
        assert 0 < sum(near) < 12
        assert summarise([o for o in outcomes if o.near_boundary])["regime_accuracy"] == 1
        assert math.isnan(summarise([o for o in outcomes if o.near_boundary])["regime_accuracy_off_boundary"])


def test_program_prints_a_table_and_writes_json(tmp_path, capsys):
    path = tmp_path / "sub" / "scores.json"
    accuracy.main(["--sizes", "tight", "--problems", "4", "--first-seed", "8", "--json", str(path)])
    written = json.loads(path.read_text(encoding="utf-8"))
    assert list(written["scores"]) == ["reference", "calibrated"]
    published = written["scores"]["reference"]
    assert published["tight"]["regime_accuracy_cp_only"] == 0
    assert published["tight"]["sure_fraction"] == 1
    assert published["tight"]["interval_coverage"] is None
    assert written["scores"]["calibrated"]["tight"]["interval_coverage"] >= 0.5
    for table in written["scores"].values():
        assert table["all_sizes"]["brier"] == table["tight"]["brier"]
    assert written["sizes"] == {"tight": {"n_pairs": 300, "n_labeled": 150, "dx": 60, "dy": 50}}
    assert "regime_accuracy" in capsys.readouterr().out
