import json
from pathlib import Path

from typer.testing import CliRunner

from pipeline.cli.catalogue import app

RIGHT = 'version: "1"\ndefaults: {category: c}\ncategories: {c: {}}\nevent_types: {a.b: {category: c}}\n'


def test_check_is_silent_about_nothing_and_says_the_policy_version(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(RIGHT)

    for_people = CliRunner().invoke(app, ["check", str(path)])
    for_programs = CliRunner().invoke(app, ["check", str(path), "--json"])

    assert for_people.exit_code == for_programs.exit_code == 0
    said = json.loads(for_programs.stdout)
    assert (said["ok"], said["event_types"], said["problems"]) == (True, ["a.b"], [])
    assert said["policy_version"] in for_people.stdout


def test_check_fails_on_a_mistake_and_tells_it_on_stderr_and_in_the_json(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(RIGHT.replace("category: c}}", "category: d}}"))

    result = CliRunner().invoke(app, ["check", str(path), "--json"])

    assert result.exit_code == 1
    (problem,) = json.loads(result.stdout)["problems"]
    assert problem.startswith(f"{path}:4: ")
    assert problem in result.stderr
