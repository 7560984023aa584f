"""The API's description: openapi.yaml at the root of the repository is what `description_yaml` gives."""

from __future__ import annotations

import yaml

from service.api.app import create_app
from service.settings import Settings


def description_yaml() -> str:
    """The OpenAPI description as YAML, in a stable order."""
    text: str = yaml.safe_dump(create_app(Settings()).openapi(), sort_keys=False, allow_unicode=True, width=100)
    return text
