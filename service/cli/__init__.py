"""The command line: parsing only."""

from service.cli import keys, local, remote
from service.cli.app import app

__all__ = ["app", "keys", "local", "main", "remote"]


def main() -> None:
    """Run the command line; what a user can mend is one line on standard error, and an exit code."""
    app()
