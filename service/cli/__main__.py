"""`python -m service.cli` is `phasegate`."""

from service.cli import main

if __name__ == "__main__":
    main()
