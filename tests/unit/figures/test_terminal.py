"""What a terminal shows of a report, of either method."""

import io
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from rich.console import Console

from service.estimation.estimate import estimate
from service.estimation.labels import LabelType, label_columns
from service.estimation.options import Options
from service.estimation.report_warning import ReportWarning
from service.estimation.separation_records import Interval, RegimeProbabilities, RegimeShares
from service.estimation.terms import Direction, Method, RatioStatus, Regime, Verdict
from service.figures.terminal import draw
from service.figures.terminal_tables import number

pytestmark = pytest.mark.usefixtures("one_chain")

WIDTH = 80
N = 120


@cache
def report_of(method: Method, n_labels: int = 2, scale: float = 1.0):
    """Two shared coordinates; numeric labels of them, the first one in classes."""
    rng = np.random.default_rng(5)
    signal = rng.standard_normal((N, 2))
    x = signal @ rng.standard_normal((2, 6)) + rng.standard_normal((N, 6))
    y = signal @ rng.standard_normal((2, 4)) + rng.standard_normal((N, 4))
    labels = {
        f"quantity {place}": signal @ rng.standard_normal(2) + rng.standard_normal(N) for place in range(n_labels)
    }
    labels["[red]kind"] = np.where(signal[:, 0] > 0, "above", "below")
    types = dict.fromkeys(labels, LabelType.NUMERIC) | {"[red]kind": LabelType.CATEGORICAL}
    options = Options(method=method, embedding_dim=1)
    return estimate(x * scale, y, label_columns(labels, types), options=options)


def drawn(report):
    console = Console(file=io.StringIO(), width=WIDTH, color_system=None)
    draw(report, console, ("[b]left", "right"))
    return console.file.getvalue()


def line_of(text, start):
    """The first line that starts so, borders and doubled spaces left out."""
    lines = [" ".join(line.strip("│┃ \n").split()) for line in text.splitlines()]
    return next(line for line in lines if line.startswith(start))


def rows_of(text, start, end=None):
    """Cells of the table rows between two titles, or from one to the end."""
    part = text[text.index(start) : None if end is None else text.index(end)]
    rows = [line.strip().strip("│").split("│") for line in part.splitlines() if line[:1] == "│"]
    return [[cell.strip() for cell in row] for row in rows]


@pytest.mark.parametrize("method", list(Method))
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_nothing_is_wider_than_the_terminal_nor_cut(method, scale):
    text = drawn(report_of(method, scale=scale))
    assert max(len(line) for line in text.splitlines()) <= WIDTH
    assert "…" not in text


@pytest.mark.parametrize("method", list(Method))
def test_names_are_no_markup(method):
    text = drawn(report_of(method))
    assert "[b]left (6 features)" in text
    assert "[red]kind (2 classes)" in text


def test_probabilities_of_both_directions_add_up_to_one_and_are_said_to_be_conclusive_or_not():
    shares = RegimeProbabilities(RegimeShares(0.05, 0.02, 0.13, 0.8), RegimeShares(0.15, 0.02, 0.62, 0.21))
    report = report_of(Method.CALIBRATED)
    text = drawn(
        replace(
            report,
            regimes=replace(report.regimes, x_to_y=Regime.NEITHER, y_to_x=Regime.CP_ONLY),
            regime_probabilities=shares,
        )
    )
    assert line_of(text, "Regime") == "Regime neither (x → y), conclusive; cp_only (y → x), not conclusive"
    assert line_of(text, "Probabilities") == "Probabilities x → y: both 0.05, ca_only 0.02, cp_only 0.13, neither 0.80"
    assert line_of(text, "y → x") == "y → x: both 0.15, ca_only 0.02, cp_only 0.62, neither 0.21"


def test_the_longest_regimes_fit_on_their_line():
    shares = RegimeShares(0.3, 0.4, 0.2, 0.1)
    report = report_of(Method.CALIBRATED)
    regimes = replace(report.regimes, x_to_y=Regime.CA_ONLY, y_to_x=Regime.CA_ONLY)
    text = drawn(replace(report, regimes=regimes, regime_probabilities=RegimeProbabilities(shares, shares)))
    assert "ca_only (x → y), not conclusive; ca_only (y → x), not conclusive" in text


def test_evidence_model_and_direction():
    report = report_of(Method.CALIBRATED)
    evidence = replace(report.evidence, signal_claimed=False, coupling_p_value=0.34, labels_p_value=0.0025)
    model = replace(report.model, effective_pairs=101.6, effective_labels=99.5)
    changed = replace(report, evidence=evidence, model=model, direction=Direction.Y_TO_X, direction_probability=0.815)
    text = drawn(changed)
    assert line_of(text, "Evidence") == "Evidence no signal is claimed; p = 0.34 (pairing), 0.0025 (labels)"
    assert line_of(text, "Model").endswith("worth 102 pairs and 100 labeled rows")
    assert line_of(text, "Direction") == "Direction y → x, with probability 0.81"
    assert "signal is claimed; p" in drawn(report)


