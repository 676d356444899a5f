"""Who may do what. Pure."""

from dataclasses import dataclass
from enum import StrEnum

from pipeline.gateway.problems import Refused


class Scope(StrEnum):
    """What an API key may do; `ADMIN` includes all others."""

    INGEST = "ingest"
    READ = "read"
    PREFERENCES = "preferences"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Service:
    """An upstream service, by its API key. `rate` in requests a second; `quota` in events a day, None: no limit."""

    key_id: str
    name: str
    scopes: frozenset[Scope]
    rate: float
    burst: int
    quota: int | None

    @property
    def actor(self) -> str:
        return f"key:{self.key_id}"


@dataclass(frozen=True, slots=True)
class EndUser:
    """A person, by their token."""

    user_id: str

    @property
    def actor(self) -> str:
        return f"user:{self.user_id}"


Caller = Service | EndUser


@dataclass(frozen=True, slots=True)
class Access:
    """What a route asks for: one of `scopes`; `own`: an end user may, where the path's `user_id` is theirs."""

    scopes: frozenset[Scope]
    own: bool = False

    def check(self, caller: Caller, user_id: str | None) -> None:
        """Let the caller pass.

        Raises:
            Refused: 403, the same whether or not what was asked for exists.
        """
        if isinstance(caller, Service):
            if not caller.scopes & (self.scopes | {Scope.ADMIN}):
                raise Refused(403, f"This API key lacks the scope: it needs one of {', '.join(sorted(self.scopes))}.")
        elif not self.own:
            raise Refused(403, "End users may not do this; it takes an API key.")
        elif user_id != caller.user_id:
            raise Refused(403, "End users reach nothing but their own: the path must name the token's sub.")


INGEST = Access(frozenset({Scope.INGEST}))
EXPLAIN = Access(frozenset({Scope.READ}))
READ_PERSON = Access(frozenset({Scope.READ, Scope.PREFERENCES}), own=True)
CHANGE_PERSON = Access(frozenset({Scope.PREFERENCES}), own=True)
