"""What a terminal shows of a decision."""

import io

import pytest
from rich.console import Console

from service.figures.printable import safe_console
from service.figures.verdict import verdict
from service.gating.decision import Decided, Outcome
from tests.unit.figures.rulings import HOSTILE, rule, ruling

WIDTH = 80


def drawn(shown, **options):
    console = Console(file=io.StringIO(), width=WIDTH, color_system=None, highlight=False, **options)
    console.print(verdict(shown))
    return console.file.getvalue()


def line_of(text, start):
    return next(" ".join(line.split()) for line in text.splitlines() if line.startswith(start))


@pytest.mark.parametrize(
    ("decided", "line"),
    [
        (Decided.PASS, "pass: the run may start"),
        (Decided.FAIL, "fail: the run may not start"),
        (Decided.ABSTAIN, "abstain: the data leave it open"),
    ],
)
def test_the_first_line_is_the_decision(decided, line):
    first, second = drawn(ruling(decided)).splitlines()[:2]
    assert (first, second) == (line, "In a sentence.")


def test_what_was_judged_and_where_its_report_is():
    text = drawn(ruling())
    assert line_of(text, "Planned") == "Planned prediction x → y, embedding of 16"
    assert line_of(text, "Policy") == "Policy alignment@2"
    assert line_of(text, "Regime") == "Regime both (x → y), ca_only (y → x)"
    assert line_of(text, "Analysis") == f"Analysis an-{'0' * 32}"
    assert line_of(text, "Report") == f"Report `phasegate report an-{'0' * 32}` shows it"
    assert "recommends either: alignment, or prediction y → x" in text
    assert "  • For a reason." in text


def test_in_process_there_is_no_analysis_to_look_up():
    text = drawn(ruling(analysis_id=None))
    assert line_of(text, "Analysis") == "Analysis computed in process, kept nowhere"
    assert "phasegate report" not in text


def test_every_rule_is_in_the_table_and_only_those_that_do_not_pass_say_why():
    rules = [rule(outcome, f"rule_{outcome}", message=f"Why {outcome}.") for outcome in Outcome]
    text = drawn(ruling(Decided.FAIL, *rules))
    table = [[cell.strip() for cell in line.strip("│").split("│")] for line in text.splitlines() if line[:1] == "│"]
    assert table == [[f"rule_{outcome}", "0.79996", ">= 0.8", str(outcome)] for outcome in Outcome]
    said = [outcome for outcome in Outcome if f"{outcome} rule_{outcome}: Why {outcome}." in text]
    assert said == [Outcome.WARN, Outcome.FAIL, Outcome.UNDETERMINED]


@pytest.mark.parametrize(
    ("observed", "shown"), [(None, "–"), ("none", "none"), (0.8, "0.8"), (0.123456, "0.123"), (0.7999999, "0.7999999")]
)
def test_an_observed_number_is_never_rounded_to_what_is_required(observed, shown):
    text = drawn(ruling(Decided.FAIL, rule(Outcome.FAIL, observed=observed)))
    cell = next(line for line in text.splitlines() if line.startswith("│")).split("│")[2].strip()
    assert cell == shown


def test_words_of_strangers_are_text_on_one_line():
    hostile = ruling(
        Decided.FAIL,
        rule(Outcome.FAIL, f"rehearsed_score[{HOSTILE}]", HOSTILE, f"[red]{HOSTILE}\nfail: "),
        summary=HOSTILE,
        reason=HOSTILE,
        policy=HOSTILE,
        analysis_id=HOSTILE,
    )
    text = drawn(hostile)
    for character in "\x1b\x00\u202e\ud800":
        assert character not in text
    assert "[red]<b>&amp;|`*[x]" in text


def test_nothing_is_wider_than_the_terminal():
    long = rule(Outcome.FAIL, "rehearsed_score[" + "x" * 300 + "]", "y" * 200, "z" * 200)
    text = drawn(ruling(Decided.FAIL, long, policy="p" * 200, summary="s" * 200))
    assert max(len(line) for line in text.splitlines()) <= WIDTH
    assert "…" not in text


def test_colours_are_for_terminals_and_not_where_nobody_wants_them(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    for variables, coloured in (
        ({}, False),
        ({"FORCE_COLOR": "1"}, True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
    ):
        with monkeypatch.context() as here:
            for name, value in variables.items():
                here.setenv(name, value)
            console = safe_console(width=WIDTH)
            with console.capture() as shown:
                console.print(verdict(ruling(Decided.FAIL)))
            assert ("\x1b[1;31m" in shown.get()) is coloured
