from hypothesis import given
from hypothesis import strategies as st

from pipeline.catalogue.model import InDoubt
from pipeline.delivery.entry import Closed, Final, Progress, decode_closed, decode_progress, encode
from pipeline.delivery.retry import JITTER, RetryPolicy
from pipeline.delivery.steps import Wait, after_send, doubt_policy, next_round, settle_doubt, stop_before_send
from pipeline.events.records import Dispatch, NotificationRequested
from pipeline.events.vocabulary import Channel, Origin, Priority, Reason, Status
from pipeline.providers.base import Outcome, SendResult
from pipeline.users.snapshot import Device, Suppression, UserSnapshot, unknown_user

NOW = 1_700_000_000_000
POLICY = RetryPolicy(max_attempts=5, base=1, cap=60, parking_limit=60, random=lambda: 0.0)
USER = UserSnapshot(user_id="u", version=1, known=True, devices=[Device("d", "android", "t")])
AGAIN = {Outcome.THROTTLED, Outcome.TRANSIENT, Outcome.AMBIGUOUS}

RESULTS = st.lists(
    st.tuples(st.sampled_from(Outcome), st.none() | st.floats(0, 200, allow_nan=False)).map(
        lambda r: SendResult(outcome=r[0], provider="p", message_id="m", error="e", retry_after=r[1])
    ),
    min_size=1,
    max_size=4,
).map(lambda results: [(f"d{n}", result) for n, result in enumerate(results)])
FINAL = st.builds(
    Final,
    in_doubt=st.booleans(),
    attempt=st.integers(0, 9),
    occurred_at=st.integers(0, NOW),
    until=st.none() | st.integers(0, 9),
)
PROGRESS = st.builds(Progress, rank=st.just(1), attempts=st.integers(1, 5), doubted=st.booleans())


def dispatch(
    priority: Priority = Priority.NORMAL, stream: str = "transactional", expires_at: int | None = None
) -> Dispatch:
    event = NotificationRequested(
        event_id="e",
        event_type="t",
        recipient_id="u",
        channels=[],
        priority=None,
        data="{}",
        idempotency_key="k",
        created_at=NOW,
    )
    return Dispatch(
        notification_id="n",
        channel=Channel.PUSH,
        priority=priority,
        category="c",
        stream=stream,
        template="t",
        collapse_key=None,
        expires_at=expires_at,
        rule="r",
        policy_version="1",
        decided_at=NOW,
        origin=Origin.INGEST,
        trace_id="",
        event=event,
    )


@given(progress=PROGRESS, results=RESULTS, doubt=st.sampled_from(InDoubt))
def test_a_notification_is_over_exactly_when_no_part_is_worth_another_try(
    progress: Progress, results: list[tuple[str, SendResult]], doubt: InDoubt
) -> None:
    outcomes = [result.outcome for _, result in results]
    step = after_send(progress, results, doubt, POLICY, NOW)
    if isinstance(step, Wait):
        assert AGAIN & set(outcomes)
        assert not step.counted or progress.attempts < POLICY.max_attempts
        assert doubt is InDoubt.RESEND or Outcome.AMBIGUOUS not in outcomes
        assert step.seconds <= POLICY.parking_limit
        return
    if Outcome.ACCEPTED in outcomes:
        assert step.status is Status.SENT
    else:
        assert step.status is not Status.SENT
    assert (step.until is not None) == (step.status is Status.DEFERRED)


@given(progress=PROGRESS, results=RESULTS, doubt=st.sampled_from(InDoubt))
def test_a_lost_answer_is_never_forgotten(
    progress: Progress, results: list[tuple[str, SendResult]], doubt: InDoubt
) -> None:
    doubted = progress.doubted or any(result.outcome is Outcome.AMBIGUOUS for _, result in results)
    step = after_send(progress, results, doubt, POLICY, NOW)
    assert (step.progress.doubted if isinstance(step, Wait) else step.in_doubt) == doubted


@given(progress=PROGRESS, results=RESULTS)
def test_a_part_that_was_accepted_or_refused_is_never_sent_again(
    progress: Progress, results: list[tuple[str, SendResult]]
) -> None:
    step = after_send(progress, results, InDoubt.RESEND, POLICY, NOW)
    if isinstance(step, Wait):
        settled = {*step.progress.accepted, *step.progress.refused}
        assert settled == {key for key, result in results if result.outcome not in AGAIN}


