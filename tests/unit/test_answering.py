"""Exit codes that are answers, and commands of which a part is not installed."""

import sys

import pytest
import typer
from typer.testing import CliRunner

from service.cli import main
from service.cli.answering import Answer, AnsweringCommand


@pytest.mark.parametrize(
    ("found", "exit_code"),
    [(Answer.YES, 0), (Answer.NO, 1), (Answer.OPEN, 2), (None, 3), (0, 3), (1, 3), (True, 3), ("pass", 3)],
)
def test_only_an_answer_is_an_answer(found, exit_code):
    app = typer.Typer()

    @app.command(cls=AnsweringCommand)
    def answer():
        return found

    assert CliRunner().invoke(app, []).exit_code == exit_code


def test_a_command_of_the_service_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "pydantic_settings", None)
    monkeypatch.delitem(sys.modules, "service.settings", raising=False)
    monkeypatch.setattr(sys, "argv", ["phasegate", "serve"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert capsys.readouterr() == (
        "",
        "phasegate: pydantic_settings is not installed. `pip install 'phasegate[server]'` installs what the service, "
        "and estimation without one, need.\n",
    )


def test_a_missing_part_of_phasegate_itself_is_a_defect(monkeypatch):
    monkeypatch.setitem(sys.modules, "service.settings", None)
    monkeypatch.setattr(sys, "argv", ["phasegate", "serve"])
    with pytest.raises(ModuleNotFoundError):
        main()
