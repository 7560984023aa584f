"""`python -m service` is `phasegate`: the command, which Ctrl-C may reach while its modules are loaded."""

import sys


def main() -> None:
    """Run the command line."""
    try:
        from service.cli import main as run

        run()
    except KeyboardInterrupt:
        sys.stderr.write("phasegate: Interrupted.\n")
        sys.exit(130)


if __name__ == "__main__":
    main()
