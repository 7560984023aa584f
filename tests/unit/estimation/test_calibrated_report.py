"""The report of the default method: what it says of clear-cut problems, of none, and of awkward input."""

import json
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from pydantic import TypeAdapter
from threadpoolctl import threadpool_limits

from service.estimation.covariates import covariate_columns
from service.estimation.estimate import estimate
from service.estimation.labels import label_columns
from service.estimation.options import Options, Scalings
from service.estimation.record import as_dict, to_json
from service.estimation.report import Report
from service.estimation.terms import (
    ComponentClass,
    Direction,
    Encoder,
    Missing,
    Modality,
    Objective,
    RatioStatus,
    Regime,
    Scaling,
    Verdict,
)
from service.estimation.verdicts import most_probable, probability_of, verdict

from .samples import CLEAR, Spiked

OBJECTIVES = ("ca", "cp_x_to_y", "cp_y_to_x")
SPECTRA = (*OBJECTIVES, "pls", "pca_x", "pca_y")
NEAR = 0.25  # |log ratio - truth| with 500 pairs, on all of which there are labels
ROUNDING = 1e-5  # relative: x * 1e-6 + 1e3 keeps seven digits of x
BOTH_STANDARDIZED = Options(scaling=Scalings(Scaling.STANDARDIZE, Scaling.STANDARDIZE))
N = 500
X, Y, LABELS = CLEAR["both"].sample(n=N)
BORDERLINE = {
    "one way settled": (Spiked(kappa2=1.0, nu=0.7, n_signals=1), 2),
    "no way settled": (Spiked(kappa2=1.0, nu=0.7, n_signals=1), 4),
}


@cache
def clear(name):
    sample = CLEAR[name].sample(n=N)
    return estimate(sample.x, sample.y, sample.columns)


@cache
def borderline(name):
    """150 pairs with 60 labels of ratios near 1."""
    population, seed = BORDERLINE[name]
    sample = population.sample(seed, n=150, noise=1.0)
    return estimate(sample.x, sample.y, label_columns(sample.labels[:60]), np.arange(60))


@cache
def without_signal(name):
    """Pure noise; labels of other rows; rows of y in another order."""
    rng = np.random.default_rng(0)
    match name:
        case "noise":
            return estimate(
                *(rng.standard_normal((200, d)) for d in (8, 6)), label_columns(rng.standard_normal((200, 2)))
            )
        case "labels":
            return estimate(X, Y, label_columns(rng.permutation(LABELS)))
        case "pairs":
            return estimate(X, rng.permutation(Y), label_columns(LABELS))
    raise AssertionError(name)


CLEAR_REPORTS = [(clear, name) for name in CLEAR]
NULL_REPORTS = [(without_signal, name) for name in ("noise", "labels", "pairs")]
BORDERLINE_REPORTS = [(borderline, name) for name in BORDERLINE]
EVERY_REPORT = pytest.mark.parametrize(
    ("make", "name"),
    [*CLEAR_REPORTS, *NULL_REPORTS, *BORDERLINE_REPORTS],
    ids=lambda part: getattr(part, "__name__", part),
)


def codes(report):
    return {warning.code for warning in report.warnings}


def body(report):
    """All of a report but its timings, every digit of it."""
    return json.dumps({name: value for name, value in as_dict(report).items() if name != "timings"}, sort_keys=True)


def classes(report):
    return {name: [component.class_ for component in getattr(report.spectra, name)] for name in SPECTRA}


def ratios(report):
    return np.array([getattr(report.separation, name).ratio for name in OBJECTIVES])


