"""JSON that parsers read differently, or that costs more than it says, is refused before anything is made of it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any, NoReturn

from service.analyses.errors import InvalidRequest, JsonNumber, JsonTooDeep, JsonTooLarge, RepeatedJsonName

MAX_DEPTH = 32
MAX_VALUES = 20_000  # names included; the longest lists that any call takes are some thousands
SHOWN_CHARACTERS = 40  # of what a caller has written and is told again


def check_json(text: str | bytes, part: str | None = None) -> None:
    """Refuse a name that stands twice, NaN and infinities, numbers beyond double precision, deep nesting, very many
    values, and halves of characters.  What is no JSON at all passes: its schema says more about it.

    Arguments: part, what the text is of the request, where it is not the body.

    Raises: RepeatedJsonName, JsonNumber, JsonTooDeep, JsonTooLarge, InvalidRequest.
    """
    what = "The body" if part is None else part

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(found) > MAX_VALUES:
            raise _too_large(what, part)
        values: dict[str, Any] = {}
        for name, value in found:
            if name in values:
                twice = ascii(name[:SHOWN_CHARACTERS])
                raise RepeatedJsonName(f"{what} says {twice} twice in one object. Say it once.", part=part)
            values[name] = value
        return values

    def refuse_number(written: str) -> NoReturn:
        raise JsonNumber(
            f"{what} holds the number {written[:SHOWN_CHARACTERS]}, which is not a number of double precision. Write "
            "finite numbers up to 1e308.",
            part=part,
        )

    def real(written: str) -> float:
        value = float(written)
        return value if math.isfinite(value) else refuse_number(written)

    try:
        value = json.loads(
            text,
            object_pairs_hook=pairs,
            parse_constant=refuse_number,
            parse_float=real,
            parse_int=real,  # only looked at: a whole number of thousands of digits is never made
        )
    except RecursionError as error:
        raise _too_deep(what, part) from error
    except ValueError:
        return
    _check_value(value, what, part)


def _check_value(value: Any, what: str, part: str | None) -> None:
    waiting: list[Iterator[Any]] = [iter((value,))]
    count = 0
    while waiting:
        for item in waiting[-1]:
            count += 1
            if count > MAX_VALUES:
                raise _too_large(what, part)
            if isinstance(item, str):
                _check_text(item, what, part)
            elif isinstance(item, dict | list):
                waiting.append(iter([*item, *item.values()] if isinstance(item, dict) else item))
                if len(waiting) > MAX_DEPTH + 1:
                    raise _too_deep(what, part)
                break
        else:
            waiting.pop()


def _check_text(text: str, what: str, part: str | None) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InvalidRequest(
            f"{what} holds half of a character, \\u{ord(text[error.start]):04x}. Send text that can be written as "
            "UTF-8.",
            part=part,
        ) from error


def _too_large(what: str, part: str | None) -> JsonTooLarge:
    return JsonTooLarge(f"{what} holds more than {MAX_VALUES} values. Send arrays and tables as files.", part=part)


def _too_deep(what: str, part: str | None) -> JsonTooDeep:
    return JsonTooDeep(f"{what} is nested more than {MAX_DEPTH} levels deep. /docs shows what to send.", part=part)
