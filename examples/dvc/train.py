"""The run that is paid for."""

from pathlib import Path

Path("model.txt").write_text("trained\n")
