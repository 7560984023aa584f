"""The README's table of settings is that of the code; settings that can only be a mistake are refused."""

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from service.settings import Settings

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
OF_THE_TREE = {"listen_fd"}  # no person sets it


def test_the_readme_describes_every_setting_in_the_words_of_the_code():
    rows = dict(re.findall(r"^\| `PHASEGATE_(\w+)` \| (?:[^|]* )?\| (.*) \|$", README, re.MULTILINE))
    described = {name.upper(): field.description for name, field in Settings.model_fields.items()}
    for name in OF_THE_TREE:
        described.pop(name.upper())
    assert rows == described


@pytest.mark.parametrize("names", ["http://gate.example", "gate.example:443", "a b"])
def test_what_is_no_list_of_host_names_is_refused(names):
    with pytest.raises(ValidationError, match="separated by commas"):
        Settings(allowed_hosts=names)


def test_nobody_is_let_in_and_no_key_is_asked_for_by_default():
    settings = Settings()
    assert settings.host == "127.0.0.1"
    assert not settings.require_keys
    assert not settings.let_anyone_on_the_network_use_this_service