class TestEveryReportAgreesWithItself:
    @EVERY_REPORT
    def test_nothing_that_the_method_knows_is_null(self, make, name):
        report = make(name)
        for field in (
            "conclusive",
            "regime_probabilities",
            "recovery_probability",
            "evidence",
            "model",
            "rehearsal",
        ):
            assert getattr(report, field) is not None, field
        assert report.rules is None
        for spectrum in SPECTRA:
            for component in getattr(report.spectra, spectrum):
                assert 0 <= component.signal_share <= 1
                assert 0 < component.p_value <= 1
                assert (component.corrected_value is None) == spectrum.startswith("pca")

    @EVERY_REPORT
    def test_probabilities_add_up(self, make, name):
        report = make(name)
        recovery = report.recovery_probability
        for way, cp in (("x_to_y", recovery.cp_x_to_y), ("y_to_x", recovery.cp_y_to_x)):
            shares = getattr(report.regime_probabilities, way)
            assert min(vars(shares).values()) >= 0
            assert sum(vars(shares).values()) == pytest.approx(1.0, rel=1e-12)
            assert shares.both + shares.ca_only == pytest.approx(recovery.ca, rel=1e-12)
            assert shares.both + shares.cp_only == pytest.approx(cp, rel=1e-12)

    @EVERY_REPORT
    def test_the_regime_is_the_most_probable_one_and_conclusive_from_four_fifths_on(self, make, name):
        report = make(name)
        for way in ("x_to_y", "y_to_x"):
            assert getattr(report.regimes, way) is most_probable(getattr(report.regime_probabilities, way))
        assert report.regime is report.regimes.x_to_y
        assert report.conclusive == (probability_of(report.regime_probabilities.x_to_y, report.regime) >= 0.8)

    @EVERY_REPORT
    def test_verdicts_follow_probabilities_and_only_the_open_ones_say_what_would_settle_them(self, make, name):
        report = make(name)
        for objective in OBJECTIVES:
            found = getattr(report.separation, objective)
            assert found.verdict is verdict(getattr(report.recovery_probability, objective))
            assert (found.would_settle is not None) == (found.verdict is Verdict.UNDETERMINED)
            if found.would_settle is not None:
                more = found.would_settle
                assert more.more_labels in {None, *(report.data.n_labeled * times for times in (1, 3, 7, 15))}
                assert more.more_pairs in {None, *(report.data.n_pairs * times for times in (1, 3, 7, 15))}

    @EVERY_REPORT
    def test_ratios_lie_in_their_intervals_and_counts_in_each_other(self, make, name):
        report = make(name)
        for objective in OBJECTIVES:
            found = getattr(report.separation, objective)
            assert 0 <= found.recovered_count <= found.signal_count
            assert (found.ratio is not None) == (found.status is RatioStatus.OK)
            assert (found.status is RatioStatus.NO_SIGNAL) == (not report.evidence.signal_claimed)
            if found.status is RatioStatus.OK:
                high = np.inf if found.interval.high is None else found.interval.high
                assert 0 <= found.interval.low < found.ratio < high

    @EVERY_REPORT
    def test_classes_follow_shares_and_the_floor_is_the_first_nuisance_component(self, make, name):
        report = make(name)
        for spectrum in SPECTRA:
            for component in getattr(report.spectra, spectrum):
                signal = report.evidence.signal_claimed and component.signal_share >= 0.5
                assert (component.class_ is ComponentClass.SIGNAL) == signal
        for objective in OBJECTIVES:
            floor = getattr(report.separation, objective).floor_component
            nuisance = [c.index for c in getattr(report.spectra, objective) if c.class_ is ComponentClass.NUISANCE]
            assert floor.index == nuisance[0]
            assert floor.covariate is floor.explained is None

    @EVERY_REPORT
    def test_values_are_corrected_downwards_and_correlations_stay_correlations(self, make, name):
        report = make(name)
        for spectrum in ("ca", "cp_x_to_y", "cp_y_to_x", "pls"):
            components = getattr(report.spectra, spectrum)
            total = sum(component.singular_value for component in components)
            assert sum(component.corrected_value for component in components) < total
            assert all(component.corrected_value >= 0 for component in components)
        assert all(component.corrected_value <= 1 for component in report.spectra.ca)

    @EVERY_REPORT
    def test_a_claim_needs_both_tests(self, make, name):
        evidence = make(name).evidence
        assert evidence.labels_p_value == max(evidence.labels_p_value_x, evidence.labels_p_value_y)
        if evidence.signal_claimed:
            assert max(evidence.coupling_p_value, evidence.labels_p_value) <= 0.05


