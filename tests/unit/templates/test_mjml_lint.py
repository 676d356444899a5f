import pytest

from pipeline.templates.mjml_lint import lint_mjml

MJML = "<mjml><mj-body><mj-section><mj-column>\n{}\n</mj-column></mj-section></mj-body></mjml>"


@pytest.mark.parametrize(
    ("body", "line", "what"),
    [
        ("<mj-text>a</mj-text>\n<mj-txt>b</mj-txt>", 3, "no element <mj-txt>; did you mean mj-text?"),
        ("<mj-text colour='red'>a</mj-text>", 2, "no attribute 'colour'; did you mean color?"),
        ("<mj-text>a", 2, "<mj-text> is not closed"),
        ("<mj-text><b>a</mj-text>", 2, "<b> is not closed"),
        ("<mj-text>a</mj-text></mj-button>", 2, "</mj-button> closes nothing"),
        ("\nhello", 3, "text directly in <mj-column> is dropped"),
        ("{# two\nlines #}\n<mj-texx />", 4, "did you mean mj-text?"),
    ],
)
def test_a_mistake_that_the_compiler_swallows_is_told_with_its_line(body: str, line: int, what: str) -> None:
    (mistake,) = lint_mjml(MJML.format(body))
    assert mistake.line == line
    assert what in mistake.what


@pytest.mark.parametrize("source", ["", "<html><body>x</body></html>", "just text"])
def test_what_is_no_mjml_is_told(source: str) -> None:
    assert lint_mjml(source)[0].what == "no <mjml> at the beginning"


def test_an_element_in_the_wrong_place_is_told_with_what_may_stand_there() -> None:
    (mistake,) = lint_mjml("<mjml><mj-body>\n<mj-text>x</mj-text></mj-body></mjml>")
    assert mistake.line == 2
    assert "<mj-section>" in mistake.what


def test_all_mistakes_are_told_in_order() -> None:
    body = "<mj-txt/>\n<mj-text colour='x'>a</mj-text>\n<mj-buton href='x'/>"
    assert [mistake.line for mistake in lint_mjml(MJML.format(body))] == [2, 3, 4]


@pytest.mark.parametrize(
    "body",
    [
        "<mj-text>a & b &nbsp;<br> c <img src='x'></mj-text>",
        "<mj-raw>{% if data.a < 3 and data.b > 2 %}</mj-raw><mj-text>x</mj-text><mj-raw>{% endif %}</mj-raw>",
        "<!-- <mj-nonsense> --><mj-text css-class='x' mj-class='y'>{{ data.x }}</mj-text>",
        "<mj-table><tr><td>1</td></tr></mj-table><mj-image src='https://example.com/x.png' />",
    ],
)
def test_what_is_right_is_left_alone(body: str) -> None:
    assert lint_mjml(MJML.format(body)) == []


def test_attributes_for_all_elements_are_not_taken_for_elements() -> None:
    head = "<mj-head><mj-attributes><mj-all font-family='x'/><mj-class name='y' color='red'/></mj-attributes></mj-head>"
    assert lint_mjml(f"<mjml>{head}<mj-body><mj-raw>x</mj-raw></mj-body></mjml>") == []