@given(progress=PROGRESS, wait=st.floats(0, 60))
def test_throttling_costs_no_try_however_often(progress: Progress, wait: float) -> None:
    result = SendResult(outcome=Outcome.THROTTLED, provider="p", retry_after=wait)
    step = after_send(progress, [("", result)], InDoubt.RESEND, POLICY, NOW)
    assert isinstance(step, Wait)
    assert (step.progress.attempts, step.seconds, step.counted) == (progress.attempts - 1, wait, False)


def test_five_tries_and_then_a_dead_letter() -> None:
    result = [("", SendResult(outcome=Outcome.TRANSIENT, provider="p", error="503"))]
    steps = [after_send(Progress(1, attempts=n), result, InDoubt.RESEND, POLICY, NOW) for n in range(1, 6)]
    assert [step.seconds for step in steps if isinstance(step, Wait)] == [1, 2, 4, 8]
    final = steps[-1]
    assert isinstance(final, Final)
    assert (final.status, final.reason, final.attempt, final.error) == (
        Status.DEAD_LETTERED,
        Reason.RETRIES_EXHAUSTED,
        5,
        "503",
    )


def test_a_wait_beyond_the_parking_limit_leaves_the_line() -> None:
    result = SendResult(outcome=Outcome.THROTTLED, provider="p", retry_after=61)
    step = after_send(Progress(1, attempts=1), [("", result)], InDoubt.RESEND, POLICY, NOW)
    assert isinstance(step, Final)
    assert (step.status, step.reason, step.until, step.attempt) == (
        Status.DEFERRED,
        Reason.THROTTLED,
        NOW + 61_000,
        0,
    )


def test_the_gravest_refusal_names_the_outcome() -> None:
    def outcome(*outcomes: Outcome) -> tuple[Status, Reason]:
        results = [(str(n), SendResult(outcome=o, provider="p")) for n, o in enumerate(outcomes)]
        step = after_send(Progress(1, attempts=1), results, InDoubt.RESEND, POLICY, NOW)
        assert isinstance(step, Final)
        return step.status, step.reason

    dead, permanent, configuration = Outcome.INVALID_RECIPIENT, Outcome.PERMANENT, Outcome.CONFIGURATION
    assert outcome(dead, dead) == (Status.FAILED, Reason.INVALID_RECIPIENT)
    assert outcome(dead, permanent, dead) == (Status.FAILED, Reason.REJECTED_BY_PROVIDER)
    assert outcome(configuration, permanent) == (Status.DEAD_LETTERED, Reason.PROVIDER_CONFIGURATION)
    assert outcome(permanent, Outcome.ACCEPTED, dead) == (Status.SENT, Reason.ACCEPTED)


def test_in_doubt_only_marketing_waits_for_a_person_unless_its_category_says_otherwise() -> None:
    critical, marketing = dispatch(Priority.CRITICAL, "marketing"), dispatch(stream="marketing")
    assert doubt_policy(dispatch(), False, None) is InDoubt.RESEND
    assert doubt_policy(critical, False, None) is InDoubt.RESEND
    assert doubt_policy(marketing, False, None) is InDoubt.PARK
    assert [doubt_policy(dispatch(), False, said) for said in InDoubt] == list(InDoubt)
    assert [doubt_policy(critical, False, said) for said in InDoubt] == list(InDoubt)
    assert {doubt_policy(marketing, True, said) for said in (None, *InDoubt)} == {InDoubt.RESEND}


def test_what_is_dropped_in_doubt_fails_and_says_why() -> None:
    lost = [("", SendResult(outcome=Outcome.AMBIGUOUS, provider="p", error="reset"))]
    for final in (
        settle_doubt(Progress(1, attempts=1), InDoubt.DROP, POLICY, NOW),
        after_send(Progress(1, attempts=1), lost, InDoubt.DROP, POLICY, NOW),
    ):
        assert isinstance(final, Final)
        assert (final.status, final.reason, final.in_doubt) == (Status.FAILED, Reason.IN_DOUBT, True)


def test_what_a_device_accepted_is_sent_though_another_is_in_doubt() -> None:
    results = [
        ("a", SendResult(outcome=Outcome.ACCEPTED, provider="p")),
        ("b", SendResult(outcome=Outcome.AMBIGUOUS, provider="p")),
    ]
    final = after_send(Progress(1, attempts=1), results, InDoubt.DROP, POLICY, NOW)
    assert isinstance(final, Final)
    assert (final.status, final.in_doubt) == (Status.SENT, True)


