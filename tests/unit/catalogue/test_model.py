from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.catalogue.collapse import CollapseKey
from pipeline.catalogue.durations import seconds
from pipeline.catalogue.loader import parse_catalogue
from pipeline.catalogue.model import Catalogue, InDoubt, ScopedCap
from pipeline.catalogue.schemas import compile_schema, violation
from pipeline.errors import CatalogueError
from pipeline.events.vocabulary import Channel


def catalogue(event_types: str) -> Catalogue:
    return parse_catalogue(
        f"""
version: "1"
defaults: {{category: other, template: fallback}}
categories:
  other: {{caps: [{{limit: 5, window: 1d}}]}}
  orders: {{}}
caps: [{{limit: 100, window: 1d}}]
event_types:
{event_types}
""",
        Path("c.yaml"),
    )


def caps(catalogue: Catalogue, event_type: str, channel: Channel = Channel.PUSH) -> tuple[ScopedCap, ...]:
    found = catalogue.find(event_type)
    assert found is not None
    return found.caps[channel]


class TestFind:
    CATALOGUE = catalogue(
        """
  github.*: {category: other}
  github.pull_request.*: {category: other}
  github.pull_request.opened: {category: other}
  plain: {category: other}
"""
    )

    @pytest.mark.parametrize(
        ("event_type", "pattern"),
        [
            ("github.pull_request.opened", "github.pull_request.opened"),
            ("github.pull_request.closed", "github.pull_request.*"),
            ("github.pull_request.review.submitted", "github.pull_request.*"),
            ("github.push", "github.*"),
            ("github.pull_request", "github.*"),
            ("plain", "plain"),
            ("github", None),
            ("githubx.push", None),
            ("plain.more", None),
            ("", None),
        ],
    )
    def test_the_exact_name_wins_then_the_longest_wildcard(self, event_type: str, pattern: str | None) -> None:
        for _ in range(2):
            found = self.CATALOGUE.find(event_type)
            assert (found.entry.pattern if found else None) == pattern

    def test_names_from_outside_do_not_fill_the_memory(self) -> None:
        mine = catalogue("  github.*: {category: other}")
        for number in range(25_000):
            mine.find(f"nobody.{number}")
            mine.default(f"nobody.{number}")
        assert len(mine._resolved) <= 10_000
        assert len(mine._unlisted) <= 10_000
        assert mine.find("github.push") is not None

    def test_an_unlisted_type_takes_the_defaults(self) -> None:
        unlisted = self.CATALOGUE.default("weather.storm")
        assert (unlisted.name, unlisted.entry.template) == ("weather.storm", "fallback")

    def test_the_words_for_all_never_mean_one_type(self) -> None:
        assert self.CATALOGUE.default("all").type_levels["all"] == 2
        assert self.CATALOGUE.default("other").type_levels["other"] == 1


class TestCaps:
    def test_a_type_is_covered_by_its_own_caps_its_categorys_and_the_global_ones(self) -> None:
        mine = catalogue("  a.b: {category: other, caps: [{limit: 1, window: 5m, scope: [type, channel]}]}")
        assert [cap.rule for cap in caps(mine, "a.b")] == ["cap:a.b:channel+type", "cap:other:category", "cap:all:user"]

    def test_the_scope_says_what_is_counted_apart(self) -> None:
        mine = catalogue(
            """
  a.*: {category: orders, caps: [{name: each, limit: 1, window: 5m}, {name: lot, limit: 3, window: 1h, scope: []}]}
"""
        )
        one, other = caps(mine, "a.one"), caps(mine, "a.other")
        assert one[0].scope != other[0].scope
        assert one[1].scope == other[1].scope
        assert caps(mine, "a.one", Channel.EMAIL)[0].scope == one[0].scope

    def test_another_limit_keeps_what_was_counted(self) -> None:
        before = catalogue("  a.b: {category: orders, caps: [{limit: 1, window: 5m}]}")
        after = catalogue("  a.b: {category: orders, caps: [{limit: 2, window: 9m}]}")
        assert caps(before, "a.b")[0].scope == caps(after, "a.b")[0].scope


@pytest.mark.parametrize(("text", "value"), [("90s", 90), ("5m", 300), ("24h", 86_400), ("7d", 604_800)])
def test_durations(text: str, value: int) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["", "5", "m", "5 m", "-5m", "1.5h", "5w", "0s", "4000d", "５m"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        seconds(text)


@pytest.mark.parametrize(
    ("data", "key"),
    [
        ({"order": {"id": "A"}, "n": 7}, "o-A-7"),
        ({"order": {"id": None}, "n": 7}, None),
        ({"order": {"id": ["A"]}, "n": 7}, None),
        ({"order": "A", "n": 7}, None),
        ({}, None),
    ],
)
def test_a_collapse_key_is_filled_from_plain_values_only(data: dict[str, object], key: str | None) -> None:
    assert CollapseKey("o-{data.order.id}-{data.n}").fill(data) == key


@given(st.text(alphabet="ab-/_", max_size=8))
def test_a_collapse_key_without_placeholders_is_itself(text: str) -> None:
    assert CollapseKey(text).fill({}) == text


def test_a_violation_names_the_place_and_the_rule_and_hides_the_value() -> None:
    validator = compile_schema({"properties": {"a/b": {"items": {"enum": ["x"]}}}})
    assert violation(validator, {"a/b": ["x"]}) is None
    said = violation(validator, {"a/b": ["x", "secret"]})
    assert said is not None
    assert said.startswith("data/a~1b/1: ")
    assert "secret" not in said


def test_a_category_says_what_becomes_of_what_is_in_doubt_or_leaves_it_to_its_stream() -> None:
    text = """
version: "1"
defaults: {category: other}
categories:
  other: {}
  offers: {stream: marketing, in_doubt: drop}
"""
    categories = parse_catalogue(text, Path("c.yaml")).categories
    assert (categories["other"].in_doubt, categories["offers"].in_doubt) == (None, InDoubt.DROP)
    with pytest.raises(CatalogueError, match=r"c.yaml:6: categories.offers.in_doubt: .*'resend', 'park' or 'drop'"):
        parse_catalogue(text.replace("drop", "retry"), Path("c.yaml"))
