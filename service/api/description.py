"""The API's description: openapi.yaml at the root of the repository is what `description_yaml` gives."""

from __future__ import annotations

from typing import Any

import yaml
from fastapi import FastAPI


def describe(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI description, without the framework's own form of validation errors, which never leaves the API."""
    description = FastAPI.openapi(app)
    for operations in description["paths"].values():
        for operation in operations.values():
            if "HTTPValidationError" in str(operation["responses"].get("422")):
                del operation["responses"]["422"]
    for name in ("HTTPValidationError", "ValidationError"):
        description["components"]["schemas"].pop(name, None)
    return description


def description_yaml(app: FastAPI) -> str:
    """The description as YAML, in a stable order."""
    text: str = yaml.safe_dump(app.openapi(), sort_keys=False, allow_unicode=True, width=100)
    return text
