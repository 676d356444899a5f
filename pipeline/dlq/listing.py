"""Dead letters, grouped: how many of each reason, since when, and what one of them says. Pure."""

from collections.abc import Iterable

import msgspec

from pipeline.dlq.letters import DeadLetter


class Example(msgspec.Struct, frozen=True):
    """The latest of a group."""

    partition: int
    offset: int
    error: str


class Group(msgspec.Struct, frozen=True):
    """The open dead letters of one topic and reason; times in ms. `again` counts those that were replayed before."""

    topic: str
    reason: str
    count: int
    again: int
    oldest: int
    newest: int
    example: Example


def group(letters: Iterable[DeadLetter]) -> list[Group]:
    """The largest group first. Memory grows with the groups, not with the dead letters."""
    groups: dict[tuple[str, str], Group] = {}
    for letter in letters:
        key = letter.topic, letter.reason
        groups[key] = _with(groups[key], letter) if key in groups else _first(letter)
    return sorted(groups.values(), key=lambda g: (-g.count, g.topic, g.reason))


def _first(letter: DeadLetter) -> Group:
    again = int(len(letter.rounds) > 1)
    return Group(letter.topic, letter.reason, 1, again, letter.at, letter.at, _example(letter))


def _with(group: Group, letter: DeadLetter) -> Group:
    return Group(
        group.topic,
        group.reason,
        group.count + 1,
        group.again + (len(letter.rounds) > 1),
        min(group.oldest, letter.at),
        max(group.newest, letter.at),
        _example(letter) if letter.at >= group.newest else group.example,
    )


def _example(letter: DeadLetter) -> Example:
    return Example(letter.partition, letter.offset, letter.last.error)
