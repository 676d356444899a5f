"""Every error class of the package.

PipelineError
├── ConfigurationError      a setting, file or credential is wrong: says which and what to change
│   └── CatalogueError      the event catalogue or a template is wrong: file, line, what to change
├── MalformedRecord         a record cannot be read; carries the short reason for ``dlq.error``
├── UnknownSchema           a record names a schema id that nobody knows
├── IncompatibleSchema      a schema change would break readers or writers
├── TopologyError           topics differ from their files in a way that cannot be applied safely
└── Unavailable             Kafka, Redis, PostgreSQL or the registry cannot be reached (wait and try again)
"""


class PipelineError(Exception):
    """Base of all errors raised on purpose; its text says what to change."""


class ConfigurationError(PipelineError):
    """A setting, a file or a credential is wrong."""


class CatalogueError(ConfigurationError):
    """The event catalogue or a template is wrong; `problems` holds one line each: file, line, what to change."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class MalformedRecord(PipelineError):
    """A record cannot be read as what its topic promises."""


class UnknownSchema(MalformedRecord):
    """A record names a schema id that neither the lock file nor the registry knows."""


class IncompatibleSchema(PipelineError):
    """A schema differs from a released one in a way that readers or writers in the field cannot follow."""


class TopologyError(PipelineError):
    """Topics differ from their files in a way that would destroy data or break keys."""


class Unavailable(PipelineError):
    """A server that we depend on cannot be reached."""
