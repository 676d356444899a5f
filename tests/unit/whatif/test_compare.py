"""Two policies beside each other: what counts as a difference, and that each has a past of its own."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pipeline.catalogue.loader import parse_catalogue
from pipeline.config import RouterSettings
from pipeline.errors import ConfigurationError
from pipeline.events.codec import Codec
from pipeline.events.ids import notification_id
from pipeline.events.records import NotificationRequested
from pipeline.events.vocabulary import Channel, Kind, Origin
from pipeline.kafka.inbound import Inbound
from pipeline.kafka.names import Header
from pipeline.users.snapshot import PreferenceRow, UserSnapshot
from pipeline.whatif.compare import Compared, Comparison, Side
from pipeline.whatif.outcome import Said
from pipeline.whatif.overrides import overridden
from pipeline.whatif.report import OTHER_TYPES, Findings

NOON = int(datetime(2026, 3, 2, 12, tzinfo=UTC).timestamp() * 1000)
MINUTE = 60_000

PRESENT = """
version: "1"
defaults: {category: social, channels: [in_app]}
categories: {social: {}}
event_types:
  comment: {category: social, channels: [in_app], caps: [{name: c, limit: 1, window: 10m, scope: [type]}]}
  like: {category: social, channels: [in_app]}
  alert: {category: social, channels: [in_app, email], priority: high}
  digested: {category: social, channels: [in_app], digest: {type: many, window: 10m}}
  many: {category: social, channels: [in_app]}
