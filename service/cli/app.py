"""The program, its first options, and how it ends with an error."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from service import __version__
from service.cli.answering import ProgramGroup

if TYPE_CHECKING:  # of the extra `server`, without which commands talk to a service elsewhere
    from service.settings import Settings

app = typer.Typer(
    cls=ProgramGroup,
    name="phasegate",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@app.callback(invoke_without_command=True)
def version(
    context: typer.Context,
    show_version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    """Pre-training triage for multimodal data: align, predict, or neither?

    Every setting can be given as an environment variable PHASEGATE_<NAME>; the README lists them.
    """
    if show_version:
        typer.echo(f"phasegate {__version__}")
        raise typer.Exit


def read_settings(**given: Any) -> Settings:
    """Settings from the environment, overridden by what the command line gives; a wrong one ends the program."""
    from pydantic import ValidationError

    from service.settings import Settings, misspelt

    for name, meant in misspelt(os.environ).items():
        fail(f"There is no setting {name}. If {meant} is meant, mend its name; otherwise unset it.")
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        wrong = [
            f"{'.'.join(str(step) for step in item['loc'])}: {item['msg']}" for item in error.errors(include_url=False)
        ]
        fail("Settings are wrong. " + "; ".join(wrong) + ".")


def start_logging(settings: Settings) -> None:
    """Send this process's logs to standard error."""
    from service import logs

    logs.configure(settings.log_level)


def fail(message: str, exit_code: int = 2) -> NoReturn:
    """End the program with a message, in one line, that says what to do."""
    from service.figures.printable import printable

    typer.echo(f"phasegate: {printable(message)}", err=True)
    raise SystemExit(exit_code)
