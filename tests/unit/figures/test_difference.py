"""What a terminal and a merge request show of two reports."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from service.estimation.options import Scalings
from service.estimation.report_warning import ReportWarning
from service.estimation.terms import Objective, RatioStatus, Regime, Scaling
from service.figures.difference import difference
from service.figures.markdown import comparison_markdown
from service.gating.comparison import compare
from tests.unit.gating.compared import published, report, with_ca

WIDTH = 80
NAMES = ("[b]first.json", "an-" + "0" * 32)


def drawn(a, b):
    console = Console(file=io.StringIO(), width=WIDTH, color_system=None, highlight=False)
    console.print(difference(compare(a, b), NAMES))
    text = console.file.getvalue()
    assert max(len(line) for line in text.splitlines()) <= WIDTH
    return text


def rows_of(text):
    rows = [line.strip("│").split("│") for line in text.splitlines() if line[:1] == "│"]
    return [[cell.strip() for cell in row] for row in rows]


def words_of(text, name):
    return next(" ".join(line.removeprefix(name).split()) for line in text.splitlines() if line.startswith(name))


def changed(base):
    provenance = replace(
        base.provenance,
        digests=replace(base.provenance.digests, y="0" * 64),
        options=replace(base.provenance.options, seed=7, scaling=Scalings(y=Scaling.STANDARDIZE)),
        versions=replace(base.provenance.versions, numpy="9.0"),
    )
    return replace(
        base,
        provenance=provenance,
        warnings=(ReportWarning("missing_values", "Words."),),
        recommendation=replace(base.recommendation, objective=Objective.UNDETERMINED, direction=None, modality=None),
    )


def test_equal_reports_have_little_to_say():
    text = drawn(report(), report())
    lines = text.splitlines()
    assert lines[0] == "Nothing differs beyond the intervals."
    assert lines[2:4] == ["A  [b]first.json", f"B  an-{'0' * 32}"]
    assert [row[3] for row in rows_of(text)] == ["no", "no", "no"]
    assert words_of(text, "Regime x → y") == "both (0.85)"
    assert words_of(text, "Input") == "the same"
    assert "Option" not in text
    assert "Warnings" not in text


def test_ratios_stand_beside_each_other_with_what_differs_and_why():
    text = drawn(report(), report(ratio=4.0, low=3.0, high=None, probability=0.95))
    assert rows_of(text)[0] == ["align", "yes, 1.50 (1.20–2.00)", "yes, 4.00 (3.00–∞)", "yes"]
    assert "predict x → y: The second interval lies above the first" in text


def test_what_cannot_be_said_is_open():
    none = with_ca(report(), ratio=None, status=RatioStatus.NO_NUISANCE, interval=None)
    text = drawn(report(), none)
    assert rows_of(text)[0] == ["align", "yes, 1.50 (1.20–2.00)", "yes, ∞, no nuisance", "open"]
    assert text.startswith("Nothing is known to differ")
    assert [row[3] for row in rows_of(drawn(published(0), published(1)))].count("open") >= 1


@pytest.mark.parametrize(
    ("share", "words"),
    [(0.9, "both (0.85) → ca_only (0.90): differs"), (0.5, "both (0.85) → ca_only (0.50): not both conclusive")],
)
def test_regimes_with_their_probabilities(share, words):
    text = drawn(report(regime=Regime.BOTH), report(regime=Regime.CA_ONLY, share=share))
    assert words_of(text, "Regime x → y") == words


def test_a_regime_that_became_surer_and_one_without_probabilities():
    text = drawn(report(share=0.85), report(share=0.95))
    assert words_of(text, "Regime x → y") == "both (0.85) → both (0.95)"
    base = published()
    other = replace(base, regimes=replace(base.regimes, x_to_y=Regime.NEITHER))
    assert words_of(drawn(base, other), "Regime x → y").endswith("→ neither: without probabilities it cannot be said")


def test_everything_else_that_is_not_the_same_is_listed():
    text = drawn(report(), changed(report()))
    assert words_of(text, "Recommendation").endswith("→ undetermined")
    assert words_of(text, "Input") == "not the same: y"
    assert words_of(text, "Option seed") == "0 → 7"
    assert words_of(text, "Option scaling.y") == "none → standardize"
    assert words_of(text, "Version of numpy").endswith("→ 9.0")
    assert words_of(text, "Warnings in B alone") == "missing_values"


def test_markdown_says_the_same():
    comparison = compare(report(), changed(report(ratio=4.0, low=3.0, high=None, probability=0.95)))
    text = comparison_markdown(comparison, ("a|b.json", "<b>"))
    lines = text.splitlines()
    assert lines[0] == "## Phasegate: two reports compared"
    assert lines[2].startswith("**More than the intervals allow: the ratio of alignment, ")
    assert "- **A:** a\\|b.json" in lines
    assert "- **B:** &lt;b&gt;" in lines
    assert (
        "| align | yes, 1.50 (1.20–2.00) | yes, 4.00 (3.00–∞) | yes "
        "| The second interval lies above the first: they have no value in common. |"
    ) in lines
    assert "- **Option seed:** 0 → 7" in lines
