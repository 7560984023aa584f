"""Commands whose exit code is an answer: 0, 1 and 2 say what was found, and only then; whatever else happens is 3."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, suppress
from enum import IntEnum
from typing import Any, NoReturn, TextIO, cast

import typer
from typer.core import TyperCommand, TyperGroup
from typer.rich_utils import rich_format_error

NO_ANSWER = 3
"""There is no answer: a wrong command line, a missing file, an exception, a time-out."""

INTERRUPTED = 130
"""Ctrl-C."""


class Answer(IntEnum):
    """What the exit code of a command says that found an answer and has written it."""

    YES = 0
    NO = 1
    OPEN = 2


class AnsweringCommand(TyperCommand):
    """A command whose function returns an Answer, when it has written it; all other ends are 3, or 130 for Ctrl-C."""

    def make_context(self, *args: Any, **extra: Any) -> typer.Context:
        """Read the command line; what is wrong with it is no answer, nor is help that nobody reads."""
        with no_answer():
            return super().make_context(*args, **extra)  # type: ignore[return-value]

    def invoke(self, ctx: Any) -> NoReturn:
        """Run the command and end the program with its answer."""
        exit_code = NO_ANSWER
        try:
            with _heedless_errors():
                answer = super().invoke(ctx)
            exit_code = answer.value if isinstance(answer, Answer) else NO_ANSWER
        except KeyboardInterrupt:
            exit_code = _ended("Interrupted.", INTERRUPTED)
        except Exception as error:  # noqa: BLE001 - a defect too is no answer
            exit_code = _ended(*_explained(error))
        except SystemExit as error:  # a library's; never this command's answer
            exit_code = _ended(f"The command was ended by {error!r} before it had an answer. This is a defect.")
        raise typer.Exit(exit_code)


class ProgramGroup(TyperGroup):
    """The program: a command that it does not have, or an option before one, is no answer of any command."""

    def make_context(self, *args: Any, **extra: Any) -> typer.Context:
        """Read what stands before the command."""
        with no_answer():
            return super().make_context(*args, **extra)  # type: ignore[return-value]

    def resolve_command(self, *args: Any) -> Any:
        """Find the command."""
        with no_answer():
            return super().resolve_command(*args)


@contextmanager
def no_answer() -> Iterator[None]:
    """Ends the program with 3 when the command line is wrong, whether or not that can be said to anybody."""
    try:
        yield
    except typer.TyperException as error:
        with suppress(Exception, SystemExit):  # rich ends the program when nobody reads what it writes
            rich_format_error(error)  # type: ignore[arg-type]
        raise typer.Exit(NO_ANSWER) from error
    except OSError as error:
        raise typer.Exit(_ended(*_explained(error))) from error
    except SystemExit as error:
        raise typer.Exit(NO_ANSWER) from error


def without_module(name: str) -> str:
    """What to do about a library that is not there."""
    return (
        f"{name} is not installed. `pip install 'phasegate[server]'` installs what the service, and estimation without "
        "one, need."
    )


def write_answer(content: bytes) -> None:
    """Write what a command found to standard output, all of it.  Raises OSError; nothing is left for the end to write.

    A program that ends with something left to write, to a pipe that nobody reads, would end with another exit code.
    """
    if sys.stdout is None:
        raise OSError("Standard output is closed")
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
    except OSError:
        _forget(sys.stdout)
        raise


class _Heedless:
    """A stream that goes on when it cannot be written to: progress that nobody can be shown costs no decision."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write, or do not."""
        try:
            return self._stream.write(text)
        except OSError:
            _forget(self._stream)
            return len(text)

    def flush(self) -> None:
        """Write what is left, or do not."""
        try:
            self._stream.flush()
        except OSError:
            _forget(self._stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def _heedless_errors() -> Iterator[None]:
    """Standard error on a full disk, or that nobody reads, is as one that is closed."""
    if sys.stderr is None:
        yield
        return
    with redirect_stderr(cast("TextIO", _Heedless(sys.stderr))):
        yield


def _forget(stream: TextIO) -> None:
    """What is left in the buffer, and all that will be written, goes nowhere."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def _explained(error: Exception) -> tuple[str, int]:
    from service.remote.endings import Ended, ExitCode

    match error:
        case Ended(exit_code=ExitCode.INTERRUPTED):
            return str(error), INTERRUPTED
        case Ended():
            return str(error), NO_ANSWER
        case ModuleNotFoundError(name=str(name)):
            return without_module(name), NO_ANSWER
        case MemoryError():
            return "There is not enough memory. Send fewer pairs or features, or use a larger machine.", NO_ANSWER
        case OSError():
            return f"{error.strerror or error}. There is no answer.", NO_ANSWER
    return f"{type(error).__name__}: {error}. This is a defect of Phasegate, and no answer.", NO_ANSWER


def _ended(message: str, exit_code: int = NO_ANSWER) -> int:
    """Say why there is no answer, if anybody listens; the exit code."""
    from service.figures.printable import printable

    with suppress(Exception):
        typer.echo(f"phasegate: {printable(message)}", err=True)
    return exit_code