"""

USER = UserSnapshot("anna", 1, True, email="anna@example.com", timezone="UTC")
NIGHT_OWL = UserSnapshot(
    "anna", 1, True, timezone="UTC", preferences=[PreferenceRow("*", "*", None, 11 * 3600, 13 * 3600, None)]
)


def side(text: str = PRESENT, most_users: int = 100, **settings: Any) -> Side:
    return Side(parse_catalogue(text, Path("catalogue.yaml")), RouterSettings(**settings), most_users)


class Line:
    """Feeds a comparison; offsets count up."""

    def __init__(self, candidate: Side, present: Side | None = None, user: UserSnapshot = USER) -> None:
        self.codec = Codec.open()
        self.comparison = Comparison(present or side(), candidate, self.codec)
        self.user = user
        self._offset = 0

    async def add(
        self,
        event_type: str,
        key: str,
        at: int = NOON,
        *,
        user: str = "anna",
        headers: list[tuple[str, bytes | None]] | None = None,
        **changes: Any,
    ) -> Compared:
        event = NotificationRequested(
            event_id=f"evt-{key}", event_type=event_type, recipient_id=user, channels=changes.pop("channels", []),
            priority=None, data="{}", idempotency_key=key, created_at=at, **changes,
        )  # fmt: skip
        self._offset += 1
        record = Inbound(0, self._offset, user.encode(), self.codec.encode_event(event), headers or [], at)
        recorded, unreadable = await self.comparison.read([record])
        assert unreadable == 0
        known = UserSnapshot(user, 1, True, *self._rest())
        (compared,) = self.comparison.compare(recorded, {user: known})
        return compared

    def _rest(self) -> list[Any]:
        u = self.user
        return [u.email, u.phone, u.locale, u.timezone, u.devices, u.preferences, u.consents, u.suppressions]


async def test_the_same_policy_twice_differs_in_nothing() -> None:
    line = Line(side())
    for n in range(5):
        for kind in ("comment", "like", "alert", "digested"):
            assert (await line.add(kind, f"{kind}{n}", NOON + n * MINUTE)).differences == []


async def test_a_wider_cap_differs_from_the_second_on_by_counters_of_its_own() -> None:
    line = Line(side(PRESENT.replace("limit: 1", "limit: 2")))
    found = [(await line.add("comment", str(n), NOON + n)).differences for n in range(3)]
    assert [len(f) for f in found] == [0, 1, 0]
    assert found[1][0].sides == (Said("suppress", "frequency_cap", ""), Said("dispatch", "allowed", "normal"))
    assert found[1][0].present.rule == "cap:c"


async def test_another_priority_template_channel_and_refusal_are_differences() -> None:
    changed = PRESENT.replace("priority: high", "priority: low").replace("[in_app, email]", "[in_app]")
    changed = changed.replace("  like: {", "  like: {template: fancy, ").replace("  comment", "  remark")
    line = Line(side(changed))
    in_app, email = sorted((await line.add("alert", "a")).differences, reverse=True)
    assert (in_app.channel, in_app.fields) == ("in_app", ("priority",))
    assert (email.channel, email.candidate.verdict) == ("email", "nothing")
    (like,) = (await line.add("like", "b")).differences
    assert (like.fields, like.candidate.template) == (("template",), "fancy")
    refused, was = (await line.add("comment", "c")).differences
    assert (refused.candidate.verdict, refused.candidate.reason) == ("refuse", "unknown_type")
    assert was.present.verdict == "dispatch"


async def test_a_duplicate_and_a_cancelled_one_are_so_on_both_sides() -> None:
    line = Line(side())
    await line.add("like", "k")
    again = await line.add("like", "k")
    assert again.present is not None
    assert [o.verdict for o in again.present] == ["duplicate"]
    cancel = await line.add("like", "later", kind=Kind.CANCEL)
    assert cancel.present == cancel.candidate == []
    late = await line.add("like", "later")
    assert late.present is not None
    assert [o.verdict for o in late.present] == ["cancel"]
    assert again.differences == late.differences == []


async def test_a_shorter_retention_forgets_a_duplicate_that_the_other_knows() -> None:
    line = Line(side(idempotency_retention=60))
    await line.add("like", "k")
    (difference,) = (await line.add("like", "k", NOON + 2 * MINUTE)).differences
    assert (difference.present.verdict, difference.candidate.verdict) == ("duplicate", "dispatch")


async def test_what_is_released_counts_only_where_it_waited() -> None:
    released: list[tuple[str, bytes | None]] = [(Header.ORIGIN, Origin.RELEASED.encode())]
    line = Line(side(PRESENT.replace('version: "1"', 'version: "2"')), user=NIGHT_OWL)
    held = await line.add("like", "k")
    assert held.present is not None
    assert held.present[0].verdict == "defer"
    freed = await line.add("like", "k", NOON + 61 * MINUTE, headers=released, channels=[Channel.IN_APP])
    assert freed.present is not None
    assert freed.present[0].verdict == "dispatch"
    stranger = await line.add("like", "other", NOON + 61 * MINUTE, headers=released, channels=[Channel.IN_APP])
    assert stranger.present is stranger.candidate is None


async def test_a_digest_is_nothing_to_decide_for_a_policy_that_collects_none() -> None:
    line = Line(side(PRESENT.replace(", digest: {type: many, window: 10m}", "")))
    (difference,) = (await line.add("digested", "k")).differences
    assert (difference.present.verdict, difference.candidate.verdict) == ("digest", "dispatch")
    told = await line.add("many", "digest-1", source="digest")
    assert told.present is not None
    assert told.candidate is None
    findings = Findings(examples=1)
    findings.add(told)
    assert (findings.decided, findings.unmatched) == (0, 1)


async def test_users_beyond_memory_keep_their_past_on_disk() -> None:
    line = Line(side(most_users=2), side(most_users=2))
    for n in range(20):
        await line.add("comment", "first", NOON, user=f"user-{n}")
    for n in range(20):
        again = await line.add("comment", "second", NOON + MINUTE, user=f"user-{n}")
        assert again.present is not None
        assert [o.reason for o in again.present] == ["frequency_cap"]
        repeated = await line.add("comment", "first", NOON + MINUTE, user=f"user-{n}")
        assert repeated.present is not None
        assert [o.verdict for o in repeated.present] == ["duplicate"]


async def test_findings_stay_bounded_however_many_event_types_come() -> None:
    line = Line(side(unknown_types="suppress"), side(unknown_types="default"))
    findings = Findings(examples=2, most_groups=3)
    for n in range(10):
        findings.add(await line.add(f"unknown{n}", str(n)))
    groups = findings.groups()
    assert sum(g.count for g in groups) == 20  # the channel is lost, and the event as a whole suppressed
    assert {OTHER_TYPES, "unknown0"} <= {g.event_type for g in groups}
    assert all(len(g.examples) <= 2 for g in groups)


def test_ids_of_what_waits_are_those_of_the_channel() -> None:
    assert notification_id("k", "anna", Channel.IN_APP) == notification_id("k", "anna", "in_app")


@pytest.mark.parametrize("text", ["router.unknown_types", "delivery.lease=3", "router.commit_interval=1", "x=y"])
def test_a_setting_that_bears_on_no_decision_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"router\.unknown_types"):
        overridden(RouterSettings(), [text])


def test_a_setting_is_checked_like_any_other() -> None:
    assert overridden(RouterSettings(), ["router.unknown_types=suppress"]).unknown_types == "suppress"
    with pytest.raises(ConfigurationError, match=r"router\.unknown_types"):
        overridden(RouterSettings(), ["router.unknown_types=maybe"])
