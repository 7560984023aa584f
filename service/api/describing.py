"""What routes say of themselves: answers, headers and bodies, in the words of OpenAPI."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from service.api.problems import MEDIA_TYPE
from service.schemas.wire import Problem

ID_EXAMPLES = {
    "dataset_id": "ds-01a20b62cd262eca6696b11f016bef10",
    "label_set_id": "ls-01a20b62cd27c1b7d0a2f0b4c8e94d15",
    "analysis_id": "an-01a20b62cd2890aa51d3c7e2b6f48013",
    "decision_id": "de-01a20b62cd2a4d17e90b36c8f25a7be1",
    "webhook_id": "wh-01a20b62cd2a4f61b0c9d8e7f6a5b4c3",
    "delivery_id": "wd-01a20b62cd2a5e70c1d2e3f4a5b6c7d8",
}
LOCATION = {"Location": {"description": "Where it is.", "schema": {"type": "string"}}}
RETRY_AFTER = {"Retry-After": {"description": "Seconds after which to look again.", "schema": {"type": "integer"}}}
APPLIED = {"Preference-Applied": {"description": "The wait that was granted.", "schema": {"type": "string"}}}


def problem(description: str, headers: dict[str, Any] | None = None) -> dict[str, Any]:
    """An answer that is a problem."""
    answer: dict[str, Any] = {"model": Problem, "content": {MEDIA_TYPE: {}}, "description": description}
    return answer | ({"headers": headers} if headers else {})


def form_content(form: type[BaseModel], name: str, **example: str) -> dict[str, Any]:
    """A multipart form with an example, in which the name of a file stands for its content."""
    return {
        "multipart/form-data": {
            "schema": {"$ref": f"#/components/schemas/{form.__name__}"},
            "examples": {name: {"summary": "A file name stands for the file's content.", "value": example}},
        }
    }


def json_content(model: type[BaseModel], **examples: dict[str, Any]) -> dict[str, Any]:
    """A JSON body with examples by name."""
    return {
        "application/json": {
            "schema": {"$ref": f"#/components/schemas/{model.__name__}"},
            "examples": {name: {"value": value} for name, value in examples.items()},
        }
    }


def json_examples(model: type[BaseModel], examples: dict[str, Any]) -> dict[str, Any]:
    """A JSON body with examples by name, each with a summary."""
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}, "examples": examples}}


def request_body(*contents: dict[str, Any]) -> dict[str, Any]:
    """The `openapi_extra` of a route that takes one of these contents."""
    merged: dict[str, Any] = {}
    for content in contents:
        merged |= content
    return {"requestBody": {"required": True, "content": merged}}
