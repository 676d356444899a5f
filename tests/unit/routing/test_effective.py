"""What is shown as the effective preference is what the router decides."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from pipeline.catalogue.loader import load_catalogue
from pipeline.events.records import NotificationRequested
from pipeline.events.vocabulary import Channel, Origin, Priority, Verdict
from pipeline.routing.caps import CapHistory
from pipeline.routing.decide import decide
from pipeline.routing.effective import effective_preference
from pipeline.routing.ruling import FIRST_SEEN
from pipeline.users.snapshot import Device, PreferenceRow, Suppression, UserSnapshot

CATALOGUE = load_catalogue(Path(__file__).parents[3] / "examples" / "catalogue.yaml")
TYPES = ["social.comment", "marketing.newsletter", "security.login_new_device", "github.push", "service.note"]
NOW = 1_700_000_000_000

rows = st.builds(
    PreferenceRow,
    channel=st.sampled_from([*Channel, "*"]),
    notif_type=st.sampled_from([*TYPES, "social", "marketing", "security", "*"]),
    enabled=st.sampled_from([True, False, None]),
    quiet_start=st.none(),
    quiet_end=st.none(),
    timezone=st.none(),
)
users = st.builds(
    UserSnapshot,
    user_id=st.just("alice"),
    version=st.just(1),
    known=st.just(True),
    email=st.sampled_from([None, "a@example.com"]),
    phone=st.sampled_from([None, "+12025550100"]),
    devices=st.lists(st.just(Device("d", "ios", "t")), max_size=1),
    preferences=st.lists(rows, max_size=6, unique_by=lambda row: (row.channel, row.notif_type)),
    consents=st.lists(st.just("marketing"), max_size=1),
    suppressions=st.lists(
        st.builds(
            Suppression,
            channel=st.sampled_from(list(Channel)),
            stream=st.sampled_from(["*", "marketing"]),
            reason=st.just("bounce"),
            expires_at=st.none(),
        ),
        max_size=1,
    ),
)


@given(users, st.sampled_from(TYPES), st.sampled_from(list(Channel)))
def test_what_is_shown_is_what_will_be_decided(user: UserSnapshot, name: str, channel: Channel) -> None:
    type_ = CATALOGUE.find(name)
    assert type_
    event = NotificationRequested(
        event_id="e",
        event_type=name,
        recipient_id="alice",
        channels=[channel],
        priority=Priority.LOW,
        data="{}",
        idempotency_key="k",
        created_at=NOW,
    )
    history = CapHistory.unpack(None)
    ruling = decide(event, {}, user, history, FIRST_SEEN, CATALOGUE, NOW, Origin.INGEST, "default")
    (decided,) = ruling.channels
    shown = effective_preference(type_, user, channel, NOW)
    assert shown.enabled == (decided.verdict is Verdict.DISPATCH)
    assert shown.reason == decided.reason
    assert shown.text