class TestClearProblems:
    @pytest.mark.parametrize(
        ("name", "forward", "reverse"),
        [
            ("both", Regime.BOTH, Regime.BOTH),
            ("ca_only", Regime.CA_ONLY, Regime.CA_ONLY),
            ("cp_only", Regime.CP_ONLY, Regime.CP_ONLY),
            ("neither", Regime.NEITHER, Regime.NEITHER),
            ("one way", Regime.BOTH, Regime.CA_ONLY),
        ],
    )
    def test_regimes(self, name, forward, reverse):
        report = clear(name)
        assert (report.regimes.x_to_y, report.regimes.y_to_x) == (forward, reverse)
        assert report.conclusive
        assert report.evidence.signal_claimed

    @pytest.mark.parametrize("name", CLEAR)
    def test_ratios(self, name):
        report, truth = clear(name), CLEAR[name].ratios
        for objective in OBJECTIVES:
            found = getattr(report.separation, objective)
            assert np.log(found.ratio) == pytest.approx(np.log(truth[objective]), abs=NEAR)
            assert found.verdict is (Verdict.RECOVERS if truth[objective] > 1 else Verdict.DOES_NOT_RECOVER)
            assert found.signal_count == 2
            assert (found.recovered_count == 2) == (truth[objective] > 1)

    @pytest.mark.parametrize(
        ("name", "objective"),
        [
            ("both", Objective.EITHER),
            ("ca_only", Objective.ALIGNMENT),
            ("cp_only", Objective.PREDICTION),
            ("neither", Objective.UNIMODAL),
            ("one way", Objective.EITHER),
        ],
    )
    def test_recommendations(self, name, objective):
        found = clear(name).recommendation
        assert found.objective is objective
        assert (found.direction is not None) == (objective in (Objective.EITHER, Objective.PREDICTION))
        assert (found.modality is not None) == (objective is Objective.UNIMODAL)

    def test_the_direction_is_the_way_that_recovers(self):
        report = clear("one way")
        assert report.direction is report.recommendation.direction is Direction.X_TO_Y
        assert report.direction_probability > 0.8
        assert "predict y from x: the better way" in report.recommendation.reasons[-1]

    @pytest.mark.parametrize("name", ["ca_only", "neither"])
    def test_without_a_way_that_recovers_there_is_no_direction(self, name):
        assert clear(name).direction is clear(name).direction_probability is None

    @pytest.mark.parametrize("better", Modality)
    def test_the_better_single_modality_is_named_for_neither(self, better):
        """One modality hardly sees the signal: what it sees is drowned in noise."""
        sample = CLEAR["neither"].sample(n=N)
        rng = np.random.default_rng(1)
        x, y = (
            side if better is modality else side + 1.5 * rng.standard_normal(side.shape)
            for modality, side in ((Modality.X, sample.x), (Modality.Y, sample.y))
        )
        found = estimate(x, y, sample.columns).recommendation
        assert (found.objective, found.modality) == (Objective.UNIMODAL, better)
        assert f"train on {better} alone" in found.reasons[-1]

    @pytest.mark.parametrize("name", ["both", "ca_only", "cp_only"])
    def test_the_phase_point_is_that_of_the_population(self, name):
        point, truth = clear(name).phase_point, CLEAR[name]
        assert point.kappa**2 == pytest.approx(truth.kappa2, rel=0.2)
        assert point.nu == pytest.approx(truth.nu, abs=0.08)
        assert (point.gamma_tilde_x, point.gamma_tilde_y) == pytest.approx((truth.tilde_x, truth.tilde_y), rel=0.2)
        assert clear(name).regimes == point.composite_regimes

    def test_signal_components_go_with_the_labels_and_nuisance_does_not(self):
        for component in clear("cp_only").spectra.ca:
            signal = component.class_ is ComponentClass.SIGNAL
            assert (component.p_value <= 0.005) == signal
            assert (component.r2 > 0.1) == signal

    def test_the_data_are_worth_about_their_number(self):
        model = clear("both").model
        assert model.kind == "spiked"
        assert 0.7 * N < model.effective_pairs <= N
        assert 0.7 * N < model.effective_labels <= N
        assert model.crowding == pytest.approx(14 / model.effective_pairs)


class TestBorderline:
    def test_undetermined_objectives_say_so_in_words(self):
        report = borderline("no way settled")
        assert Verdict.UNDETERMINED in {s.verdict for s in vars(report.separation).values()}
        assert not report.conclusive
        assert report.recommendation.objective is Objective.UNDETERMINED
        assert any("settle it" in reason for reason in report.recommendation.reasons)
        assert "No objective is sure enough" in report.recommendation.reasons[-1]


