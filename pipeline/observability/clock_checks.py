"""How far the servers' clocks are from ours. Pure, but for the clock."""

import time
from typing import NamedTuple

from pipeline.observability.finding import Finding, Level

WARN_SECONDS = 1.0
"""Above it caps, quiet hours and latencies are reckoned visibly wrong: machines kept by NTP differ by milliseconds."""

FAIL_SECONDS = 10.0
"""Above it a lease may end for one worker while it still holds for another (`delivery.lease` less the provider's time)."""


class Reading(NamedTuple):
    """What a server's clock read (s since the epoch), between our `before` and `after`."""

    server: float
    before: float
    after: float

    @property
    def skew(self) -> float:
        """Seconds that the server is ahead of us, at the least: what the way may have taken counts as none."""
        return self.server - min(max(self.server, self.before), self.after)


def skew_finding(name: str, reading: Reading) -> Finding:
    """Whether that clock is ours."""
    skew = reading.skew
    seconds = abs(skew)
    level = Level.FAIL if seconds >= FAIL_SECONDS else Level.WARN if seconds >= WARN_SECONDS else Level.OK
    where = "ahead of" if skew > 0 else "behind"
    if level is Level.OK:
        return Finding(
            f"clock {name}", level, f"agrees with ours to {max(seconds, reading.after - reading.before):.3f} s"
        )
    return Finding(
        f"clock {name}",
        level,
        f"{seconds:.1f} s {where} ours",
        "let NTP keep both machines (timedatectl, chronyc tracking)",
    )


def now() -> float:
    return time.time()
