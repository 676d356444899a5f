from pathlib import Path

import pytest

from pipeline.catalogue.loader import load_catalogue, parse_catalogue
from pipeline.errors import CatalogueError

HEAD = """\
version: "1"
defaults: {category: other}
categories:
  other: {}
  offers: {stream: marketing, consent: required}
event_types:
"""
FIRST_LINE = HEAD.count("\n") + 1


def problems(text: str) -> list[str]:
    with pytest.raises(CatalogueError) as caught:
        parse_catalogue(text, Path("c.yaml"))
    return caught.value.problems


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("  a.b: {category: other, prioritiy: high}", "a.b.prioritiy: unknown key; did you mean 'priority'?"),
        ("  a.b: {category: othr}", "a.b.category: unknown category 'othr'; did you mean 'other'?"),
        ("  a.b: {priority: high}", "`category` is missing; add it"),
        ("  a.b: {category: other, priority: urgent}", "a.b.priority: must be 'critical', 'high', 'normal' or 'low'"),
        ("  a.b: {category: other, channels: [fax]}", "a.b.channels[0]: must be 'push', 'email', 'sms' or 'in_app'"),
        ("  a.b: {category: other, ttl: 5 minutes}", "a.b.ttl: not a duration; write a whole number and a unit"),
        ("  a.b: {category: other, ttl: 300}", "a.b.ttl: not a duration; write a whole number and a unit"),
        ("  a.b: {category: other, ttl: 0s}", "a.b.ttl: a duration must be longer than nothing"),
        ("  a.b: {category: other, caps: [{limit: 0, window: 5m}]}", "a.b.caps[0].limit: "),
        (
            "  a.b: {category: other, caps: [{limit: 1, window: 5m, windw: 5m}]}",
            "a.b.caps[0].windw: unknown key; did you mean 'win",
        ),
        ("  a.b: {category: other, caps: [{limit: 1, window: 1h, scope: [user]}]}", "a.b.caps[0].scope[0]: must be"),
        (
            "  a.b: {category: other, caps: [{limit: 1, window: 5m}, {limit: 9, window: 1h}]}",
            "a.b.caps[1]: a second cap 'a.b:type'; give each a `name` of its own",
        ),
        ("  a.b: {category: other, escalate: [{when: {}, priority: high}]}", "a.b.escalate[0].when: "),
        ("  a.b: {category: other, collapse_key: 'x-{id}'}", "a.b.collapse_key: unknown placeholder {id}; placehold"),
        ("  a.b: {category: other, collapse_key: 'x-{data.id'}", "a.b.collapse_key: a brace has no partner"),
        (
            "  a.b: {category: other, schema: {properties: {x: {type: strng}}}}",
            "schema.properties.x.type: no valid JSON",
        ),
        ("  a.b: {category: other, schema: {$ref: 'https://example.com/x'}}", "put what it needs under `$defs`"),
        ("  a.b: {category: other, schema_file: no/such.json}", "a.b.schema_file: no/such.json cannot be read"),
        ("  a.b: {category: other, schema: {}, schema_file: x}", "a.b.schema_file: `schema` stands there too"),
        ("  a.b: {category: other, template: ../x}", "a.b.template: use lower-case letters"),
        (
            "  a.b: {category: other, channels: [in_app], steps: [{channel: push, after: 5m}]}",
            "a.b.steps[0].channel: push is not among `channels`; add it there",
        ),
        (
            "  a.b: {category: other, channels: [push], steps: [{channel: push, after: 5m}]}",
            "a.b.steps: every channel waits for another; leave out of `steps` what goes first",
        ),
        (
            "  a.b: {category: other, channels: [in_app, push], steps: [{channel: push, after: 5m}, {channel: push, after: 5m}]}",
            "a.b.steps[1].channel: push is a step already",
        ),
        (
            "  a.b: {category: other, channels: [in_app, push], steps: [{channel: push, after: 5m, unless: red}]}",
            "a.b.steps[0].unless: must be 'seen' or 'clicked'",
        ),
        (
            "  a.b: {category: other, channels: [in_app, push], steps: [{channel: push, after: 5m, unles: seen}]}",
            "a.b.steps[0].unles: unknown key; did you mean 'unless'?",
        ),
        (
            "  a.b: {category: other, ttl: 1h, channels: [in_app, push], steps: [{channel: push, after: 1h}]}",
            "a.b.steps[0].after: due 3600 s after the event, which is over after its `ttl` of 3600 s",
        ),
        (
            "  a.b: {category: other, digest: {type: x.y, window: 5m}}",
            "a.b.digest.type: no entry covers event type 'x.y'",
        ),
        (
            "  a.b: {category: other, digest: {type: a.b, window: 5m}}",
            "a.b.digest.type: 'a.b' is itself collected into a digest",
        ),
        (
            "  a.b: {category: other, digest: {type: a.c, window: 5m, windo: 5m}}\n  a.c: {category: other}",
            "a.b.digest.windo: unknown key; did you mean 'win",
        ),
        (
            "  a.b: {category: other, digest: {type: a.c, window: 5m, longest: 1h}}\n  a.c: {category: other}",
            "remove `longest`, or set `mode: sl",
        ),
        (
            "  a.b: {category: other, digest: {type: a.c, window: 5m, mode: sliding, longest: 1m}}\n  a.c: {category: other}",
            "a.b.digest.longest: shorter than the window",
        ),
        ("  other: {category: other}", "event_types.other: 'other' is also a category"),
        ("  a.*.c: {category: other}", "a wildcard is a whole last part"),
        ("  a*: {category: other}", "a wildcard is a whole last part"),
        ("  '*': {category: other}", "'*' cannot be an event type"),
        ("  all: {category: other}", "'all' cannot be an event type"),
        ("  'a b': {category: other}", "an event type is a dotted name without spaces"),
        ("  '.*': {category: other}", "an event type is a dotted name without spaces"),
        ("  a.b: {category: offers, mandatory: true}", "a.b.mandatory: marketing can always be opted out of"),
        (
            "  a.b: {category: other, channels: [push], only_channels: [email]}",
            "a.b.channels: not among `only_channels`",
        ),
        ("  a.b: {category: other, priority: high, priority_ceiling: low}", "a.b.priority: more urgent than its own"),
        (
            "  a.b: {category: offers, when_users_away: send}",
            "a.b.when_users_away: marketing, and what requires consent, is never sent on a copy past its time",
        ),
        (
            "  a.b: {category: other, priority_ceiling: high, when_users_away: send}",
            "a.b.when_users_away: `send` is for critical notifications",
        ),
        ("  a.b: {category: other, category: other}", "a.b.category: stands here a second time; keep one"),
    ],
)
def test_a_mistake_is_told_with_its_line_and_what_to_change(line: str, said: str) -> None:
    (problem,) = problems(HEAD + line)
    assert problem.startswith(f"c.yaml:{FIRST_LINE}: ")
    assert said in problem


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file() -> None:
    found = problems(HEAD.replace("consent: required", "consent: maybe") + "  a: {category: x, tll: 1h}\n  b: {}\n")
    assert [problem.split(":")[1] for problem in found] == ["5", "7", "8"]


