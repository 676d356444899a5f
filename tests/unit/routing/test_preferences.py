from random import Random

from hypothesis import given
from hypothesis import strategies as st

from pipeline.events.vocabulary import Channel
from pipeline.routing.preferences import LEVELS, Preferences
from pipeline.users.snapshot import PreferenceRow

TYPE_LEVELS = {"order.shipped": 0, "orders": 1, "*": 2, "all": 2}
CHANNEL_WORDS = ["push", "email", "*", "all"]
TYPE_WORDS = ["order.shipped", "orders", "*", "all", "social", "order.*"]

# Most specific first: what one (channel, type) pair of words means for push and order.shipped.
RANKING = [
    {("push", "order.shipped")},
    {("push", "orders")},
    {("push", "*"), ("push", "all")},
    {("*", "order.shipped"), ("all", "order.shipped")},
    {("*", "orders"), ("all", "orders")},
    {(c, t) for c in ("*", "all") for t in ("*", "all")},
]

rows = st.lists(
    st.builds(
        PreferenceRow,
        channel=st.sampled_from(CHANNEL_WORDS),
        notif_type=st.sampled_from(TYPE_WORDS),
        enabled=st.sampled_from([True, False, None]),
        quiet_start=st.sampled_from([None, 0, 3600, 79_200]),
        quiet_end=st.sampled_from([None, 0, 25_200]),
        timezone=st.sampled_from([None, "Europe/Berlin", "Asia/Tokyo"]),
    ),
    max_size=8,
)


def row(
    channel: str, notif_type: str, enabled: bool | None = None, quiet: tuple[int, int] | None = None
) -> PreferenceRow:
    start, end = quiet or (None, None)
    return PreferenceRow(channel, notif_type, enabled, start, end, None)


def read(rows: list[PreferenceRow]) -> Preferences:
    return Preferences(rows, TYPE_LEVELS)


@given(rows)
def test_the_most_specific_row_decides_and_off_wins_over_on(rows: list[PreferenceRow]) -> None:
    opinion = read(rows).opinion(Channel.PUSH)

    for rank, words in enumerate(RANKING):
        said = [r.enabled for r in rows if (r.channel, r.notif_type) in words and r.enabled is not None]
        if said:
            assert opinion is not None
            assert (opinion.rank, opinion.enabled) == (rank, all(said))
            return
    assert opinion is None


@given(rows)
def test_the_most_specific_window_holds(rows: list[PreferenceRow]) -> None:
    window = read(rows).quiet_window(Channel.PUSH)

    for words in RANKING:
        windows = [
            (r.quiet_start, r.quiet_end, r.timezone or "")
            for r in rows
            if (r.channel, r.notif_type) in words and r.quiet_start is not None and r.quiet_end is not None
        ]
        if windows:
            assert window is not None
            assert (window.start, window.end, window.timezone) == min(windows)
            return
    assert window is None


@given(rows, st.randoms())
def test_the_order_of_the_rows_changes_nothing(rows: list[PreferenceRow], random: Random) -> None:
    shuffled = random.sample(rows, len(rows))
    for channel in Channel:
        assert read(rows).opinion(channel) == read(shuffled).opinion(channel)
        assert read(rows).quiet_window(channel) == read(shuffled).quiet_window(channel)


def test_every_rank_has_a_name() -> None:
    assert len(LEVELS) == len(RANKING)


def test_a_row_that_says_neither_on_nor_off_leaves_it_to_the_next() -> None:
    opinion = read([row("push", "order.shipped"), row("*", "*", enabled=False)]).opinion(Channel.PUSH)

    assert opinion is not None
    assert (opinion.channel, opinion.notif_type, opinion.enabled) == ("*", "*", False)


def test_an_empty_window_lifts_the_quiet_hours_of_a_more_general_row() -> None:
    window = read([row("push", "order.shipped", quiet=(0, 0)), row("*", "*", quiet=(79_200, 25_200))]).quiet_window(
        Channel.PUSH
    )

    assert window is not None
    assert window.start == window.end
