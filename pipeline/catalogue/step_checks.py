"""What must hold between the steps of an event type and the rest of its entry."""

from collections.abc import Iterator

from pipeline.catalogue.document import TypeDocument
from pipeline.catalogue.positions import Path

Problem = tuple[Path, str]


def step_problems(entry: TypeDocument) -> Iterator[Problem]:
    """Every contradiction, with the path of keys below the entry."""
    if not entry.steps:
        return
    seen = set()
    for index, step in enumerate(entry.steps):
        if step.channel not in entry.channels:
            yield ("steps", index, "channel"), f"{step.channel} is not among `channels`; add it there"
        if step.channel in seen:
            yield ("steps", index, "channel"), f"{step.channel} is a step already; a channel has one turn"
        seen.add(step.channel)
    if seen.issuperset(entry.channels):
        yield ("steps",), "every channel waits for another; leave out of `steps` what goes first"
    if entry.digest is not None:
        yield ("steps",), "what is collected into a digest is not sent on its own; keep `steps` or `digest`"
    yield from _too_late(entry)


def _too_late(entry: TypeDocument) -> Iterator[Problem]:
    """A step after the time to live would never go."""
    waited = 0
    for index, step in enumerate(entry.steps):
        waited += step.after
        if entry.ttl is not None and waited >= entry.ttl:
            text = (
                f"due {waited} s after the event, which is over after its `ttl` of {entry.ttl} s; shorten one of them"
            )
            yield ("steps", index, "after"), text
            return
