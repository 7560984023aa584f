"""`phasegate check`: what it prints and what its exit code says."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from service.cli import app


@pytest.fixture
def folder(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    signal = rng.standard_normal((120, 2))
    x = signal @ rng.standard_normal((2, 6)) + rng.standard_normal((120, 6))
    y = signal @ rng.standard_normal((2, 4)) + rng.standard_normal((120, 4))
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", y)
    np.savetxt(tmp_path / "labels.csv", signal[:, 0], header="age", comments="")
    np.savetxt(tmp_path / "groups.csv", np.arange(120) // 2, fmt="%d", header="subject", comments="")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments):
    return CliRunner().invoke(app, ["check", "x.npy", "y.npy", "--labels", "labels.csv", *arguments])


def change(name, **values):
    array = np.load(name)
    for column, value in values.items():
        array[:, int(column[1:])] = value
    np.save(name, array)


def test_nothing_is_found_in_clean_data(folder):
    result = run()
    assert result.exit_code == 0
    for words in ("120", "6 features of rank 6", "4 features of rank 4", "120 pairs: age", "Nothing was found"):
        assert words in result.stdout


def write_csv(name, ids, **columns):
    lines = [
        ",".join(["id", *columns]),
        *(",".join(map(str, line)) for line in zip(ids, *columns.values(), strict=True)),
    ]
    Path(name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_what_was_understood_and_joined_is_said(folder):
    x, y, ids = np.load("x.npy"), np.load("y.npy"), np.arange(120)
    write_csv("x.csv", ids, **{f"a{place}": x[:, place] for place in range(6)})
    write_csv("y.csv", ids[::-1][:110], **{f"b{place}": y[::-1][:110, place] for place in range(4)})
    write_csv("l.csv", ids, age=np.loadtxt("labels.csv", skiprows=1))
    result = CliRunner().invoke(app, ["check", "x.csv", "y.csv", "--labels", "l.csv"])
    assert result.exit_code == 0, result.output
    said = " ".join(result.stdout.split())
    assert "x: CSV with 120 rows: 6 columns (a0, a1, a2, ...); ids in id." in said
    assert "join: x and y were joined on id: 110 pairs; left out: 10 rows of x (0, 1, 2, ...)." in said
    assert "Labels were matched on id: 110 have a row" in said
    result = CliRunner().invoke(app, ["check", "x.csv", "y.csv", "--labels", "l.csv", "--json"])
    assert list(json.loads(result.stdout)["understood"]) == ["x", "y", "join"]
    result = CliRunner().invoke(app, ["check", "x.csv", "y.npy", "--labels", "l.csv"])
    assert result.exit_code == 2
    assert "labels has a column 'id'" in " ".join(result.stderr.split())
    result = CliRunner().invoke(app, ["check", "x.csv", "y.npy", "--labels", "labels.csv"])
    assert "join: Only x has ids (id), which were not used" in " ".join(result.stdout.split())


def test_a_warning_that_is_not_serious(folder):
    change("x.npy", c2=1.0)
    result = run()
    assert result.exit_code == 0
    assert "Warning constant_feature_columns: 1 of 6 columns of x" in result.stdout


def test_a_serious_warning(folder):
    change("y.npy", c3=np.load("x.npy")[:, 1])
    result = run()
    assert result.exit_code == 1
    assert "Serious copied_columns" in result.stdout


def test_as_json(folder):
    change("y.npy", c3=np.load("x.npy")[:, 1])
    result = run("--json", "--groups", "groups.csv")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert found["serious"] is True
    assert found["data"]["n_groups"] == 60
    assert [warning["code"] for warning in found["warnings"]] == ["copied_columns"]


def test_options_and_the_other_parts_are_read(folder):
    values = np.load("x.npy")
    values[3, 0] = np.nan
    values[:, 4] *= 1e4
    np.save("x.npy", values)
    np.save("rows.npy", np.arange(60))
    (folder / "labels.csv").write_text("digit\n" + "".join(f"{i % 3}\n" for i in range(60)))
    (folder / "covariates.csv").write_text("donor\n" + "".join(f"{i // 6}\n" for i in range(120)))
    options = {
        "label_types": {"digit": "categorical"},
        "covariate_types": "categorical",
        "scaling": {"x": "standardize"},
        "missing": "drop_rows",
    }
    given = ("--rows", "rows.npy", "--covariates", "covariates.csv", "--json")
    result = run("--options", json.dumps(options), *given)
    found = json.loads(result.stdout)
    assert (found["data"]["n_pairs_used"], found["data"]["n_labeled"]) == (119, 59)
    assert [warning["code"] for warning in found["warnings"]] == ["repeated_rows_need_groups", "missing_values"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--options", '{"scaling": "robust"}'), "options.scaling.x: "),
        (("--options", "{"), "options: Invalid JSON"),
        (("--options", '{"unheard_of": 1}'), "unheard_of"),
        (("--options", '{"covariate_types": "numeric"}'), "none were sent"),
        (("--options", '{"seed": -1}'), "seed is -1"),
        (("--rows", "y.npy"), "rows has shape (120, 4)"),
        (("--groups", "x.npy"), "groups has shape (120, 6)"),
    ],
)
def test_bad_input_is_said_in_one_line(folder, arguments, words):
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("phasegate: ")
    assert words in result.stderr


def test_missing_values_of_every_part(folder):
    ages = np.loadtxt("labels.csv", skiprows=1)
    kinds = ["" if i % 3 else f"k{i % 2}" for i in range(120)]
    depths = ["NA" if i % 5 == 0 else f"{i}.5" for i in range(120)]
    for name, lines in (
        ("labels", ["age,kind", *(f"{age},{kind}" for age, kind in zip(ages, kinds, strict=True))]),
        ("covariates", ["depth", *depths]),
        ("groups", ["subject", *(f"s{i // 3}" for i in range(120))]),
    ):
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n")
    result = run("--covariates", "covariates.csv", "--groups", "groups.csv", "--json")
    found = json.loads(result.stdout)
    assert (found["data"]["n_labeled"], found["data"]["n_groups"]) == (120, 40)
    assert [warning["code"] for warning in found["warnings"]] == ["few_labels"]
    assert "'kind' (40)" in found["warnings"][0]["message"]


def test_values_that_cannot_be_estimated(folder):
    change("y.npy", c1=np.nan)
    result = run()
    assert result.exit_code == 2
    assert "y has 120 values that are NaN or infinite" in result.stderr
    assert "`missing` to drop_rows or mean" in result.stderr


def test_a_file_that_is_not_there(folder):
    assert run("--groups", "nowhere.csv").exit_code == 2
