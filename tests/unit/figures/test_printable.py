"""What a terminal would obey is not shown to it."""

import pytest
from rich.table import Table

from service.figures.printable import printable, safe_console

NASTY = "a\x1b[2J\x9b31mb\r\u202ec\ud800\x07"


def test_nothing_is_left_that_a_terminal_obeys():
    assert printable(NASTY) == "a[2J31mb c"
    assert printable("Größe ≤ 3, 温度") == "Größe ≤ 3, 温度"
    assert printable("two\nlines\tand a tab ") == "two lines and a tab"


@pytest.mark.parametrize("stderr", [False, True])
def test_a_safe_console_shows_text_of_any_content_in_its_own_styles(capsys, stderr):
    table = Table("name")
    table.add_row(f"[green]{NASTY}[/green]")
    console = safe_console(stderr=stderr, width=40)
    console.print(NASTY, table)
    captured = capsys.readouterr()
    shown, other = (captured.err, captured.out) if stderr else (captured.out, captured.err)
    assert other == ""
    assert not set(shown) & set("\x1b\x9b\r\u202e\ud800\x07")
    assert "a[2J31mb" in shown
    assert "name" in shown


def test_styles_stay(capsys, monkeypatch):
    for name, value in (("FORCE_COLOR", "1"), ("TERM", "xterm")):
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("NO_COLOR", raising=False)
    safe_console().print("[green]yes\x1b[2J[/green]")
    assert capsys.readouterr().out == "\x1b[32myes[2J\x1b[0m\n"
