"""The API's description: openapi.yaml at the root of the repository is what `description_yaml` gives."""

from __future__ import annotations

from typing import Any

import yaml
from fastapi import FastAPI

from service.api.problems import MEDIA_TYPE
from service.schemas.options import OPTIONS


def describe(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI description, with what the framework cannot know put right.

    Its own form of validation errors never leaves the API; problems have a media type of their own; and the part
    `options` is JSON of a known schema.
    """
    description = FastAPI.openapi(app)
    for operations in description["paths"].values():
        for operation in operations.values():
            responses = operation["responses"]
            if "HTTPValidationError" in str(responses.get("422")):
                del responses["422"]
            for response in responses.values():
                if MEDIA_TYPE in response.get("content", {}):
                    response["content"] = {MEDIA_TYPE: response["content"]["application/json"]}
    schemas = description["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    options = OPTIONS.json_schema(ref_template="#/components/schemas/{model}")
    schemas |= options.pop("$defs", {})
    schemas[options["title"]] = options
    for name, field in options["properties"].items():
        field.setdefault("description", schemas["Options"]["properties"].get(name, {}).get("description"))
    upload = next(schema for name, schema in schemas.items() if name.startswith("Body_submit"))
    upload["properties"]["options"] = {
        "type": "string",
        "contentMediaType": "application/json",
        "contentSchema": {"$ref": f"#/components/schemas/{options['title']}"},
        "description": upload["properties"]["options"]["description"],
    }
    return description


def description_yaml(app: FastAPI) -> str:
    """The description as YAML, in a stable order."""
    text: str = yaml.safe_dump(app.openapi(), sort_keys=False, allow_unicode=True, width=100)
    return text
