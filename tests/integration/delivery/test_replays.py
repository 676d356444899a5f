"""What a worker makes of a dispatch that an operator sent back to it."""

from typing import TYPE_CHECKING

import pytest

from pipeline.events.vocabulary import Origin, Reason, Status
from pipeline.kafka.dead_letters import dead_letter, rounds
from pipeline.kafka.inbound import inbound
from pipeline.kafka.names import Header
from pipeline.kafka.producer import Headers
from pipeline.providers.base import Outcome

if TYPE_CHECKING:
    from tests.integration.delivery.conftest import World

pytestmark = pytest.mark.real_broker


def in_round(number: int, earlier: Headers | None = None) -> Headers:
    return [*(earlier or []), (Header.ORIGIN, Origin.REPLAYED.encode()), (Header.REPLAY_ROUND, str(number).encode())]


async def test_a_round_is_tried_once_however_often_it_was_replayed(world: "World") -> None:
    """A replay that was killed before it marked what it had sent, and run again."""
    world.start()
    world.sender.answers("k", *[Outcome.TRANSIENT] * 10)
    dispatch = world.dispatch("k")
    await world.produce(dispatch)
    await world.outcomes(1)
    await world.settled()
    first = in_round(dispatch.decided_at + 1)
    await world.produce(dispatch, headers=first)
    await world.until(lambda: len(world.dead_letters()) == 2)
    await world.settled()
    await world.produce(dispatch, headers=first)
    await world.settled()
    assert len(world.sender.sent) == 10, "five tries, and five of the one replay"
    await world.produce(dispatch, headers=in_round(dispatch.decided_at + 2))
    await world.until(lambda: world.words("k")[-1] == "sent")
    await world.produce(dispatch, headers=in_round(dispatch.decided_at + 2))
    await world.settled()
    assert len(world.sender.sent) == 11


async def test_what_fails_again_comes_back_with_its_history(world: "World") -> None:
    world.start()
    world.sender.answers("k", *[Outcome.TRANSIENT] * 10)
    dispatch = world.dispatch("k")
    await world.produce(dispatch)
    await world.until(lambda: len(world.dead_letters()) == 1)
    told = inbound(world.dead_letters()[0]).headers
    await world.produce(dispatch, headers=in_round(dispatch.decided_at + 1, list(told)))
    await world.until(lambda: len(world.dead_letters()) == 2)
    first, second = rounds(inbound(world.dead_letters()[1]).headers)
    assert (first.attempts, second.attempts) == (5, 10)
    assert second.offset > first.offset or second.partition != first.partition


async def test_what_was_in_doubt_is_flagged_when_it_is_sent_though_redis_has_forgotten_it(world: "World") -> None:
    dispatch = world.dispatch("k")
    doubted = dead_letter(
        "dlq",
        key=b"",
        value=b"",
        headers=[],
        topic=world.topic,
        partition=0,
        offset=0,
        reason=Reason.IN_DOUBT,
        error="",
        attempts=1,
        now=dispatch.decided_at,
        in_doubt=True,
    )
    await world.produce(dispatch, headers=in_round(dispatch.decided_at + 1, doubted.headers))
    world.start()
    status = (await world.outcomes(1))["k"]
    assert (status.status, status.in_doubt) == (Status.SENT, True)