class TestWithoutSignal:
    @pytest.mark.parametrize("name", ["noise", "labels", "pairs"])
    def test_nothing_is_claimed(self, name):
        report = without_signal(name)
        assert not report.evidence.signal_claimed
        assert {s.status for s in vars(report.separation).values()} == {RatioStatus.NO_SIGNAL}
        assert {kind for kinds in classes(report).values() for kind in kinds} == {ComponentClass.NUISANCE}
        assert set(vars(report.regimes).values()) == {Regime.NEITHER}
        assert report.direction is report.direction_probability is None
        assert max(vars(report.recovery_probability).values()) <= 0.5
        assert report.recommendation.objective in (Objective.UNIMODAL, Objective.UNDETERMINED)
        assert any(reason.startswith("No signal is claimed") for reason in report.recommendation.reasons)
        for separation in vars(report.separation).values():
            assert separation.signal_floor is None
            assert separation.signal_count == separation.recovered_count == 0
            assert separation.interval.low == 0

    @pytest.mark.parametrize(
        ("name", "code", "other"),
        [
            ("noise", "pairing_not_better_than_shuffled", "labels_not_associated"),
            ("pairs", "pairing_not_better_than_shuffled", "labels_not_associated"),
            ("labels", "labels_not_associated", "pairing_not_better_than_shuffled"),
        ],
    )
    def test_the_reason_has_a_code_and_comes_first(self, name, code, other):
        report = without_signal(name)
        assert report.warnings[0].code == code
        assert other not in codes(report)

    def test_a_modality_that_predicts_the_labels_is_named_though_nothing_is_shared(self):
        """y's rows are shuffled, but x still goes with its labels."""
        reason = without_signal("pairs").recommendation.reasons[-1]
        assert "beside a single modality, x for a start." in reason or "train on x alone" in reason


class TestDeterminism:
    @pytest.mark.parametrize("threads", [1, 2])
    def test_the_number_of_threads_changes_no_digit(self, threads):
        with threadpool_limits(threads):
            again = estimate(X.copy(), Y.copy(), label_columns(LABELS.copy()))
        assert body(again) == body(clear("both"))
        assert again.provenance.threads == 1

    def test_another_seed_draws_otherwise_and_agrees(self):
        other = estimate(X, Y, label_columns(LABELS), options=Options(seed=1))
        assert other.separation != clear("both").separation
        assert other.regimes == clear("both").regimes
        assert classes(other) == classes(clear("both"))
        np.testing.assert_allclose(np.log(ratios(other)), np.log(ratios(clear("both"))), atol=0.1)


class TestUnits:
    def test_units_and_offsets_only_rescale_floors(self):
        expected = clear("both")
        found = estimate(X * 1e-6 + 1e3, Y * 1e6, label_columns(LABELS * 50 - 7))
        assert classes(found) == classes(expected)
        assert found.regimes == expected.regimes
        np.testing.assert_allclose(ratios(found), ratios(expected), rtol=ROUNDING)
        for objective, unit in (("ca", 1.0), ("cp_x_to_y", 1e6), ("cp_y_to_x", 1e-6)):
            after, before = getattr(found.separation, objective), getattr(expected.separation, objective)
            assert after.signal_floor == pytest.approx(unit * before.signal_floor, rel=ROUNDING)
            assert after.nuisance_floor == pytest.approx(unit * before.nuisance_floor, rel=ROUNDING)
        for spectrum, unit in (("ca", 1.0), ("cp_x_to_y", 1e6), ("cp_y_to_x", 1e-6), ("pls", 1.0)):
            for after, before in zip(
                getattr(found.spectra, spectrum), getattr(expected.spectra, spectrum), strict=True
            ):
                assert after.singular_value == pytest.approx(unit * before.singular_value, rel=ROUNDING)
                assert after.corrected_value == pytest.approx(
                    unit * before.corrected_value, rel=ROUNDING, abs=1e-6 * unit
                )

    def test_units_leave_the_phase_diagram_alone(self):
        expected = clear("both").phase_point
        found = estimate(X * 1e-3, Y * 1e3, label_columns(LABELS)).phase_point
        assert found.composite_regimes == expected.composite_regimes
        assert found.composite_ratios.ca.ratio == pytest.approx(expected.composite_ratios.ca.ratio, rel=ROUNDING)
        assert found.variance_alignment.x == pytest.approx(expected.variance_alignment.x, rel=ROUNDING)
        assert found.kappa == pytest.approx(expected.kappa, rel=ROUNDING)
        assert found.gamma_x == pytest.approx(1e-6 * expected.gamma_x, rel=ROUNDING)
        assert found.gamma_tilde_y == pytest.approx(1e6 * expected.gamma_tilde_y, rel=ROUNDING)

    @pytest.mark.usefixtures("one_chain")
    def test_standardized_columns_have_no_scale(self):
        columns = label_columns(LABELS)
        expected = estimate(X, Y, columns, options=BOTH_STANDARDIZED)
        rescaled = estimate(
            X * np.geomspace(1e-3, 1e3, 8), Y * np.geomspace(1e3, 1e-3, 6), columns, options=BOTH_STANDARDIZED
        )
        assert classes(rescaled) == classes(expected)
        np.testing.assert_allclose(ratios(rescaled), ratios(expected), rtol=ROUNDING)
        unscaled = estimate(X * np.geomspace(1e-3, 1e3, 8), Y, columns)
        assert abs(np.log(ratios(unscaled) / ratios(expected))).max() > 0.5


