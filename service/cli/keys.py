"""`phasegate keys`: make, list and revoke API keys, where the store is: parsing only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.app import app, fail, read_settings, start_logging
from service.cli.local import DataDir

if TYPE_CHECKING:  # loaded by the commands, and not to show a help text
    from service.access.keys import Keys
    from service.settings import Settings

LONGEST_DAYS = 3650

keys = typer.Typer(no_args_is_help=True, help="Make, list and revoke API keys.")
app.add_typer(keys, name="keys")


class ScopeName(StrEnum):
    """The scopes, as their own module has them, which is not loaded to show a help text."""

    READ = "read"
    SUBMIT = "submit"
    ADMIN = "admin"


@keys.command()
def create(
    name: Annotated[str, typer.Option(help="Whose it is, for lists and the audit log.")],
    scope: Annotated[
        list[ScopeName],
        typer.Option(
            help="What it allows: read (look at data), submit (upload, submit, cancel, delete), admin (/metrics); may "
            "be given several times."
        ),
    ],
    tenant: Annotated[str, typer.Option(help="Whose datasets and analyses it reaches.")] = "default",
    expires_in: Annotated[
        int | None,
        typer.Option(help="Days after which it counts for nothing.", metavar="DAYS", min=1, max=LONGEST_DAYS),
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Make a key and print it, once: only a digest of it is kept. It counts at once."""
    from service.access.administration import create_key

    settings = read_settings(data_dir=data_dir)
    start_logging(settings)
    lifetime = None if expires_in is None else timedelta(days=expires_in)
    with _refusals():
        typer.echo(create_key(_opened(settings), name, tenant, scope, lifetime))


@keys.command("list")
def list_keys(
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON array and nothing else.")] = False,
    data_dir: DataDir = None,
) -> None:
    """List the keys, oldest first, without their secrets."""
    from service.figures.keys import draw_keys, keys_json

    with _refusals():
        found = _opened(read_settings(data_dir=data_dir)).all()
    if as_json:
        typer.echo(keys_json(found))
    else:
        draw_keys(found)


@keys.command()
def revoke(
    key_id: Annotated[str, typer.Argument(help="Id of the key.", metavar="ID", show_default=False)],
    data_dir: DataDir = None,
) -> None:
    """Make a key count for nothing, within seconds and for good. Revoking it again changes nothing."""
    from service.access.administration import revoke_key

    settings = read_settings(data_dir=data_dir)
    start_logging(settings)
    with _refusals():
        key = revoke_key(_opened(settings), key_id)
    typer.echo(f"Key {key.id} ({key.name}) is revoked.")


def _opened(settings: Settings) -> Keys:
    """The keys, where they are; a bucket that lets us not in says why."""
    from service.wiring import check_store, open_keys

    check_store(settings)
    return open_keys(settings)


@contextmanager
def _refusals() -> Iterator[None]:
    """Ends the program when a key cannot be made or found, or the store not be reached."""
    from service.access.errors import InvalidKey
    from service.analyses.errors import StoreUnavailable
    from service.wiring import StoreNotUsable

    try:
        yield
    except (InvalidKey, StoreUnavailable, StoreNotUsable) as error:
        fail(str(error))
