from collections.abc import Mapping
from pathlib import Path

import pytest

from pipeline.errors import CatalogueError, TemplateError
from pipeline.events.vocabulary import Channel
from pipeline.templates.store import TemplateStore

MJML = "<mjml><mj-body><mj-section><mj-column>\n{}\n</mj-column></mj-section></mj-body></mjml>"


def write(root: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return root


def problems(root: Path, files: Mapping[str, str]) -> list[str]:
    with pytest.raises(CatalogueError) as caught:
        TemplateStore.load(write(root, files))
    return [problem.removeprefix(f"{root}/") for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [("de-AT", "de"), ("de_at", "de"), ("DE", "de"), ("fr", "en"), (None, "en"), ("pt-BR", "pt-br"), ("pt", "en")],
)
def test_a_locale_falls_back_to_its_language_and_then_to_english(
    tmp_path: Path, wanted: str | None, found: str
) -> None:
    store = TemplateStore.load(write(tmp_path, {f"t/{locale}/sms.txt": locale for locale in ("en", "de", "pt-BR")}))
    assert store.find("t", Channel.SMS, wanted).locale == found


def test_a_language_without_the_channel_falls_back_for_that_channel_alone(tmp_path: Path) -> None:
    files = {"t/en/sms.txt": "en", "t/en/push.title.txt": "en", "t/en/push.body.txt": "en", "t/de/sms.txt": "de"}
    store = TemplateStore.load(write(tmp_path, files))
    assert store.find("t", Channel.SMS, "de").locale == "de"
    assert store.find("t", Channel.PUSH, "de").locale == "en"


def test_a_missing_template_names_itself_its_channel_and_locale(tmp_path: Path) -> None:
    store = TemplateStore.load(write(tmp_path, {"t/en/sms.txt": "x"}))
    with pytest.raises(TemplateError, match="'t' has no push part for locale de"):
        store.find("t", Channel.PUSH, "de")


def test_all_mistakes_are_told_at_once_with_file_and_line(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        {
            "a/en/sms.txt": "fine\n{% if x %}\nno end",
            "b/en/push.title.txt": "title only",
            "c/en/email.subject.txt": "s",
            "c/en/email.mjml": MJML.format("<mj-text>{{ data.x }}</mj-text>\n{% if data.y %}"),
            "d/en/email.subject.txt": "s",
            "d/en/email.mjml": MJML.format("<mj-text>\n{{ data.x | nonsense }}</mj-text>"),
        },
    )
    assert [problem.split(": ")[0] for problem in found] == [
        "a/en/sms.txt:3",
        "b/en/push.body.txt:1",
        "c/en/email.mjml:3",
        "d/en/email.mjml:3",
    ]
    assert "wrap it in <mj-raw>" in found[2]


def test_only_the_channels_asked_for_are_compiled(tmp_path: Path) -> None:
    files = {"t/en/sms.txt": "x", "t/en/email.mjml": "{% broken", "t/en/email.subject.txt": "s"}
    store = TemplateStore.load(write(tmp_path, files), [Channel.SMS])
    assert [template.channel for template in store] == [Channel.SMS]


def test_an_undefined_name_is_told_by_file_line_and_name_but_never_by_value(tmp_path: Path) -> None:
    store = TemplateStore.load(write(tmp_path, {"t/en/sms.txt": "one\ntwo {{ data.order_id }}"}))
    with pytest.raises(TemplateError, match=r"t/en/sms\.txt:2: .*'order_id'"):
        store.find("t", Channel.SMS, "en").render({"data": {}})


def test_a_value_that_breaks_an_expression_is_not_quoted(tmp_path: Path) -> None:
    store = TemplateStore.load(write(tmp_path, {"t/en/sms.txt": "{{ data.x.split(data.y) }}"}))
    with pytest.raises(TemplateError) as caught:
        store.find("t", Channel.SMS, "en").render({"data": {"x": "secret", "y": ""}})
    assert str(caught.value).endswith("t/en/sms.txt:1: ValueError while rendering")


def test_an_error_in_mail_names_the_line_of_the_mjml(tmp_path: Path) -> None:
    mjml = MJML.format("<mj-text>ok</mj-text>\n<mj-text>a\nb {{ data.gone }}</mj-text>")
    store = TemplateStore.load(write(tmp_path, {"t/en/email.mjml": mjml, "t/en/email.subject.txt": "s"}))
    with pytest.raises(TemplateError, match=r"email\.mjml:4: "):
        store.find("t", Channel.EMAIL, "en").render({"data": {}})


def test_an_error_in_an_imported_file_names_that_file(tmp_path: Path) -> None:
    files = {"t/m.jinja": "{% macro f(x) %}\n{{ x.gone.away }}{% endmacro %}"}
    files["t/en/sms.txt"] = "{% from 't/m.jinja' import f %}{{ f(data) }}"
    store = TemplateStore.load(write(tmp_path, files))
    with pytest.raises(TemplateError, match=r"t/m\.jinja:2: "):
        store.find("t", Channel.SMS, "en").render({"data": {}})


@pytest.mark.parametrize(
    "attack", ["{{ ''.__class__.__mro__ }}", "{{ data.update(x=1) }}", "{{ data.__init__.__globals__ }}"]
)
def test_a_template_cannot_leave_its_sandbox(tmp_path: Path, attack: str) -> None:
    store = TemplateStore.load(write(tmp_path, {"t/en/sms.txt": attack}))
    with pytest.raises(TemplateError):
        store.find("t", Channel.SMS, "en").render({"data": {}})


def test_values_are_escaped_in_mail_also_through_an_imported_macro_and_nowhere_else(tmp_path: Path) -> None:
    call = "{% from 't/m.jinja' import f %}{{ f(data.x) }}"
    files = {
        "t/m.jinja": "{% macro f(x) %}{{ x }}{% endmacro %}",
        "t/en/email.mjml": MJML.format(f"<mj-text>{call} {{{{ data.x }}}}</mj-text>"),
        "t/en/email.subject.txt": "{{ data.x }}",
        "t/en/sms.txt": call,
    }
    store = TemplateStore.load(write(tmp_path, files))
    mail = store.find("t", Channel.EMAIL, "en").render({"data": {"x": "<b> & co"}})
    assert "&lt;b&gt; &amp; co &lt;b&gt; &amp; co" in mail["html"]
    assert mail["text"] == "<b> & co <b> & co"
    assert mail["subject"] == "<b> & co"
    assert store.find("t", Channel.SMS, "en").render({"data": {"x": "<b> & co"}}) == {"text": "<b> & co"}


def test_jinja_reaches_mjml_attributes_and_conditions_untouched(tmp_path: Path) -> None:
    body = (
        "<mj-raw>{% if data.n > 1 and data.n < 9 %}</mj-raw>"
        "<mj-button href=\"{{ data['link'] }}\">Go</mj-button><mj-raw>{% endif %}</mj-raw>"
    )
    store = TemplateStore.load(write(tmp_path, {"t/en/email.mjml": MJML.format(body), "t/en/email.subject.txt": "s"}))
    template = store.find("t", Channel.EMAIL, "en")
    shown = template.render({"data": {"n": 5, "link": "https://example.com/?a=1&b=2"}})
    assert 'href="https://example.com/?a=1&amp;b=2"' in shown["html"]
    assert shown["text"].strip() == "Go (https://example.com/?a=1&b=2)"
    assert "Go" not in template.render({"data": {"n": 0, "link": ""}})["html"]


def test_a_text_file_replaces_the_derived_text(tmp_path: Path) -> None:
    files = {"t/en/email.mjml": MJML.format("<mj-text>x</mj-text>"), "t/en/email.subject.txt": "s"}
    store = TemplateStore.load(write(tmp_path, files | {"t/en/email.txt": "by hand"}))
    assert store.find("t", Channel.EMAIL, "en").render({})["text"] == "by hand"
