"""Reads what is needed of the dead letters that a command is about, before anything is done to them. Blocks."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.config import KafkaSettings
from pipeline.dlq.index import Index
from pipeline.dlq.letters import Content, DeadLetter, Unreadable, read_content, units_of
from pipeline.dlq.scan import scan
from pipeline.dlq.selection import Selection
from pipeline.errors import MalformedRecord
from pipeline.events.codec import Codec
from pipeline.events.vocabulary import TERMINAL
from pipeline.kafka.handled import Handled
from pipeline.kafka.names import DELIVERY_STATUS
from pipeline.kafka.reader import read_topics

MARGIN_MS = 3_600_000
"""By how much clocks may differ: outcomes are looked for from so much before the oldest dead letter on."""


@dataclass(frozen=True, slots=True)
class Desk:
    """What all commands read with. `handled` says which dead letters are over."""

    kafka: KafkaSettings
    codec: Codec
    handled: Handled

    def content(self, letter: DeadLetter) -> Content:
        """What it holds; a schema that became known meanwhile is learned."""
        content = read_content(self.codec, letter)
        unknown = content.schema_id if isinstance(content, Unreadable) else None
        if unknown is None or not asyncio.run(self.codec.book.learn(unknown)):
            return content
        return read_content(self.codec, letter)

    def chosen(self, selection: Selection, *, all_of_them: bool = False) -> Iterator[tuple[DeadLetter, Content | None]]:
        """The open dead letters of the selection (`all_of_them`: the handled ones too), as they lie in the topics.

        With their content where the selection asks for it.
        """
        for letters in scan(self.kafka, selection.topics, None if all_of_them else self.handled):
            for letter in letters:
                if not selection.fits(letter):
                    continue
                content = self.content(letter) if selection.reads_content else None
                if content is None or selection.fits_content(letter, content):
                    yield letter, content

    def index(self, selection: Selection) -> Index:
        """Which are chosen, which of these are copies, and whose units are over already."""
        index = Index()
        for letters in scan(self.kafka, selection.topics):
            for letter in letters:
                self._enter(index, letter, selection)
        index.finish()
        if index.oldest is not None:
            self._settle(index, index.oldest - MARGIN_MS)
        return index

    def _enter(self, index: Index, letter: DeadLetter, selection: Selection) -> None:
        if letter.position in self.handled:
            index.note_handled(letter)
        elif selection.fits(letter):
            content = self.content(letter)
            if selection.fits_content(letter, content):
                index.choose(letter, units_of(letter, content))

    def _settle(self, index: Index, since: int) -> None:
        for batch in read_topics(self.kafka, [DELIVERY_STATUS], start=max(0, since)):
            outcomes = []
            for message in batch:
                try:
                    status = self.codec.decode_status(message.value())
                except MalformedRecord:
                    continue
                if status.status in TERMINAL:
                    outcomes.append((status.status, status.notification_id))
            index.settle(outcomes)
