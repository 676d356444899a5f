"""Every error class of the package.

PipelineError
├── ConfigurationError      a setting, file or credential is wrong: says which and what to change
│   └── CatalogueError      the event catalogue or a template is wrong: file, line, what to change
├── TemplateError           a template cannot be rendered with this data: file, line, why
├── InvalidDevice           a device that is to be registered cannot take push messages: says which field and why
├── MalformedRecord         a record cannot be read; carries the short reason for ``dlq.error``
├── UnknownSchema           a record names a schema id that nobody knows
├── IncompatibleSchema      a schema change would break readers or writers
├── TopologyError           topics differ from their files in a way that cannot be applied safely
├── ClientError             `pipeline.client` could not hand an event over
│   ├── EventRefused        it was refused for good: says what to change
│   └── NotAccepted         nobody knows that it was accepted: send the same event again
└── Unavailable             Kafka, Redis, PostgreSQL or the registry cannot be reached (wait and try again)
"""

from collections.abc import Sequence

from pipeline.events.vocabulary import Reason


class PipelineError(Exception):
    """Base of all errors raised on purpose; its text says what to change."""


class ConfigurationError(PipelineError):
    """A setting, a file or a credential is wrong."""


class CatalogueError(ConfigurationError):
    """The event catalogue or a template is wrong; `problems` holds one line each: file, line, what to change."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class TemplateError(PipelineError):
    """A template is missing or cannot be rendered with this data: names file and line, never a value."""


class InvalidDevice(PipelineError):
    """A device that is to be registered cannot take push messages: names the field, quotes no token."""


class MalformedRecord(PipelineError):
    """A record cannot be read as what its topic promises; `reason` is what ``dlq.reason`` will say."""

    def __init__(self, text: str, reason: Reason = Reason.MALFORMED) -> None:
        super().__init__(text)
        self.reason = reason


class UnknownSchema(MalformedRecord):
    """A record names a schema id that neither the lock file nor the registry knows."""

    def __init__(self, schema_id: int) -> None:
        super().__init__(f"schema id {schema_id} is not known here: register the schema first", Reason.UNKNOWN_SCHEMA)
        self.schema_id = schema_id


class IncompatibleSchema(PipelineError):
    """A schema differs from a released one in a way that readers or writers in the field cannot follow."""


class TopologyError(PipelineError):
    """Topics differ from their files in a way that would destroy data or break keys."""


class ClientError(PipelineError):
    """`pipeline.client` could not hand an event over."""


class EventRefused(ClientError):
    """An event, or the caller, was refused: sending it again as it is changes nothing.

    `status` is the gateway's (400, 401, 403, 409, 413, …; 400 where Kafka is written to directly). `problems` are pairs
    of a JSON pointer into the event and what to change.
    """

    def __init__(self, text: str, status: int = 400, problems: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__("; ".join([text, *(f"{pointer or 'the event'}: {what}" for pointer, what in problems)]))
        self.status = status
        self.problems = list(problems)


class NotAccepted(ClientError):
    """Within the client's patience nobody said that it was accepted; it may have been all the same.

    Send the very same event again, now or later: its idempotency key keeps it one notification.
    """


class Unavailable(PipelineError):
    """A server that we depend on cannot be reached."""