class TestMissing:
    @pytest.mark.parametrize(("missing", "used"), [(Missing.DROP_ROWS, N - 3), (Missing.MEAN, N)])
    def test_features(self, missing, used):
        x, y = X.copy(), Y.copy()
        x[[7, 7, 30], [0, 3, 1]] = np.nan
        y[[30, 99], [2, 5]] = np.nan
        report = estimate(x, y, label_columns(LABELS), options=Options(missing=missing))
        data = report.data
        assert (data.n_pairs, data.n_pairs_used, data.n_labeled) == (N, used, used)
        assert (data.n_missing_x, data.n_missing_y) == (3, 2)
        assert "missing_values" in codes(report)
        assert report.regimes == clear("both").regimes

    def test_labels(self):
        partly = LABELS.copy()
        partly[::2, 1] = np.nan
        partly[:100] = np.nan
        report = estimate(X, Y, label_columns(partly))
        assert [label.present for label in report.data.labels] == [400, 200, 400, 400]
        assert (report.data.n_pairs_used, report.data.n_labeled) == (N, 400)
        assert report.model.effective_labels <= 400
        assert report.regimes == clear("both").regimes
        assert {label.label: label.n_rows for label in report.rehearsal.labels} == {
            "label_0": 400,
            "label_1": 200,
            "label_2": 400,
            "label_3": 400,
        }

    def test_a_column_that_few_rows_have_is_dropped(self):
        few = np.where(np.arange(N) < 9, LABELS[:, 0], np.nan)
        report = estimate(X, Y, label_columns({"full": LABELS[:, 1], "few": few}))
        assert [(label.name, label.used) for label in report.data.labels] == [("full", True), ("few", False)]
        assert "sparse_label_columns" in codes(report)
        assert set(report.spectra.ca[0].r2_by_label) == {"full"}

    def test_labeled_rows_that_are_all_alike_show_no_signal(self):
        x = X.copy()
        x[:40] = x[0]
        report = estimate(x, Y, label_columns(LABELS[:40]), np.arange(40))
        assert not report.evidence.signal_claimed
        assert "labels_not_associated" in codes(report)


def awkward(name):
    """x, y, labels and rows that leave hardly anything to estimate from, or too much to be true."""
    far = X.copy()
    far[7] = 1e9
    few = np.arange(10)
    match name:
        case "one column against four":
            return X[:, :1], Y[:, :4], LABELS, None
        case "twenty pairs, ten of them labeled":
            return X[:20], Y[:20], LABELS[:10], few
        case "fewer pairs than columns":
            return *Spiked().sample(n=30, dx=70, dy=50)[:3], None
        case "more label columns than labels":
            return X, Y, np.random.default_rng(0).standard_normal((12, 70)), np.arange(12)
        case "one row far out":
            return far, Y, LABELS, None
        case "a modality with itself":
            return X, X[:, ::-1].copy(), LABELS, None
        case "labels that are features":
            return X, Y, X[:, :2].copy(), None
    raise AssertionError(name)


