"""JSON or YAML that a person has written, as JSON: what is read of YAML is no more than JSON could say.

A plain word of YAML is a number, true, false or null where JSON writes them so, and text otherwise: what YAML 1.1 makes
of `on`, `1_0`, `0x1` and `1:30` is not what their writer may have meant.
"""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

import yaml

from service.analyses.errors import InvalidRequest
from service.schemas.strict_json import MAX_DEPTH, SHOWN_CHARACTERS, check_json

PLAIN = {f"tag:yaml.org,2002:{kind}" for kind in ("null", "bool", "int", "float", "str", "seq", "map")}
TEXT = "tag:yaml.org,2002:str"
INTEGER = "tag:yaml.org,2002:int", re.compile(r"-?(?:0|[1-9][0-9]*)\Z")
FLOAT = "tag:yaml.org,2002:float", re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?\Z")
BOOLEAN = "tag:yaml.org,2002:bool", re.compile(r"(?:true|false)\Z")
NULL = "tag:yaml.org,2002:null", re.compile(r"(?:null)?\Z")  # or nothing at all
AS_JSON = dict((INTEGER, FLOAT, BOOLEAN, NULL))
AS_WRITTEN = "schema_version"
"""A name whose value is text even without quotes: 1.0 would be a number."""


def as_json(text: str | bytes, part: str, max_bytes: int) -> str:
    """The JSON text of a document in JSON, which begins with a brace, or YAML.

    Of YAML are refused aliases, tags of its own, several documents, names that stand twice and names that are no text;
    `check_json` says what of JSON.

    Raises: InvalidRequest, with the line where that can be told.
    """
    size = len(text.encode("utf-8", "replace") if isinstance(text, str) else text)
    if size > max_bytes:
        raise InvalidRequest(f"{part} has more than {max_bytes} bytes. Send at most {max_bytes}.", part=part)
    try:
        said = text if isinstance(text, str) else text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"{part} is not UTF-8 text. Save it as UTF-8.", part=part) from error
    said = said.removeprefix("\ufeff")
    if not said.lstrip().startswith("{"):
        said = _json_of_yaml(said, part)
    check_json(said, part)
    try:
        json.loads(said)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"{part} begins with a brace and is no JSON: {error}. Mend it.", part=part) from error
    return said


class _Loader(yaml.SafeLoader):
    """Refuses what stands for something written elsewhere: a small text could become a large document.

    Takes for other than text what JSON does.
    """

    yaml_implicit_resolvers = {  # noqa: RUF012 - by the first character; the library's own attribute
        **{character: [INTEGER, FLOAT] for character in "-0123456789"},
        "t": [BOOLEAN],
        "f": [BOOLEAN],
        "n": [NULL],
        "": [NULL],
    }

    def compose_node(self, parent: Any, index: Any) -> Any:
        """The next node."""
        if self.check_event(yaml.AliasEvent):
            _refuse("aliases are not read, write what it stands for", self.peek_event())  # type: ignore[no-untyped-call]
        return super().compose_node(parent, index)


def _json_of_yaml(text: str, part: str) -> str:
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            raise InvalidRequest(f"{part} is empty. Write a mapping.", part=part)
        _check_node(node)
        return json.dumps(loader.construct_document(node))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = "" if mark is None else f", line {mark.line + 1}"
        what = ascii(getattr(error, "problem", None) or "it cannot be read")[1:-1]
        raise InvalidRequest(f"{part}{where}: {what}. Write JSON, or plain YAML.", part=part) from error
    except RecursionError as error:
        raise InvalidRequest(f"{part} is nested more than {MAX_DEPTH} levels deep.", part=part) from error
    except ValueError as error:
        reason = "It is too long, or has no such form."
        raise InvalidRequest(f"{part} holds a number that cannot be read. {reason}", part=part) from error


def _check_node(node: yaml.Node) -> None:
    """Refuse what JSON could not say."""
    if node.tag not in PLAIN:
        kind = node.tag.rpartition(":")[2][:40]
        _refuse(f"this is read as {kind}, which JSON does not know; put text in quotes", node)
    if node.tag in AS_JSON and not (isinstance(node, yaml.ScalarNode) and AS_JSON[node.tag].match(node.value)):
        _refuse("this is not written as JSON writes it; leave out its tag, and write 0.8, true, false or null", node)
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _check_node(item)
    elif isinstance(node, yaml.MappingNode):
        names: set[str] = set()
        for name, value in node.value:
            if name.tag != TEXT:
                _refuse("a name is no text; put it in quotes", name)
            if name.value in names:
                _refuse(f"{name.value[:SHOWN_CHARACTERS]!r} stands twice in one mapping; say it once", name)
            names.add(name.value)
            if name.value == AS_WRITTEN and isinstance(value, yaml.ScalarNode):
                value.tag = TEXT
            _check_node(value)


def _refuse(problem: str, at: Any) -> NoReturn:
    raise yaml.MarkedYAMLError(problem=problem, problem_mark=at.start_mark)
