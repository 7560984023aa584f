"""The root of a real tree over stand-ins: `python -m ... <worker behaviour> <journal> <api arguments>`."""

from __future__ import annotations

import os
import sys

from service.serving.process_tree import Commands, serve
from service.settings import Settings

if __name__ == "__main__":
    behaviour, journal, *api_arguments = sys.argv[1:]
    commands = Commands(
        api=(sys.executable, "-m", "tests.integration.api_stand_in", *api_arguments),
        worker=(sys.executable, "-m", "tests.integration.worker_stand_in", behaviour, journal),
    )
    sys.exit(serve(Settings(), commands=commands, on_ready=lambda url: os.write(1, f"{url}\n".encode())))
