"""Markdown of a decision: what a merge request shows, and that nobody else's words are Markdown."""

import json
import re
from html.parser import HTMLParser

import pytest
from markdown_it import MarkdownIt

from service.figures.markdown import plain, verdict_markdown
from service.figures.printable import printable
from service.gating.decision import Decided, Outcome
from tests.unit.figures.rulings import HOSTILE, rule, ruling


def test_heading_summary_table_recommendation_and_details():
    failing = rule(Outcome.FAIL, message="Too little.")
    text = verdict_markdown(ruling(Decided.FAIL, rule(Outcome.PASS, "regimes", "both"), failing))
    lines = text.splitlines()
    assert lines[0] == "## ❌ Phasegate: fail: the run may not start"
    assert lines[2] == "In a sentence."
    table = lines[4:8]
    assert table == [
        "| rule | observed | required | outcome |",
        "|---|---:|---|---|",
        "| regimes | both | &gt;= 0.8 | ✅ pass |",
        "| recovery\\_probability | 0.79996 | &gt;= 0.8 | ❌ fail |",
    ]
    assert "- **recovery\\_probability** (fail): Too little." in lines
    assert "**The report recommends:** either: alignment, or prediction y → x" in lines
    assert "- For a reason." in lines
    details = text[text.index("<details>") : text.index("</details>")]
    assert "- Analysis: an-000" in details
    policy = json.loads(re.search("```json\n(.*?)\n```", details, re.DOTALL)[1])
    assert policy["planned"]["objective"] == "alignment"


def test_only_rules_that_do_not_pass_have_a_line():
    assert "- **" not in verdict_markdown(ruling())


@pytest.mark.parametrize(("decided", "mark"), [(Decided.PASS, "✅"), (Decided.FAIL, "❌"), (Decided.ABSTAIN, "❔")])
def test_every_decision_has_its_mark(decided, mark):
    assert verdict_markdown(ruling(decided)).startswith(f"## {mark} Phasegate: {decided}")


def test_words_of_strangers_are_neither_markdown_nor_html_nor_calls():
    hostile = rule(Outcome.FAIL, f"rehearsed_score[{HOSTILE}]", HOSTILE, f"{HOSTILE}\n## more")
    shown = ruling(
        Decided.FAIL, hostile, summary=HOSTILE, reason=HOSTILE, policy=HOSTILE, description="```\n</details>" + HOSTILE
    )
    text = verdict_markdown(shown)
    cells = [line for line in text.splitlines() if line.startswith("| rehearsed")]
    assert [len(re.findall(r"(?<!\\)\|", cell)) for cell in cells] == [5]
    before_policy = text[: text.index("json\n{")]
    assert not re.findall(r"<(?!/?details>|/?summary>)", before_policy)
    assert "@team" not in before_policy
    assert "\n## more" not in text
    for character in "\x1b\x00\u202e":
        assert character not in text
    assert text.encode()  # no half of a character is left
    assert re.search(r"\n````json\n", text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a_b*c`d", "a\\_b\\*c\\`d"),
        ("<img src=x>&", "&lt;img src=x&gt;&amp;"),
        ("a|b\nc", "a\\|b c"),
        ("[x](y)", "\\[x\\](y)"),
        ("@all (@all)", "@&#8203;all (@&#8203;all)"),
        ("alignment@1", "alignment@1"),
        ("https://h", "https\\://h"),
        ("back\\slash", "back\\\\slash"),
    ],
)
def test_plain_text(text, shown):
    assert plain(text) == shown


class Cells(HTMLParser):
    """Tags of a page, and the text of its table's cells."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.cells: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        if tag == "td":
            self.cells.append("")

    def handle_data(self, data):
        if self.cells:
            self.cells[-1] += data


@pytest.mark.parametrize(
    "text",
    [
        HOSTILE,
        "**a** __b__ _c_ ~~d~~ `e` ``f``",
        "[a](b) ![a](b) [a]: b <a@b.c> https://d www.e.f",
        "a|b\\|c \\ \\\\",
        "<script>x</script> <!-- y --> &lt; &copy; &#64;",
        "$a$ \\(b\\) # c - d 1. e > f",
    ],
)
def test_a_reader_of_markdown_shows_the_text_as_it_was(text):
    page = (
        MarkdownIt("commonmark")
        .enable(["table", "strikethrough"])
        .render(f"| rule | more |\n|---|---|\n| {plain(text)} | b |\n")
    )
    shown = Cells(page)
    assert shown.tags == {"table", "thead", "tbody", "tr", "th", "td"}
    assert [cell.replace("\u200b", "").strip() for cell in shown.cells] == [printable(text).strip(), "b"]