def test_a_holder_that_vanished_has_used_a_try_and_leaves_a_flag() -> None:
    again = settle_doubt(Progress(1, attempts=1), InDoubt.RESEND, POLICY, NOW)
    parked = settle_doubt(Progress(1, attempts=1), InDoubt.PARK, POLICY, NOW)
    exhausted = settle_doubt(Progress(1, attempts=5), InDoubt.RESEND, POLICY, NOW)
    assert again == Progress(1, attempts=1, doubted=True)
    assert isinstance(parked, Final)
    assert (parked.status, parked.reason, parked.in_doubt) == (Status.DEAD_LETTERED, Reason.IN_DOUBT, True)
    assert isinstance(exhausted, Final)
    assert (exhausted.reason, exhausted.in_doubt) == (Reason.RETRIES_EXHAUSTED, True)


def test_what_must_not_be_sent_any_more_is_not() -> None:
    def stop(
        expires_at: int | None = None, user: UserSnapshot = USER, *, cancelled: bool = False
    ) -> tuple[Status, Reason] | None:
        final = stop_before_send(dispatch(expires_at=expires_at), Progress(1), user, cancelled=cancelled, now=NOW)
        return None if final is None else (final.status, final.reason)

    def suppressed(stream: str, expires_at: int | None = None, channel: Channel = Channel.PUSH) -> UserSnapshot:
        entry = Suppression(channel, stream, "bounce", expires_at)
        return UserSnapshot(user_id="u", version=1, known=True, suppressions=[entry])

    assert stop() is None
    assert stop(NOW + 1) is None
    assert stop(cancelled=True) == (Status.CANCELLED, Reason.CANCELLED)
    assert stop(NOW) == (Status.EXPIRED, Reason.EXPIRED)
    assert stop(user=unknown_user("u")) == (Status.SUPPRESSED, Reason.UNKNOWN_RECIPIENT)
    for user in (suppressed("*"), suppressed("all"), suppressed("transactional", NOW + 1)):
        assert stop(user=user) == (Status.SUPPRESSED, Reason.ADDRESS_SUPPRESSED)
    for user in (suppressed("marketing"), suppressed("*", NOW), suppressed("*", None, Channel.SMS)):
        assert stop(user=user) is None


def test_what_a_device_accepted_is_sent_whatever_stops_the_others() -> None:
    progress = Progress(1, attempts=1, accepted=("d1",), provider="p", message_id="m")
    final = stop_before_send(dispatch(expires_at=NOW), progress, USER, cancelled=False, now=NOW)
    assert final == Final(Status.SENT, Reason.ACCEPTED, "p", "m", 1, False, NOW)


def test_a_replay_has_all_its_tries_again_and_a_release_has_not() -> None:
    progress = Progress(1, attempts=3, refused=("d2",), refusal=Reason.PROVIDER_CONFIGURATION, accepted=("d1",))
    dead = Closed(progress, Final(Status.DEAD_LETTERED, Reason.RETRIES_EXHAUSTED, "p", "", 3, True, NOW))
    late = Closed(progress, Final(Status.DEFERRED, Reason.THROTTLED, "p", "", 3, False, NOW, until=NOW))
    assert next_round(dead, 2) == Progress(2, attempts=0, doubted=True, accepted=("d1",))
    assert next_round(late, 2) == Progress(2, attempts=3, accepted=("d1",))


@given(attempts=st.integers(1, 2000), chance=st.floats(0, 1, exclude_max=True))
def test_a_backoff_is_between_its_base_and_its_cap_with_jitter_on_top(attempts: int, chance: float) -> None:
    policy = RetryPolicy(max_attempts=5, base=1, cap=60, parking_limit=60, random=lambda: chance)
    assert 1 <= policy.backoff(attempts) <= 60 * (1 + JITTER)
    assert policy.backoff(attempts + 1) >= policy.backoff(attempts)


@given(entry=st.builds(Closed, PROGRESS, FINAL))
def test_what_the_ledger_holds_reads_back_the_same(entry: Closed) -> None:
    assert decode_closed(encode(entry)) == entry
    assert decode_progress(encode(entry.progress)) == entry.progress


def test_a_wait_for_a_rule_of_our_own_says_which() -> None:
    tomorrow = SendResult(
        outcome=Outcome.THROTTLED, provider="p", error="e", retry_after=40_000, waits_for=Reason.WARM_UP
    )
    final = after_send(Progress(1, attempts=1), [("", tomorrow)], InDoubt.RESEND, POLICY, NOW)
    assert isinstance(final, Final)
    assert (final.status, final.reason, final.until) == (Status.DEFERRED, Reason.WARM_UP, NOW + 40_000_000)
    assert final.attempt == 0
