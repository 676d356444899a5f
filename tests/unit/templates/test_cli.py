"""``pipeline templates check`` and ``preview``: what they find and what they show."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from pipeline.cli.templates import app
from pipeline.errors import ConfigurationError
from pipeline.resources import resource_dir

MJML = "<mjml><mj-body><mj-section><mj-column>\n{}\n</mj-column></mj-section></mj-body></mjml>"
CATALOGUE = """
version: "1"
defaults: {category: c}
categories:
  c: {}
  news: {stream: marketing}
event_types:
  a.b:
    category: c
    channels: [sms]
    template: t
    schema:
      type: object
      required: [id]
      properties:
        id: {type: string}
        note: {type: string}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "catalogue.yaml").write_text(CATALOGUE)
    (tmp_path / "templates").mkdir()
    monkeypatch.setenv("PIPELINE_CATALOGUE__PATH", str(tmp_path / "catalogue.yaml"))
    monkeypatch.setenv("PIPELINE_CATALOGUE__TEMPLATES", str(tmp_path / "templates"))
    return tmp_path


def write(project: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        path = project / "templates" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")


def checked(project: Path, files: Mapping[str, str]) -> tuple[Result, list[str]]:
    write(project, files)
    result = CliRunner().invoke(app, ["check", "--json"])
    problems: list[str] = json.loads(result.stdout)["problems"]
    assert result.exit_code == bool(problems)
    return result, [problem.replace(f"{project}/templates/", "") for problem in problems]


def test_the_templates_that_ship_are_fine() -> None:
    examples = resource_dir("examples")
    arguments = ["--templates", str(examples / "templates"), "--catalogue", str(examples / "catalogue.yaml"), "--json"]
    result = CliRunner().invoke(app, ["check", *arguments])
    report = json.loads(result.stdout)
    assert report["problems"] == []
    assert (result.exit_code, report["ok"], report["notes"]) == (0, True, [])
    assert report["rendered"] > len(report["templates"])


def test_a_field_that_an_event_may_lack_is_told_with_file_line_type_and_data(project: Path) -> None:
    _, (problem,) = checked(project, {"t/en/sms.txt": "{{ data.id }}\n{{ data.note }}"})
    assert problem.startswith("t/en/sms.txt:2: ")
    assert "'note'" in problem
    assert '(event type a.b, data {"id": "sample"})' in problem


def test_every_locale_is_rendered(project: Path) -> None:
    _, (problem,) = checked(project, {"t/en/sms.txt": "{{ data.id }}", "t/de/sms.txt": "{{ data.nichts }}"})
    assert problem.startswith("t/de/sms.txt:1: ")


def test_the_examples_of_a_schema_come_before_what_is_made_up(project: Path) -> None:
    catalogue = project / "catalogue.yaml"
    catalogue.write_text(CATALOGUE + "      examples: [{id: x, note: y}]\n")
    result, problems = checked(project, {"t/en/sms.txt": "{{ data.id }} {{ data.note }}"})
    assert problems == []
    assert json.loads(result.stdout)["rendered"] == 1


def test_a_schema_that_nothing_can_be_made_up_for_is_a_note(project: Path) -> None:
    (project / "catalogue.yaml").write_text(CATALOGUE.replace("id: {type: string}", "id: {pattern: '^O-[0-9]$'}"))
    result, problems = checked(project, {"t/en/sms.txt": "{{ data.id }}"})
    assert problems == []
    assert all("add examples" in note for note in json.loads(result.stdout)["notes"])


@pytest.mark.parametrize(
    ("files", "line", "what"),
    [
        ({"t/en/sms.txt": "x\n{{ order.id }}"}, "t/en/sms.txt:2", "there is no variable 'order'"),
        ({"t/en/sms.txt": "{{ data.__class__ }}x"}, "t/en/sms.txt:1", "unsafe"),
        ({"t/en/sms.txt": "{{ (data | attr('get'))('x') }}x"}, "t/en/sms.txt:1", "unsafe"),
        (
            {"u/en/email.subject.txt": "s", "u/en/email.mjml": MJML.format("<mj-text>\n{{ data.x | safe }}</mj-text>")},
            "u/en/email.mjml:3",
            "unsafe",
        ),
        (
            {
                "u/en/email.subject.txt": "s",
                "u/en/email.mjml": MJML.format('<mj-text>a</mj-text>\n<mj-button href="{{ data.url }}">b</mj-button>'),
            },
            "u/en/email.mjml:3",
            "| web_link",
        ),
        (
            {"u/en/email.subject.txt": "s", "u/en/email.mjml": MJML.format("<mj-text>a</mj-text>\n<mj-txt/>")},
            "u/en/email.mjml:3",
            "did you mean mj-text?",
        ),
        ({"m.jinja": "{% autoescape false %}{{ data.x }}{% endautoescape %}"}, "m.jinja:1", "autoescape"),
        ({"t/en/sms.txt": "x" * 1700}, "t/en", "12 segments"),
        ({"t/en/sms.txt": " {# nothing #} "}, "t/en", "empty text"),
        ({"t/en/push.title.txt": "t", "t/en/push.body.txt": "é" * 2000}, "t/en", "4096 are allowed"),
    ],
)
def test_what_is_wrong_is_told_with_file_and_line(
    project: Path, files: Mapping[str, str], line: str, what: str
) -> None:
    _, problems = checked(project, {"t/en/sms.txt": "{{ data.id }}", **files})
    assert any(problem.startswith(f"{line}: ") and what in problem for problem in problems), problems


def test_the_settings_say_how_many_segments_an_sms_may_take(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"t/en/sms.txt": "{{ data.id }}" + "x" * 200}
    assert checked(project, files)[1] == []
    monkeypatch.setenv("PIPELINE_SMS__MAX_SEGMENTS", "1")
    _, (problem,) = checked(project, files)
    assert "takes 2 segments, 1 are allowed" in problem


def test_a_missing_template_is_told_with_the_event_type(project: Path) -> None:
    _, problems = checked(project, {"other/en/sms.txt": "x"})
    assert any("a.b: template 't' has no sms part" in problem for problem in problems)


def test_marketing_mail_must_show_its_unsubscribe_link(project: Path) -> None:
    (project / "catalogue.yaml").write_text(CATALOGUE + "  n.x: {category: news, channels: [email], template: n}\n")
    mail = {
        "t/en/sms.txt": "{{ data.id }}",
        "n/en/email.subject.txt": "s",
        "n/en/email.mjml": MJML.format("<mj-text>x</mj-text>"),
    }
    _, (problem,) = checked(project, mail)
    assert "unsubscribe_url" in problem
    linked = MJML.format('<mj-text><a href="{{ unsubscribe_url }}">no more</a></mj-text>')
    assert checked(project, mail | {"n/en/email.mjml": linked})[1] == []


def test_a_name_without_a_version_is_the_latest_one(project: Path) -> None:
    files = {"t/en/sms.txt": "old", "t@2/en/sms.txt": "two", "t@10/en/sms.txt": "ten", "t@10/de/sms.txt": "zehn"}
    write(project, files)
    shown = {}
    for name in ("t", "t@2", "t@10"):
        result = CliRunner().invoke(app, ["preview", name, "--channel", "sms", "--json"])
        shown[name] = json.loads(result.stdout)["text"]
    assert shown == {"t": "ten", "t@2": "two", "t@10": "ten"}


def test_a_catalogue_may_pin_a_version(project: Path) -> None:
    (project / "catalogue.yaml").write_text(CATALOGUE.replace("template: t", "template: t@1"))
    files = {"t@1/en/sms.txt": "{{ data.id }}", "t@2/en/sms.txt": "{{ data.gone }}"}
    assert checked(project, files)[1] == []


def test_a_preview_shows_each_channel_as_it_goes_out(project: Path, tmp_path: Path) -> None:
    mail = MJML.format("<mj-text>Hi {{ data.id }}</mj-text>")
    write(
        project,
        {
            "t/en/sms.txt": "Hi {{ data.id }} €",
            "t/en/push.title.txt": "Hi",
            "t/en/push.body.txt": "{{ data.id }}",
            "t/en/email.subject.txt": "Hi",
            "t/en/email.mjml": mail,
        },
    )
    data = tmp_path / "data.json"
    data.write_text('{"id": "<b>"}')

    def shown(channel: str) -> dict[str, object]:
        result = CliRunner().invoke(app, ["preview", "t", "--data", str(data), "--channel", channel, "--json"])
        found: dict[str, object] = json.loads(result.stdout)
        return found

    assert shown("sms") == {"text": "Hi <b> €", "size": {"characters": 8, "segments": 1}}
    assert shown("push")["payload"] == {"notification": {"title": "Hi", "body": "<b>"}}
    assert "Hi &lt;b&gt;" in str(shown("email")["html"])
    assert str(shown("email")["text"]).strip() == "Hi <b>"
    folder = tmp_path / "out"
    result = CliRunner().invoke(app, ["preview", "t", "--data", str(data), "--output", str(folder)])
    assert result.exit_code == 0
    assert sorted(path.name for path in folder.iterdir()) == ["email.html", "email.subject.txt", "email.txt"]
    assert "&lt;b&gt;" in (folder / "email.html").read_text("utf-8")


def test_a_preview_without_data_takes_a_sample_of_an_event_type_that_uses_it(project: Path) -> None:
    write(project, {"t/en/sms.txt": "{{ data.id }} {{ data.note }}", "lonely/en/sms.txt": "x"})
    result = CliRunner().invoke(app, ["preview", "t", "--channel", "sms", "--json"])
    assert json.loads(result.stdout)["text"] == "sample sample"
    result = CliRunner().invoke(app, ["preview", "lonely", "--channel", "sms"])
    assert isinstance(result.exception, ConfigurationError)
