"""What the ledger in Redis should be: the simplest thing that behaves as its scripts must. Times in ms."""

from dataclasses import dataclass, field

from pipeline.delivery.ledger import Found, Move, State

NO_TOKEN = ""


@dataclass(frozen=True)
class Entry:
    """One notification. `deadline` counts only while it is being sent; what is `ACCOUNTED` has no holder any more."""

    state: State
    token: str
    serial: int
    body: bytes
    deadline: int = 0


@dataclass
class LedgerModel:
    """Entries by key, cancel marks, and the server's time."""

    lease_ms: int
    now: int = 1_000_000
    entries: dict[str, Entry] = field(default_factory=dict)
    cancelled: set[str] = field(default_factory=set)

    def lease(self, token: str, serial: int, key: str, mark: str) -> Found:
        entry = self.entries.get(key)
        cancelled = mark in self.cancelled
        if entry is None or entry.state is State.LEASED:
            body = entry.body if entry else b""
            if entry is None or entry.token != token or entry.serial <= serial:
                self.entries[key] = Entry(State.LEASED, token, serial, body)
            return Found(State.LEASED, cancelled, body, 0.0)
        if entry.state is State.SENDING:
            left = entry.deadline - self.now
            if left > 0:
                return Found(State.SENDING, cancelled, b"", left / 1000)
            return Found(State.IN_DOUBT, cancelled, entry.body, 0.0)
        return Found(entry.state, cancelled, entry.body, 0.0)

    def start(self, token: str, serial: int, key: str, mark: str, found: State, body: bytes) -> Move:
        if mark in self.cancelled:
            return Move.CANCELLED
        return Move(self.move(token, serial, key, _may_start_from(found), State.SENDING, body))

    def release(self, token: str, serial: int, key: str, body: bytes) -> bool:
        return self.move(token, serial, key, {State.SENDING}, State.LEASED, body)

    def close(self, token: str, serial: int, key: str, found: State, body: bytes) -> bool:
        return self.move(token, serial, key, {State.SENDING} | _may_start_from(found), State.DONE, body)

    def account(self, token: str, serial: int, key: str, waiting: bytes | None) -> bool:
        to = State.ACCOUNTED if waiting is None else State.ACCOUNTED_WAITING
        return self.move(token, serial, key, {State.DONE}, to, waiting or b"")

    def restore(self, token: str, key: str, state: State, body: bytes) -> None:
        if key not in self.entries:
            self.entries[key] = self._made(token, 0, state, body)

    def lose_everything(self) -> None:
        self.entries.clear()
        self.cancelled.clear()

    def move(self, token: str, serial: int, key: str, origins: set[State], to: State, body: bytes) -> bool:
        entry = self.entries.get(key)
        allowed = entry is None or self._allowed(entry, token, serial, origins)
        if allowed:
            self.entries[key] = self._made(token, serial, to, body)
        return allowed

    def _allowed(self, entry: Entry, token: str, serial: int, origins: set[State]) -> bool:
        if entry.state is State.ACCOUNTED:
            return False
        ours = entry.token == token
        if ours and entry.serial >= serial:
            return entry.serial == serial
        if entry.state in (State.DONE, State.ACCOUNTED_WAITING):
            return entry.state in origins
        overdue = entry.state is State.SENDING and entry.deadline <= self.now
        return (ours and entry.state in origins) or (overdue and State.IN_DOUBT in origins)

    def _made(self, token: str, serial: int, state: State, body: bytes) -> Entry:
        if state is State.ACCOUNTED:
            return Entry(state, NO_TOKEN, 0, b"")
        return Entry(state, token, serial, body, self.now + self.lease_ms if state is State.SENDING else 0)


def _may_start_from(found: State) -> set[State]:
    closed = {State.DONE, State.ACCOUNTED_WAITING}
    return closed if found in closed else {found}