@pytest.mark.usefixtures("one_chain")
@pytest.mark.parametrize(
    "name",
    [
        "one column against four",
        "twenty pairs, ten of them labeled",
        "fewer pairs than columns",
        "more label columns than labels",
        "one row far out",
        "a modality with itself",
        "labels that are features",
    ],
)
def test_awkward_input_gets_a_finite_report(name):
    x, y, labels, rows = awkward(name)
    report = estimate(x, y, label_columns(labels), rows)
    assert TypeAdapter(Report).validate_json(to_json(report)) == report
    assert "NaN" not in body(report)
    for way in vars(report.regime_probabilities).values():
        assert sum(vars(way).values()) == pytest.approx(1.0)
    assert report.recommendation.reasons


class TestUnlabeledPairs:
    def test_they_count_for_the_spectra(self):
        rows = np.random.default_rng(0).permutation(N)[:60]
        report = estimate(X, Y, label_columns(LABELS[rows]), rows)
        assert (report.data.n_pairs_used, report.data.n_labeled) == (N, 60)
        assert report.model.effective_labels <= 60 < report.model.effective_pairs
        for found, expected in zip(report.spectra.ca, clear("both").spectra.ca, strict=True):
            assert found.singular_value == pytest.approx(expected.singular_value, rel=1e-9)
        assert not report.rehearsal.cross_fitted
        assert report.rehearsal.encoder_pairs == N - 60


class TestGroups:
    @pytest.mark.usefixtures("one_chain")
    def test_repeated_rows_are_worth_their_number(self):
        rows = np.repeat(np.arange(125), 4)
        columns = label_columns(LABELS[rows])
        grouped = estimate(X[rows], Y[rows], columns, groups=rows)
        alone = estimate(X[rows], Y[rows], columns)
        assert grouped.data.n_groups == 125
        assert grouped.model.effective_pairs == pytest.approx(125, rel=0.4)
        assert alone.model.effective_pairs > 250
        assert "repeated_rows_need_groups" in codes(alone)
        assert "repeated_rows_need_groups" not in codes(grouped)

    @pytest.mark.usefixtures("one_chain")
    @pytest.mark.parametrize("seed", [0, 1, 3])  # the test rejects 4 % of such seeds; without groups nearly all
    def test_repetition_is_no_evidence(self, seed):
        rng = np.random.default_rng(seed)
        rows = np.repeat(np.arange(50), 4)
        x, y, labels = (rng.standard_normal((50, d))[rows] for d in (8, 6, 2))
        grouped = estimate(x, y, label_columns(labels), groups=rows)
        alone = estimate(x, y, label_columns(labels))
        assert not grouped.evidence.signal_claimed
        assert grouped.evidence.coupling_p_value > 0.05
        assert alone.evidence.coupling_p_value <= 0.05


class TestCovariates:
    def test_a_batch_that_drives_the_floor_is_named(self):
        rng = np.random.default_rng(3)
        batch = rng.integers(0, 3, N)
        effect = 2 * np.array([-1.0, 0.2, 1.1])[batch][:, None]
        signal, noise = rng.standard_normal((N, 2)), rng.standard_normal((N, 11))
        x = np.hstack([signal + noise[:, :2], effect + noise[:, 2:3], noise[:, 3:6]])
        y = np.hstack([signal + noise[:, 6:8], effect + noise[:, 8:9], noise[:, 9:]])
        labels = signal + 0.5 * rng.standard_normal((N, 2))
        covariates = covariate_columns({"depth": rng.standard_normal(N), "batch": np.array(["a", "b", "c"])[batch]})
        report = estimate(x, y, label_columns(labels), covariates=covariates)
        assert report.regime is Regime.NEITHER
        for name in OBJECTIVES:
            floor = getattr(report.separation, name).floor_component
            assert floor.covariate == "batch"
            assert floor.explained > 0.5
            component = getattr(report.spectra, name)[floor.index]
            assert component.covariates["batch"] == floor.explained
            assert component.covariates["depth"] < 0.05
        said = (
            f"batch explains {report.separation.ca.floor_component.explained:.2f} of the floor component of alignment."
        )
        assert said in report.recommendation.reasons

    def test_a_covariate_that_explains_nothing_is_no_reason(self):
        covariates = covariate_columns({"depth": np.random.default_rng(4).standard_normal(N)})
        report = estimate(X, Y, label_columns(LABELS), covariates=covariates)
        assert report.separation.ca.floor_component.covariate == "depth"
        assert report.separation.ca.floor_component.explained < 0.05
        assert not any("depth" in reason for reason in report.recommendation.reasons)