def test_ratios_with_verdict_probability_and_interval():
    report = report_of(Method.CALIBRATED)
    found = report.separation
    changed = replace(
        report,
        recovery_probability=replace(report.recovery_probability, ca=0.97, cp_x_to_y=0.05, cp_y_to_x=0.5),
        separation=replace(
            found,
            ca=replace(
                found.ca, ratio=2.0, interval=Interval(1.25, None, 0.9), verdict=Verdict.RECOVERS, recovered_count=2
            ),
            cp_x_to_y=replace(
                found.cp_x_to_y, ratio=None, status=RatioStatus.NO_SIGNAL, verdict=Verdict.DOES_NOT_RECOVER
            ),
            cp_y_to_x=replace(
                found.cp_y_to_x, ratio=None, status=RatioStatus.NO_NUISANCE, verdict=Verdict.UNDETERMINED
            ),
        ),
    )
    alignment, forward, reverse = rows_of(drawn(changed), "Separation ratios", "Leading components")
    assert alignment[:3] == ["align", "yes (0.97)", "2.00 (1.25–∞)"]
    assert alignment[4] == f"2 of {found.ca.signal_count}"
    assert forward[:3] == ["predict x → y", "no (0.05)", "0, no signal"]
    assert reverse[:3] == ["predict y → x", "open (0.50)", "∞, no nuisance"]
    assert "(90% interval)" in drawn(changed)


def test_components_of_the_calibrated_estimate_with_their_class():
    report = report_of(Method.CALIBRATED)
    rows = rows_of(drawn(report), "Leading components", "Rehearsal")
    assert len(rows) == len(report.spectra.ca)
    for place, name in enumerate(("ca", "cp_x_to_y", "cp_y_to_x"), 1):
        for row, component in zip(rows, getattr(report.spectra, name), strict=True):
            mark = "●" if component.class_ == "signal" else "○"
            shown = [mark, number(component.corrected_value), f"{component.r2:.2f}", f"{component.signal_share:.2f}"]
            assert row[place].split() == shown
    assert {row[1][0] for row in rows} == {"●", "○"}


def test_the_rehearsal_marks_the_best_encoder_of_every_label_and_gives_chance():
    report = report_of(Method.CALIBRATED)
    rows = rows_of(drawn(report), "Rehearsal", "Encoders were fitted")
    *encoders, chance = rows
    found = report.rehearsal.rows
    assert len(encoders) == len({(row.encoder, row.embedding_dim) for row in found})
    labels = list(dict.fromkeys(row.label for row in found))
    for place, label in enumerate(labels, 2):
        scores = [row.score for row in found if row.label == label]
        shown = [row[place] for row in encoders]
        assert shown == [f"{score:.2f}" + "*" * (score == max(scores)) for score in scores]
    assert chance == ["chance", "", *("0.50" if label == "[red]kind" else "0.00" for label in labels)]
    assert {row[1] for row in encoders} == {"", "1", str(report.separation.ca.signal_count)}


@pytest.mark.parametrize(("n_labels", "more"), [(5, None), (8, 3)])
def test_six_labels_are_rehearsed_on_screen_and_the_rest_is_counted(n_labels, more):
    text = drawn(report_of(Method.CALIBRATED, n_labels))
    rows = rows_of(text, "Rehearsal", "Encoders were fitted")
    assert {len(row) for row in rows} == {2 + 6}
    assert max(len(line) for line in text.splitlines()) <= WIDTH
    assert (f"{more} more label columns are in the report." in text) == (more is not None)


def test_labels_that_were_not_scored_are_named():
    report = report_of(Method.CALIBRATED)
    first, *others = report.rehearsal.labels
    labels = (replace(first, left_out="It does not vary enough."), *others)
    rows = tuple(row for row in report.rehearsal.rows if row.label != first.label)
    text = drawn(replace(report, rehearsal=replace(report.rehearsal, labels=labels, rows=rows)))
    assert f"Not scored: {first.label}." in text


def test_a_rehearsal_that_scored_nothing_is_left_out():
    report = report_of(Method.CALIBRATED)
    assert "Rehearsal" not in drawn(replace(report, rehearsal=replace(report.rehearsal, rows=())))


def test_the_published_procedure_shows_what_it_knows():
    report = report_of(Method.REFERENCE)
    text = drawn(report)
    for unknown in ("Evidence", "Model", "Probabilities", "conclusive", "interval", "prob", "Rehearsal", "share"):
        assert unknown not in text
    regimes = report.regimes
    assert line_of(text, "Regime") == f"Regime {regimes.x_to_y} (x → y), {regimes.y_to_x} (y → x)"
    first = rows_of(text, "Separation ratios", "Leading components")[0]
    ca = report.separation.ca
    assert first[:3] == ["align", "yes" if ca.recovers else "no", number(ca.ratio)]
    leading = report.spectra.ca[0]
    shown = rows_of(text, "Leading components")[0][1].split()
    assert shown[1:] == [number(leading.singular_value), f"{leading.r2:.2f}"]


@pytest.mark.parametrize("method", list(Method))
def test_warnings_are_shown_with_their_code(method):
    warning = ReportWarning("few_labels", "Label columns with few values: '[b]a'.")
    text = drawn(replace(report_of(method), warnings=(warning,)))
    assert text.endswith("Warning few_labels: Label columns with few values: '[b]a'.\n")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0.0, "0"),
        (7.8, "7.80"),
        (0.04567, "0.0457"),
        (0.001, "0.00100"),
        (0.00099, "9.9e-04"),
        (123.4, "123"),
        (99999.0, "99999"),
        (1e5, "1.0e+05"),
    ],
)
def test_numbers_have_three_digits(value, text):
    assert number(value) == text
