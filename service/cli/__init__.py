"""The command line: parsing only."""

from service.cli import gate, keys, local, remote
from service.cli.answering import without_module
from service.cli.app import app, fail

__all__ = ["app", "gate", "keys", "local", "main", "remote"]


def main() -> None:
    """Run the command line; what a user can mend is one line on standard error, and an exit code."""
    try:
        app()
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("service"):
            raise
        fail(without_module(error.name))
