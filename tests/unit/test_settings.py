"""The README's table of settings is that of the code; settings that can only be a mistake are refused."""

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from service.settings import OTHER_VARIABLES, Settings, misspelt

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


@pytest.mark.parametrize(
    ("name", "meant"),
    [("PHASEGATE_REQUIRE_KEY", "PHASEGATE_REQUIRE_KEYS"), ("PHASEGATE_ALOWED_HOSTS", "PHASEGATE_ALLOWED_HOSTS")],
)
def test_a_misspelt_setting_is_found(name, meant):
    assert misspelt({name: "true", "PATH": "/bin"}) == {name: meant}


def test_what_is_no_setting_of_ours_is_left_alone():
    compose = ("PHASEGATE_IMAGE", "PHASEGATE_PYTHON_IMAGE", "PHASEGATE_WORKER_MEMORY", "PHASEGATE_GRAFANA_PORT")
    assert misspelt(dict.fromkeys((*OTHER_VARIABLES, *compose, "PHASEGATE_PORT"), "x")) == {}


def test_decisions_are_kept_for_no_less_than_reports():
    with pytest.raises(ValidationError, match="set it to 604800"):
        Settings(decision_retention_s=604_799)
    assert Settings(decision_retention_s=604_800).decision_retention == Settings().retention
    decades = Settings(retention_s=10**9)
    assert decades.decision_retention == decades.retention
    assert Settings().decision_retention > Settings().retention
