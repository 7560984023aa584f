"""Text from elsewhere, safe for a terminal: what a server or a file says must not move the cursor or hide a line."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderHook, RenderResult
from rich.segment import Segment

UNPRINTABLE = ("Cc", "Cf", "Cs", "Zl", "Zp")  # controls, invisible formats such as reversals, halves of characters
UNBOUNDED_WIDTH = 100_000


def printable(text: str) -> str:
    """The text on one line, without what a terminal would obey instead of showing it."""
    return "".join(character for character in " ".join(text.split()) if not _obeyed(character))


def safe_console(*, stderr: bool = False, width: int | None = None) -> Console:
    """A console that shows nothing but text, whatever the text contains; styles are its own."""
    console = Console(stderr=stderr, highlight=False, width=width)
    console.push_render_hook(_OnlyText())
    return console


def list_console() -> Console:
    """Where a list goes: cut to a terminal's width, or as it is to another program, which reads its lines."""
    console = safe_console()
    return console if console.is_terminal else safe_console(width=UNBOUNDED_WIDTH)


class _OnlyText(RenderHook):
    """Passes every renderable on, in a wrapper."""

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        """Wrap each."""
        return [_Harmless(renderable) for renderable in renderables]


class _Harmless:
    """A renderable without the control characters in its text."""

    def __init__(self, renderable: ConsoleRenderable) -> None:
        self._renderable = renderable

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        return self._segments(console.render(self._renderable, options))

    @staticmethod
    def _segments(segments: Iterable[Segment]) -> Iterable[Segment]:
        for text, style, control in segments:
            shown = text if control else "".join(c for c in text if c == "\n" or not _obeyed(c))
            yield Segment(shown, style, control)


def _obeyed(character: str) -> bool:
    return unicodedata.category(character) in UNPRINTABLE
