"""What the ledger remembers of one notification, as bytes: tries so far, parts that are settled, and the outcome."""

import msgspec

from pipeline.events.vocabulary import Reason, Status


class Final(msgspec.Struct, frozen=True, array_like=True):
    """How the delivery of one notification ended here: all that its records say beyond the dispatch record.

    `until` is set where it was deferred; `error` is for people who read the dead letter. Times in ms.
    """

    status: Status
    reason: Reason
    provider: str
    message_id: str
    attempt: int
    in_doubt: bool
    occurred_at: int
    until: int | None = None
    error: str = ""


class Progress(msgspec.Struct, frozen=True, array_like=True):
    """How far the delivery has come.

    `rank` tells the rounds of one notification apart: what was deferred or dead-lettered and comes again has a higher
    one. `attempts` are the tries begun. `doubted`: the answer to some try was lost. `accepted` and `refused` are the
    keys of the parts that must not be sent again; `provider` and `message_id` tell of the first that was accepted, or
    else, with `error`, of the gravest `refusal`. `retry_at`: not before (ms).
    """

    rank: int
    attempts: int = 0
    doubted: bool = False
    accepted: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    provider: str = ""
    message_id: str = ""
    refusal: Reason | None = None
    error: str = ""
    retry_at: int = 0


class Closed(msgspec.Struct, frozen=True, array_like=True):
    """A progress that came to its end."""

    progress: Progress
    final: Final


_encoder = msgspec.msgpack.Encoder()
_progress = msgspec.msgpack.Decoder(Progress)
_closed = msgspec.msgpack.Decoder(Closed)


def encode(entry: Progress | Closed) -> bytes:
    return _encoder.encode(entry)


def decode_progress(body: bytes) -> Progress:
    return _progress.decode(body)


def decode_closed(body: bytes) -> Closed:
    return _closed.decode(body)
