"""The two clients are one: what is not async is a translation of what is."""

import inspect

import pytest

from scripts.client_sync import BY_HAND, TARGET, modules, translated
from service.client import AsyncPhasegate, Phasegate

OWN = {"__aenter__": "__enter__", "__aexit__": "__exit__"}


def test_the_client_without_async_is_the_translation_of_the_other():
    written = {path.name: path.read_text(encoding="utf-8") for path in TARGET.glob("*.py") if path.name not in BY_HAND}
    assert written == modules(), "run `make client-sync`"


def test_both_have_the_same_calls_with_the_same_arguments():
    calls = [name for name in vars(AsyncPhasegate) if inspect.isfunction(getattr(AsyncPhasegate, name))]
    assert len(calls) > 35
    for name in calls:
        there, here = getattr(AsyncPhasegate, name), getattr(Phasegate, OWN.get(name, name))
        assert inspect.signature(there).parameters == inspect.signature(here).parameters
        assert there.__doc__ == here.__doc__


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("async def f():\n    return await g(await h())\n", "def f():\n    return g(h())\n"),
        ("async with AsyncConnection() as c, d:\n    async for x in c:\n        await c.aclose()\n",
         "with Connection() as c, d:\n    for x in c:\n        c.close()\n"),
        ('"""An async word in text stays; AsyncPhasegate does not."""\n',
         '"""An async word in text stays; Phasegate does not."""\n'),
    ],
)  # fmt: skip
def test_what_is_left_out_and_what_is_replaced(written, expected):
    assert translated(written) == expected
