"""When a step goes, waits or is not needed, for every ladder and standing; examples first."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.catalogue.model import Sign, Step
from pipeline.escalation.judge import MOST_SLACK, Stop, Wait, judge, turns_before
from pipeline.escalation.standing import Standing, Standings, decode_standings, encode_standings
from pipeline.events.vocabulary import Channel, Reason

NOW = 1_750_000_000_000
MINUTE = 60_000
PUSH, EMAIL, SMS, IN_APP = Channel.PUSH, Channel.EMAIL, Channel.SMS, Channel.IN_APP
SEEN, CLICKED = frozenset({Sign.SEEN}), frozenset({Sign.CLICKED})
LADDER = (Step(PUSH, 10 * MINUTE, SEEN), Step(SMS, 60 * MINUTE, SEEN))


def test_what_is_no_step_goes_whatever_the_others_do() -> None:
    assert judge(LADDER, IN_APP, {EMAIL: Standing(seen=NOW)}, NOW) is None


def test_a_step_waits_from_when_the_one_before_it_went() -> None:
    assert judge(LADDER, PUSH, {IN_APP: Standing(at=NOW)}, NOW) == Wait(NOW + 10 * MINUTE, IN_APP)
    standings = {IN_APP: Standing(at=NOW), PUSH: Standing(at=NOW + 10 * MINUTE, waits=True)}
    assert judge(LADDER, SMS, standings, NOW) == Wait(NOW + 70 * MINUTE, PUSH)


def test_a_channel_that_cannot_go_takes_no_time() -> None:
    assert judge(LADDER, SMS, {IN_APP: Standing(at=NOW), PUSH: Standing()}, NOW) == Wait(NOW + 60 * MINUTE, IN_APP)
    assert judge(LADDER, PUSH, {IN_APP: Standing()}, NOW) is None
    assert judge(LADDER, PUSH, {}, NOW) is None


def test_a_step_before_it_that_was_held_up_holds_it_up() -> None:
    held = {PUSH: Standing(at=NOW + 480 * MINUTE, waits=True)}
    assert judge(LADDER, SMS, held, NOW) == Wait(NOW + 540 * MINUTE, PUSH)


def test_what_is_due_but_for_a_moment_does_not_wait_again() -> None:
    assert judge(LADDER, PUSH, {IN_APP: Standing(at=NOW - 10 * MINUTE + 400)}, NOW) is None


@pytest.mark.parametrize(
    ("unless", "standing", "reason"),
    [
        (SEEN, Standing(seen=5), Reason.SEEN),
        (SEEN, Standing(clicked=5), Reason.SEEN),
        (CLICKED, Standing(clicked=5), Reason.CLICKED),
        (SEEN | CLICKED, Standing(seen=4, clicked=5), Reason.CLICKED),
        (CLICKED, Standing(seen=5), None),
        (frozenset(), Standing(clicked=5), None),
    ],
)
def test_only_the_signs_that_the_step_names_end_it(
    unless: frozenset[Sign], standing: Standing, reason: Reason | None
) -> None:
    said = judge((Step(PUSH, MINUTE, unless),), PUSH, {IN_APP: standing}, NOW)
    assert (said.reason if isinstance(said, Stop) else said) == reason


def test_a_sign_from_any_earlier_channel_is_enough_and_one_from_a_later_one_is_none() -> None:
    said = judge(LADDER, SMS, {IN_APP: Standing(seen=7), PUSH: Standing(at=NOW)}, NOW)
    assert said == Stop(Reason.SEEN, IN_APP, 7)
    assert judge(LADDER, PUSH, {IN_APP: Standing(), SMS: Standing(seen=7)}, NOW) is None


def test_a_step_for_a_failure_goes_only_after_one() -> None:
    ladder = (Step(PUSH, MINUTE, SEEN), Step(SMS, MINUTE, SEEN, when_failed=True))
    sent = {IN_APP: Standing(sent=True), PUSH: Standing(at=NOW - MINUTE, sent=True)}
    assert judge(ladder, SMS, sent, NOW) == Stop(Reason.NOT_NEEDED, PUSH, NOW - MINUTE)
    assert judge(ladder, SMS, {**sent, PUSH: Standing(at=NOW - MINUTE)}, NOW) is None
    assert judge(ladder, SMS, {**sent, PUSH: Standing(at=NOW)}, NOW) == Wait(NOW + MINUTE, PUSH)
    assert judge(ladder, SMS, {IN_APP: Standing(sent=True)}, NOW) == Stop(Reason.NOT_NEEDED, IN_APP, None)


def test_a_header_that_cannot_be_read_says_nothing() -> None:
    for wrong in (None, b"", b"{", b'{"fax":{}}', b'{"push":{"at":-1}}', b'{"push":{"at":9e99}}', b"\xff", b"[]"):
        assert decode_standings(wrong) == {}


instants = st.none() | st.integers(0, 2 * NOW)
standings = st.dictionaries(
    st.sampled_from(Channel), st.builds(Standing, instants, st.booleans(), st.booleans(), instants, instants)
)
ladders = st.permutations(list(Channel)).flatmap(
    lambda channels: st.lists(
        st.tuples(st.integers(1000, 10**8), st.frozensets(st.sampled_from(Sign)), st.booleans()),
        min_size=1,
        max_size=3,
    ).map(lambda steps: tuple(Step(c, *step) for c, step in zip(channels, steps, strict=False)))
)


@settings(deadline=None)
@given(standings)
def test_standings_come_out_of_the_header_as_they_went_in(standings: Standings) -> None:
    assert decode_standings(encode_standings(standings)) == standings


@settings(deadline=None)
@given(ladders, standings)
def test_whatever_holds_a_step_comes_before_it_and_a_wait_is_ahead_and_no_longer_than_the_step_says(
    steps: tuple[Step, ...], standings: Standings
) -> None:
    for step in steps:
        before = {c for turn in turns_before(steps, step.channel) for c in turn}
        said = judge(steps, step.channel, standings, NOW)
        if isinstance(said, Wait):
            assert said.until > NOW
            assert said.after in before
            assert said.until - step.after == standings[said.after].at
        elif isinstance(said, Stop):
            assert said.channel in before
        else:
            gone = [at for c in before if (at := getattr(standings.get(c), "at", None)) is not None]
            assert not gone or min(gone) + step.after - min(step.after // 10, MOST_SLACK) <= NOW
            assert not [c for c in before for sign in step.unless if c in standings and standings[c].since(sign)]


@settings(deadline=None)
@given(ladders, standings)
def test_every_turn_comes_once_and_the_channels_that_go_first_come_last(
    steps: tuple[Step, ...], standings: Standings
) -> None:
    for number, step in enumerate(steps):
        turns = list(turns_before(steps, step.channel))
        told = [c for turn in turns for c in turn]
        assert len(told) == len(set(told))
        assert set(told) | {s.channel for s in steps[number:]} == set(Channel)
