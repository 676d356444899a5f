from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.catalogue.loader import load_catalogue
from pipeline.catalogue.model import PageTexts
from pipeline.events.vocabulary import Channel
from pipeline.gateway.pages.choices import (
    Changes,
    PreferencePage,
    WrongTime,
    changes,
    preference_page,
    switched,
)
from pipeline.gateway.pages.texts import Texts
from pipeline.routing.effective import effective_preference
from pipeline.users.snapshot import Device, PreferenceRow, Suppression, UserSnapshot

CATALOGUE = load_catalogue(Path(__file__).parents[3] / "examples" / "catalogue.yaml")
SAY = Texts(PageTexts()).voice("en")
ALICE = UserSnapshot(
    "alice",
    1,
    known=True,
    email="alice@example.com",
    phone="+12025550100",
    devices=[Device("phone", "ios", "token")],
    consents=["marketing"],
)

WORDS = ("orders", "marketing", "order.shipped", "marketing.newsletter", "order.made_up", "tracking", "*", "all")
ROWS = st.builds(
    lambda channel, word, enabled, quiet: PreferenceRow(channel, word, enabled, quiet, quiet and 25_200, None),
    st.sampled_from([*Channel, "*", "all"]),
    st.sampled_from(WORDS),
    st.sampled_from([True, False, None]),
    st.sampled_from([None, 79_200]),
)
USERS = st.builds(
    lambda rows, consents, stopped: msgspec.structs.replace(
        ALICE,
        preferences=list({(row.channel, row.notif_type): row for row in rows}.values()),
        consents=list(consents),
        suppressions=[Suppression(Channel.EMAIL, "marketing", "unsubscribe", None)] if stopped else [],
    ),
    st.lists(ROWS, max_size=8),
    st.sets(st.sampled_from(["marketing", "tracking"])),
    st.booleans(),
)


def applied(user: UserSnapshot, asked: Changes) -> UserSnapshot:
    """As the tables would have it afterwards."""
    rows = {(row.channel, row.notif_type): row for row in [*user.preferences, *asked.rows]}
    kept = [row for row in rows.values() if row.enabled is not None or row.quiet_start is not None]
    consents = {*user.consents, *asked.consents} - {name for name, given in asked.consents.items() if not given}
    return msgspec.structs.replace(user, preferences=kept, consents=sorted(consents))


def page_of(user: UserSnapshot) -> PreferencePage:
    return preference_page(CATALOGUE, user, SAY, tracked=True)


def form_of(page: PreferencePage) -> tuple[list[str], set[str]]:
    """Names of the boxes that can be changed, and of those that are ticked."""
    boxes = {switch.name: switch.on for section in page.sections if not section.locked for switch in section.switches}
    boxes |= {f"consent:{s.category}": s.consent.given for s in page.sections if s.consent}
    boxes |= {stop.name: stop.on for stop in page.stops}
    boxes["quiet"] = page.quiet.on
    if page.tracking:
        boxes["tracking"] = page.tracking.on
    return list(boxes), {name for name, on in boxes.items() if on}


def sent(shown: list[str], ticked: set[str], start: str = "21:00", end: str = "06:30") -> list[tuple[str, str]]:
    fields = [("shown", name) for name in shown] + [("on", name) for name in shown if name in ticked]
    return [*fields, ("quiet_start", start), ("quiet_end", end)]


@given(USERS, st.data())
def test_what_was_ticked_is_ticked_when_the_page_is_opened_again(user: UserSnapshot, data: st.DataObject) -> None:
    shown, _ = form_of(page_of(user))
    ticked = data.draw(st.sets(st.sampled_from([name for name in shown if not name.startswith("stop:")])))
    again = page_of(applied(user, changes(CATALOGUE, user, sent(shown, ticked))))
    assert form_of(again)[1] - {"stop:email"} == ticked
    assert not again.quiet.on or (again.quiet.start, again.quiet.end) == ("21:00", "06:30")


@given(USERS)
def test_saving_a_page_as_it_was_shown_turns_nothing_on(user: UserSnapshot) -> None:
    page = page_of(user)
    shown, ticked = form_of(page)
    asked = changes(CATALOGUE, user, sent(shown, ticked, page.quiet.start, page.quiet.end))
    assert not [row for row in asked.rows if row.enabled]
    assert (asked.consents, asked.stops, asked.off) == ({}, [], [])


@given(USERS, st.sampled_from([Channel.EMAIL, Channel.PUSH]))
def test_what_is_turned_off_is_what_the_router_suppresses(user: UserSnapshot, channel: Channel) -> None:
    rows = list(switched(CATALOGUE, user, channel, "orders", on=False))
    after = applied(user, Changes(rows, {}, [], []))
    for name in ("order.shipped", "order.confirmed", "order.made_up"):
        type_ = CATALOGUE.find(name)
        assert type_ is not None
        found = effective_preference(type_, after, channel, 0)
        assert not found.enabled, (name, found)


def test_a_row_keeps_its_quiet_hours_when_it_is_turned_off() -> None:
    user = msgspec.structs.replace(
        ALICE,
        preferences=[
            PreferenceRow("email", "orders", True, 3_600, 7_200, "UTC"),
            PreferenceRow("email", "order.shipped", True, 60, 120, None),
        ],
    )
    assert list(switched(CATALOGUE, user, Channel.EMAIL, "orders", on=False)) == [
        PreferenceRow("email", "order.shipped", None, 60, 120, None),
        PreferenceRow("email", "orders", False, 3_600, 7_200, "UTC"),
    ]


def test_what_the_page_did_not_show_is_not_changed() -> None:
    asked = changes(CATALOGUE, ALICE, [("on", "email:orders"), ("on", "made-up"), ("shown", "made-up")])
    assert asked == Changes([], {}, [], [])


def test_a_locked_category_shows_as_on_and_says_so() -> None:
    security = next(section for section in page_of(ALICE).sections if section.category == "security")
    assert (security.locked, security.partly_locked) == (True, True)


@pytest.mark.parametrize("start", ["", "24:00", "9:00", "09:00:00", "x", "\u0660\u0669:00"])
def test_quiet_hours_that_are_no_times_are_told(start: str) -> None:
    with pytest.raises(WrongTime):
        changes(CATALOGUE, ALICE, sent(["quiet"], {"quiet"}, start=start))
