"""The password of a queue that has one: read from a file, so that neither environment nor process list shows it."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

MIN_LENGTH = 16
PLACEHOLDERS = (
    *("password", "passwd", "secret", "change", "replace", "insert", "example", "placeholder", "default", "phasegate"),
    *("redis", "your", "this", "here", "with", "todo", "admin", "strong", "random", "my", "me"),
)
"""What examples put where a password belongs; a password that consists of little else is refused."""

MIN_DIFFERENT = 5
"""A password has at least this many different letters and digits, placeholders not counted."""


class PasswordRefused(Exception):
    """The password cannot be used; the message says why and what to do, and never what it is."""


def read_password(path: Path) -> str:
    """The password in a file, without the line break at its end.  Raises PasswordRefused."""
    try:
        password = path.read_text(encoding="utf-8").rstrip("\r\n")
    except FileNotFoundError as error:
        raise _refused(path, "does not exist") from error
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise _refused(path, f"cannot be read ({reason})") from error
    if not password.strip():
        raise _refused(path, "is empty")
    if not password.isprintable():
        raise _refused(path, "holds more than one line or characters that cannot be typed")
    if _is_placeholder(password):
        raise _refused(path, "holds a placeholder, which everybody can guess")
    if len(password) < MIN_LENGTH:
        raise _refused(path, f"holds a password of fewer than {MIN_LENGTH} characters, which can be guessed")
    return password


def with_password(url: str, password: str) -> str:
    """The address of a server with the password in it.  Raises PasswordRefused when it names one already."""
    parts = urlsplit(url)
    user, found, given = parts.netloc.rpartition("@")[0].partition(":")
    if found and given:
        raise PasswordRefused(
            "PHASEGATE_REDIS_URL has a password in it, and PHASEGATE_REDIS_PASSWORD_FILE is set as well. Take the "
            "password out of the URL: every process of the machine may see it there."
        )
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{user}:{quote(password, safe='')}@{host}"))


def _refused(path: Path, what: str) -> PasswordRefused:
    return PasswordRefused(
        f"The password file {path} {what}. Write a random password into it (`make secrets` makes one for the "
        "containers), or unset PHASEGATE_REDIS_PASSWORD_FILE if your Redis wants none."
    )


def _is_placeholder(password: str) -> bool:
    rest = "".join(character for character in password.lower() if character.isalnum())
    for word in PLACEHOLDERS:
        rest = rest.replace(word, "")
    return len(set(rest)) < MIN_DIFFERENT
