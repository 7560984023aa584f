"""The API's description is what the service does, and the error table covers every error."""

from pathlib import Path

import pytest
import yaml

from service.analyses.analysis import Failure
from service.analyses.errors import AnalysisError, LabelsTooLarge, UploadError
from service.api.app import create_app
from service.api.description import description_yaml
from service.api.problems import problem_of, problem_of_failure, subclasses
from service.estimation.errors import EstimationError, InvalidOption
from service.estimation.inputs import check_options
from service.estimation.options import Options
from service.gating.errors import GatingError
from service.schemas.uploads import DatasetForm, LabelSetForm, UploadForm, parts_of, required_of
from service.settings import Settings

ROOT = Path(__file__).parents[2]
ROOTS = (EstimationError, AnalysisError, GatingError)
ERRORS = [kind for root in ROOTS for kind in subclasses(root) if "code" in vars(kind)]


def test_openapi_yaml_is_what_the_service_describes():
    kept = (ROOT / "openapi.yaml").read_text(encoding="utf-8")
    assert kept == description_yaml(create_app(Settings())), "run `make openapi`"


def test_every_operation_and_field_is_described():
    description = yaml.safe_load(description_yaml(create_app(Settings())))
    for path, operations in description["paths"].items():
        for method, operation in operations.items():
            assert operation["summary"], (method, path)
            assert operation["description"], (method, path)
    schemas = description["components"]["schemas"]
    for name, schema in schemas.items():
        for field, content in schema.get("properties", {}).items():
            # A reference whose description would repeat that of its schema stands alone.
            reference = content.get("$ref", "").rpartition("/")[2]
            assert content.get("description") or (reference and schemas[reference]["description"]), f"{name}.{field}"


def test_every_call_says_what_any_call_may_answer():
    description = yaml.safe_load(description_yaml(create_app(Settings())))
    for path, operations in description["paths"].items():
        for method, operation in operations.items():
            answers = operation["responses"]
            if path.startswith("/v1/"):
                assert {"422", "500", "503"} <= set(answers), (method, path)
            if operation.get("requestBody"):
                assert "413" in answers, (method, path)
                assert {"400", "408"} <= set(answers), (method, path)
            for status, answer in answers.items():
                shared = answer.get("$ref", "").rpartition("/")[2]
                described = description["components"]["responses"][shared] if shared else answer
                assert described["description"]
                if int(status) >= 400:
                    assert list(described["content"]) == ["application/problem+json"], (method, path, status)
                if status == "503":
                    assert "Retry-After" in described["headers"], (method, path)


def test_calls_that_can_be_repeated_say_how_a_repetition_is_told_and_bodies_that_they_may_have_a_digest():
    description = yaml.safe_load(description_yaml(create_app(Settings())))
    for path, operations in description["paths"].items():
        for method, operation in operations.items():
            named = {parameter["name"] for parameter in operation.get("parameters", [])}
            assert ("Idempotency-Key" in named) == (method == "post"), (method, path)
            for status, answer in operation["responses"].items():
                is_told = "Idempotent-Replayed" in answer.get("headers", {})
                assert is_told == (method == "post" and status < "400"), (method, path, status)
            if method == "post":
                assert "Retry-After" in operation["responses"]["409"]["headers"], path
            if "requestBody" in operation:
                assert "Content-Digest" in operation["requestBody"]["description"], (method, path)


@pytest.mark.parametrize("form", [DatasetForm, LabelSetForm, UploadForm])
def test_every_part_of_an_upload_is_described_and_files_are_told_from_texts(form):
    described = yaml.safe_load(description_yaml(create_app(Settings())))["components"]["schemas"][form.__name__]
    kinds = {name: part.get("contentMediaType") for name, part in described["properties"].items()}
    assert set(kinds.values()) <= {"application/octet-stream", "application/json", None}
    files = {name: kind == "application/octet-stream" for name, kind in kinds.items()}
    assert files == parts_of(form)
    assert tuple(described["required"]) == required_of(form)
    for name, part in described["properties"].items():
        features, table, text = Settings().max_upload_bytes, Settings().max_label_bytes, 64 * 1024
        if kinds[name] is not None:  # what is no JSON has a bound of its own
            assert part["maxLength"] == (features if name in ("x", "y") else table if files[name] else text)


def test_scaling_is_sent_as_one_word_or_two_and_reported_as_two():
    schemas = yaml.safe_load(description_yaml(create_app(Settings())))["components"]["schemas"]
    sent = schemas["SubmittedOptions"]["properties"]["scaling"]["anyOf"]
    assert [branch["$ref"].rpartition("/")[2] for branch in sent] == ["Scaling", "Scalings"]
    assert schemas["Options"]["properties"]["scaling"]["$ref"].endswith("/Scalings")


@pytest.mark.parametrize("schema", ["Options", "EstimationOptions", "SubmittedOptions"])
def test_bounds_of_options_are_those_that_are_enforced(schema):
    described = yaml.safe_load(description_yaml(create_app(Settings())))["components"]["schemas"][schema]["properties"]
    for name, field in described.items():
        for kind in field.get("anyOf", [field]):
            if kind.get("type") not in ("integer", "number"):
                continue
            low, high = kind.get("minimum", kind.get("exclusiveMinimum")), kind["maximum"]
            step = 1 if kind["type"] == "integer" else 1e-9
            check_options(Options(**{name: high}))
            check_options(Options(**{name: low + (step if "exclusiveMinimum" in kind else 0)}))
            for outside in (low - (step if "minimum" in kind else 0), high + step):
                with pytest.raises(InvalidOption, match=name):
                    check_options(Options(**{name: outside}))


def test_the_report_is_described_in_full():
    schemas = yaml.safe_load(description_yaml(create_app(Settings())))["components"]["schemas"]
    assert "class" in schemas["Component"]["required"]
    for record in ("Report", "Separation", "Component", "Evidence", "ModelFit", "RehearsalRow"):
        assert schemas[record]["required"] == list(schemas[record]["properties"]), record


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_every_error_is_a_problem_with_a_status_of_its_own_kind(kind):
    problem = problem_of(kind("What is wrong and what to do.", part="x"))
    assert 400 <= problem.status < 600
    assert problem.title.endswith(".")
    assert problem.type == f"urn:phasegate:problem:{kind.code}"
    assert problem_of_failure(Failure(kind.code, "What is wrong and what to do.", "x")) == problem


def test_codes_are_unique():
    codes = [kind.code for kind in ERRORS]
    assert len(set(codes)) == len(codes) > 25


def test_every_fault_of_a_file_stands_in_the_documentation():
    page = (ROOT / "docs/api.md").read_text(encoding="utf-8")
    codes = {kind.code for kind in subclasses(UploadError)}
    assert {code for code in codes if f"`{code}`" not in page} == {LabelsTooLarge.code}, "a 413 like any other"


def test_a_stored_code_that_is_no_longer_known_is_still_a_problem():
    problem = problem_of_failure(Failure("from_an_older_version", "It ended.", None))
    assert (problem.code, problem.status) == ("from_an_older_version", 500)


def test_every_operation_has_one_tag():
    for operations in yaml.safe_load(description_yaml(create_app(Settings())))["paths"].values():
        for operation in operations.values():
            assert len(operation["tags"]) == 1, operation["summary"]
