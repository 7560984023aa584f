"""What a shell is told when it completes a command."""

import pytest
from typer.testing import CliRunner

from service.cli import app


def completed(*words):
    """What bash is offered for the last word."""
    line = ("phasegate", *words)
    environment = {
        "_PHASEGATE_COMPLETE": "complete_bash",
        "COMP_WORDS": " ".join(line),
        "COMP_CWORD": str(len(line) - 1),
    }
    result = CliRunner().invoke(app, [], prog_name="phasegate", env=environment)
    assert result.exit_code == 0
    return result.stdout.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("ga",), ["gate"]),
        (("gate", "--output", "j"), ["json", "junit"]),
        (("gate", "--policy", "a"), ["alignment", "any-crossmodal"]),
        (("gate", "--cov"), ["--covariates"]),
        (("list", "--state", "su"), ["succeeded"]),
    ],
)
def test_commands_options_and_their_values_are_completed(words, offered):
    assert completed(*words) == offered
