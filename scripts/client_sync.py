"""Translate the asynchronous client into the one without async: `make client-sync`.

One source: `service/client/asynchronous` is written by hand, `service/client/blocking` comes out of it word by word.
What differs by more than a word is in `runtime`, which both have of their own.
"""

from __future__ import annotations

import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "service/client/asynchronous"
TARGET = ROOT / "service/client/blocking"
BY_HAND = ("__init__.py", "runtime.py")
NOTICE = "# Translated from {source} by `make client-sync`: edit that.\n"

WORDS = {
    "AsyncPhasegate": "Phasegate",
    "AsyncConnection": "Connection",
    "AsyncWebhooks": "Webhooks",
    "AsyncClient": "Client",
    "AsyncIterator": "Iterator",
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "__aiter__": "__iter__",
    "aclose": "close",
    "aclosing": "closing",
    "aiter_text": "iter_text",
    "aread": "read",
    "asynccontextmanager": "contextmanager",
    "asynchronous": "blocking",
}
WORD = re.compile(r"\b(" + "|".join(WORDS) + r")\b")
DROPPED = ("async", "await")


def translated(source: str) -> str:
    """A module without async: `async` and `await` are left out, and words are replaced, in texts too."""
    lines = source.splitlines(keepends=True)
    for row, start, end in _dropped(source):
        lines[row] = lines[row][:start] + lines[row][end:]
    return WORD.sub(lambda found: WORDS[found[1]], "".join(lines))


def _dropped(source: str) -> Iterator[tuple[int, int, int]]:
    """Line and columns of everything that is left out, with the space behind it; the last ones first."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    found = [token for token in tokens if token.type == tokenize.NAME and token.string in DROPPED]
    for token in reversed(found):
        yield token.start[0] - 1, token.start[1], token.end[1] + 1


def modules() -> Mapping[str, str]:
    """Every module that is translated, by its name, formatted as the others are."""
    found = {}
    for path in sorted(SOURCE.glob("*.py")):
        if path.name not in BY_HAND:
            notice = NOTICE.format(source=path.relative_to(ROOT))
            found[path.name] = _formatted(notice + translated(path.read_text(encoding="utf-8")))
    return found


def _formatted(text: str) -> str:
    for command in (["check", "--fix", "--select", "I"], ["format"]):
        ruff = [sys.executable, "-m", "ruff", *command, "--quiet", "--stdin-filename", str(TARGET / "module.py"), "-"]
        text = subprocess.run(ruff, input=text, capture_output=True, text=True, check=True).stdout
    return text


def main() -> None:
    """Write the translation."""
    found = modules()
    for path in TARGET.glob("*.py"):
        if path.name not in BY_HAND and path.name not in found:
            path.unlink()
    for name, text in found.items():
        (TARGET / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
