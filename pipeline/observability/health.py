"""Whether a service lives and what it still lacks to work. Holds no clock and no client: others tell it what they see, or are asked."""

from collections.abc import Callable
from typing import TypedDict


class Part(TypedDict):
    """One thing the service needs: whether it has it, and if not, why."""

    ok: bool
    detail: str


class Report(TypedDict):
    """What ``/readyz`` answers. `missing` names the parts that are not ok."""

    live: bool
    ready: bool
    missing: list[str]
    parts: dict[str, Part]


class Health:
    """The state of one service.

    `needs` are what it must have before it is ready, each missing until `set` says otherwise. A service that has
    registered nothing yet is not ready.
    """

    def __init__(self, *needs: str) -> None:
        self._parts: dict[str, Part] = {name: Part(ok=False, detail="not there yet") for name in needs}
        self._death: str | None = None
        self._complaints: dict[str, Callable[[], str]] = {}

    def need(self, *names: str) -> None:
        """Not ready before each of these was said to be there. What was said of one already stands."""
        for name in names:
            self._parts.setdefault(name, Part(ok=False, detail="not there yet"))

    def live_while(self, name: str, complaint: Callable[[], str]) -> None:
        """Have `complaint` asked at each look: what it says is why part `name` is stuck; empty: it is not.

        Nobody counts as stuck while another part is missing: who waits for a server is not helped by a restart.
        """
        self._complaints[name] = complaint

    def set(self, name: str, ok: bool, detail: str = "") -> None:
        """Say how `name` is; the first word about a name registers it. `detail` must hold no secret."""
        self._parts[name] = Part(ok=ok, detail=detail)

    def give_up(self, why: str) -> None:
        """The service cannot go on by itself and wants to be restarted: not live, not ready, for good."""
        self._death = why

    @property
    def live(self) -> bool:
        return self._death is None and not self._stuck()

    @property
    def ready(self) -> bool:
        return self.live and bool(self._parts) and all(part["ok"] for part in self._parts.values())

    def report(self) -> Report:
        parts = self._parts | {name: Part(ok=False, detail=why) for name, why in self._stuck().items()}
        if self._death is not None:
            parts["service"] = Part(ok=False, detail=self._death)
        missing = [name for name, part in parts.items() if not part["ok"]]
        return Report(live=self.live, ready=self.ready, missing=missing, parts=parts)

    def _stuck(self) -> dict[str, str]:
        complaints = {name: why for name, ask in self._complaints.items() if (why := ask())}
        if not complaints:
            return {}
        missing = {name for name, part in self._parts.items() if not part["ok"]}
        return {name: why for name, why in complaints.items() if not missing - {name}}