class TestRehearsal:
    def test_both_the_embedding_dimension_and_the_signal_count_are_rehearsed(self):
        report = estimate(X, Y, label_columns(LABELS), options=Options(embedding_dim=4))
        dims = {row.embedding_dim for row in report.rehearsal.rows if row.encoder is Encoder.CA_BOTH}
        assert dims == {report.separation.ca.signal_count, 4} == {2, 4}

    def test_the_signal_count_alone_by_default_and_one_without_signal(self):
        for report, expected in ((clear("both"), 2), (without_signal("noise"), 1)):
            dims = {row.embedding_dim for row in report.rehearsal.rows if row.encoder is Encoder.CP_Y_TO_X}
            assert dims == {expected}


class TestOptions:
    @pytest.mark.usefixtures("one_chain")
    def test_alpha_is_the_level_of_the_claim_and_of_its_warnings(self):
        sample = Spiked(nu=0.3).sample(5, n=150, noise=2.0)
        columns = label_columns(sample.labels[:40])
        p_value = estimate(sample.x, sample.y, columns, np.arange(40)).evidence.labels_p_value
        assert 0.01 < p_value < 0.05  # of as many rearrangements whatever the level below
        at = estimate(sample.x, sample.y, columns, np.arange(40), Options(alpha=p_value))
        below = estimate(sample.x, sample.y, columns, np.arange(40), Options(alpha=0.99 * p_value))
        assert (at.evidence.signal_claimed, below.evidence.signal_claimed) == (True, False)
        assert "labels_not_associated" not in codes(at)
        assert "labels_not_associated" in codes(below)

    @pytest.mark.usefixtures("one_chain")
    def test_a_pairing_that_passes_at_the_chosen_level_is_not_warned_of(self):
        rng = np.random.default_rng(1)
        x, y, labels = (rng.standard_normal((200, d)) for d in (8, 6, 2))
        p_value = estimate(x, y, label_columns(labels)).evidence.coupling_p_value
        assert 0.05 < p_value < 0.4
        lenient = estimate(x, y, label_columns(labels), options=Options(alpha=p_value))
        assert "pairing_not_better_than_shuffled" not in codes(lenient)

    def test_intervals_widen_with_their_level(self):
        wide = estimate(X, Y, label_columns(LABELS), options=Options(interval_level=0.99))
        for name in OBJECTIVES:
            found, expected = getattr(wide.separation, name), getattr(clear("both").separation, name)
            assert found.interval.level == 0.99
            assert found.interval.low < expected.interval.low
            assert found.interval.high > expected.interval.high
            assert found.ratio == expected.ratio

    def test_n_components_only_cuts_the_spectra(self):
        cut = estimate(X, Y, label_columns(LABELS), options=Options(n_components=3))
        for name in SPECTRA:
            assert len(getattr(cut.spectra, name)) == 3
        for name in OBJECTIVES:
            found, expected = getattr(cut.separation, name), getattr(clear("both").separation, name)
            assert replace(found, floor_component=None) == replace(expected, floor_component=None)

    @pytest.mark.usefixtures("one_chain")
    def test_pca_components_and_variance_reduce_the_features(self):
        columns = label_columns(LABELS)
        few = estimate(X, Y, columns, options=Options(pca_components=4))
        assert (few.data.n_reduced_x, few.data.n_reduced_y) == (4, 4)
        assert len(few.spectra.ca) == 4
        share = estimate(X, Y, columns, options=Options(pca_variance=0.8)).data
        assert share.n_reduced_x < 8
        assert share.n_reduced_y < 6
        assert (share.n_features_x, share.n_features_y) == (8, 6)
