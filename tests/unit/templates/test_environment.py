"""The sandbox: fields of the event come first, and nothing dangerous comes at all."""

from pathlib import Path

import pytest
from jinja2 import UndefinedError
from jinja2.exceptions import SecurityError

from pipeline.templates.environment import html_environment, text_environment

ROOT = Path("templates")


def test_a_field_named_like_a_method_of_dict_is_the_field() -> None:
    template = text_environment(ROOT).from_string("{{ data.items }} {{ data.get }}")
    assert template.render(data={"items": "two lamps", "get": "set"}) == "two lamps set"


def test_a_method_is_there_where_no_field_hides_it() -> None:
    assert text_environment(ROOT).from_string("{{ data.get('a', 'b') }}").render(data={}) == "b"


def test_an_undefined_field_is_an_error_not_an_empty_text() -> None:
    with pytest.raises(UndefinedError, match="nothing"):
        text_environment(ROOT).from_string("{{ data.nothing }}").render(data={})


@pytest.mark.parametrize(
    "source",
    [
        "{{ data.__class__ }}",
        "{{ data.get.__globals__ }}",
        "{{ ''.__class__.__mro__ }}",
        "{{ data.update({'a': 1}) }}",
        "{% for x in range(10 ** 9) %}{% endfor %}",
    ],
)
def test_a_template_cannot_leave_the_sandbox(source: str) -> None:
    with pytest.raises((SecurityError, UndefinedError, OverflowError)):
        text_environment(ROOT).from_string(source).render(data={})


def test_markup_in_a_field_is_escaped_in_mail_only() -> None:
    data = {"author": "<b>Bob</b>"}
    assert html_environment(ROOT).from_string("{{ data.author }}").render(data=data) == "&lt;b&gt;Bob&lt;/b&gt;"
    assert text_environment(ROOT).from_string("{{ data.author }}").render(data=data) == "<b>Bob</b>"


def test_get_is_that_of_a_dict_alone_and_works_in_loops_and_macros() -> None:
    source = (
        "{% macro m(x) %}{{ x.get('a', 0) }}{% endmacro %}"
        "{{ data.get('a') }}{% for x in data.get('all') %}{{ x.get('a') }}{{ m(x) }}{% endfor %}"
    )
    assert text_environment(ROOT).from_string(source).render(data={"a": 1, "all": [{"a": 2}, {"a": 3}]}) == "12233"
    with pytest.raises((SecurityError, UndefinedError)):
        text_environment(ROOT).from_string("{{ data.setdefault('a', 1) }}").render(data={})
