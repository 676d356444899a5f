"""What a consumer leaves unread for now: everything for want of room, or partitions whose holder asks for it."""

import logging
from collections.abc import Callable
from collections.abc import Set as AbstractSet

from confluent_kafka import Consumer, KafkaException, TopicPartition

from pipeline.kafka.inbound import Room

logger = logging.getLogger(__name__)

HOLD = 1.0
"""Seconds of back-pressure without polling; then partitions are paused, which throws away what is fetched ahead."""


class Pauses:
    """Used by the thread that owns the consumer; `hold` may be called from another."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._to_hold: AbstractSet[int] = frozenset()
        self._held: AbstractSet[int] = frozenset()
        self._assigned_anew = False
        self._all = False

    def hold(self, partitions: AbstractSet[int]) -> None:
        """Read nothing of these until a later call does not name them."""
        self._to_hold = partitions

    def came(self, numbers: AbstractSet[int]) -> None:
        """These were assigned. librdkafka forgets no pause of ours: what was taken from us while paused comes back so."""
        self._assigned_anew = True
        self._held = self._held - numbers

    def heed(self, consumer: Consumer, stopping: Callable[[], bool]) -> bool:
        """Pause and resume what is to be; whether everything is paused now. May wait for room, `HOLD` seconds."""
        self._all = self._heed_room(consumer, stopping)
        self._heed_what_is_held(consumer)
        return self._all

    def _heed_room(self, consumer: Consumer, stopping: Callable[[], bool]) -> bool:
        if (self._all or self._assigned_anew) and self._room.wait(0):
            _each(consumer.resume, [p for p in consumer.assignment() if p.partition not in self._held])
            self._assigned_anew = False
            return False
        if not self._all and self._room.wait(HOLD):
            return False
        if stopping():
            return self._all
        if not self._all or self._assigned_anew:
            _each(consumer.pause, consumer.assignment())
            self._assigned_anew = False
        return True

    def _heed_what_is_held(self, consumer: Consumer) -> None:
        """While everything is paused for want of room, what is let go stays so until there is room."""
        to_hold, held = self._to_hold, self._held
        if to_hold == held:
            return
        self._held = to_hold
        ours = consumer.assignment()
        _each(consumer.pause, [p for p in ours if p.partition in to_hold - held])
        if not self._all:
            _each(consumer.resume, [p for p in ours if p.partition in held - to_hold])


def _each(act: Callable[[list[TopicPartition]], None], partitions: list[TopicPartition]) -> None:
    """One by one: a partition that was revoked in between must not keep the others from it."""
    for partition in partitions:
        try:
            act([partition])
        except KafkaException as error:
            logger.debug("%s: %s", partition, error.args[0].str())