def test_an_event_type_that_stands_twice_is_told_at_its_second_line() -> None:
    assert problems(HEAD + "  a: {category: other}\n  a: {category: offers}\n") == [
        f"c.yaml:{FIRST_LINE + 1}: event_types.a: stands here a second time; keep one"
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "version: [",
        "- a",
        "just text",
        "version: '1'\n",
        "a: &a [*a]",
        "categories: {all: {}}",
        "\x00",
        "? [a]\n: b",
    ],
)
def test_whatever_the_file_holds_there_is_a_problem_and_no_traceback(text: str) -> None:
    assert all(problem.startswith("c.yaml:") for problem in problems(text))


def test_a_file_that_is_not_there_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match=r"missing\.yaml.*set catalogue\.path"):
        load_catalogue(tmp_path / "missing.yaml")


def test_a_schema_file_stands_beside_the_catalogue_and_is_part_of_the_policy_version(tmp_path: Path) -> None:
    path, schema = tmp_path / "catalogue.yaml", tmp_path / "order.json"
    path.write_text(HEAD + "  a.b: {category: other, schema_file: order.json}\n")
    schema.write_text('{"type": "object", "required": ["order_id"]}')
    before = load_catalogue(path)
    schema.write_text('{"type": "object"}')
    after = load_catalogue(path)

    strict, lax = before.find("a.b"), after.find("a.b")
    assert strict is not None
    assert lax is not None
    assert strict.entry.schema is not None
    assert lax.entry.schema is not None
    assert not strict.entry.schema.is_valid({})
    assert lax.entry.schema.is_valid({})
    assert before.policy_version != after.policy_version


def test_the_policy_version_changes_with_what_is_said_and_not_with_how() -> None:
    def version(text: str) -> str:
        return parse_catalogue(text, Path("c.yaml")).policy_version

    plain = version(HEAD + "  a: {category: other, ttl: 1h}\n")
    assert plain.startswith("1+")
    assert version("# a comment\n" + HEAD + "  a:\n    ttl: 1h\n    category: other\n") == plain
    assert version(HEAD + "  a: {category: other, ttl: 2h}\n") != plain


def test_a_version_without_quotes_is_taken_as_it_stands() -> None:
    catalogue = parse_catalogue(HEAD.replace('"1"', "2025-01-31") + "  a: {category: other}", Path("c.yaml"))
    assert catalogue.policy_version.startswith("2025-01-31+")


def test_the_example_is_right_and_its_templates_exist() -> None:
    examples = Path(__file__).parents[3] / "examples"
    catalogue = load_catalogue(examples / "catalogue.yaml")
    named = {entry.template for entry in catalogue.entries.values()}
    assert named <= {folder.name for folder in (examples / "templates").iterdir()}
