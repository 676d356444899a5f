"""What may be relied on, as service level objectives, and the rules that tell when their error budget burns too fast.

Windows and burn rates: Google's Site Reliability Workbook, chapter 5, "Multiwindow, Multi-Burn-Rate Alerts"
(https://sre.google/workbook/alerting-on-slos/). The budget is that of 30 days.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

RECORD = "notifications:slo_errors:ratio_rate"
OBJECTIVE = "notifications:slo:objective"
WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")


@dataclass(frozen=True)
class Slo:
    """`errors` and `total` are PromQL for what is bad and for all there is, a second; ``WINDOW`` stands for the range."""

    name: str
    text: str
    objective: float
    errors: str
    total: str

    def ratio(self, window: str) -> str:
        return f"({self.errors})\n  / ({self.total})".replace("WINDOW", window)


def _late(name: str, text: str, objective: float, histogram: str, selector: str, bound: str) -> Slo:
    """What took longer than `bound`, which must be one of the histogram's."""
    total = f"sum(rate({histogram}_count{{{selector}}}[WINDOW]))"
    in_time = f'sum(rate({histogram}_bucket{{{selector}, le="{bound}"}}[WINDOW]))'
    return Slo(name, text, objective, f"{total} - {in_time}", total)


def _delivered(statuses: str) -> str:
    return f'sum(rate(notifications_delivered_total{{status=~"{statuses}"}}[WINDOW]))'


SLOS = (
    Slo(
        "delivery",
        "Of what was handed to a channel and could be delivered, 99 % is accepted by a provider.",
        0.99,
        _delivered("failed|dead_lettered|expired"),
        _delivered("success|failed|dead_lettered|expired"),
    ),
    _late(
        "timeliness",
        "99 % of the critical notifications are with a provider 10 s after the event.",
        0.99,
        "notifications_end_to_end_seconds",
        'priority="critical"',
        "10.0",
    ),
    Slo(
        "gateway",
        "99.9 % of the requests get an answer that is no server error.",
        0.999,
        'sum(rate(notifications_gateway_request_seconds_count{status=~"5.."}[WINDOW])) or vector(0)',
        "sum(rate(notifications_gateway_request_seconds_count[WINDOW]))",
    ),
    _late(
        "acceptance",
        "99 % of the events that come over HTTP are accepted within 50 ms.",
        0.99,
        "notifications_gateway_request_seconds",
        'route="/v1/events"',
        "0.05",
    ),
)


class Burn(NamedTuple):
    """Alert when both windows burn the budget `rate` times as fast as it would last for 30 days."""

    alert: str
    long: str
    short: str
    rate: float
    hold: str
    severity: str
    spent: str


BURNS = (
    Burn("NotificationSloBurnsFast", "1h", "5m", 14.4, "2m", "critical", "2 % of the month's budget went in an hour"),
    Burn("NotificationSloBurns", "6h", "30m", 6, "15m", "critical", "5 % of the month's budget went in six hours"),
    Burn("NotificationSloBurnsSlowly", "1d", "2h", 3, "1h", "warning", "10 % of the month's budget went in a day"),
    Burn("NotificationSloLeaks", "3d", "6h", 1, "3h", "warning", "10 % of the month's budget went in three days"),
)


def rules() -> dict[str, Any]:
    """A Prometheus rule file."""
    recorded = [_recorded(slo, window) for window in WINDOWS for slo in SLOS]
    objectives = [
        {"record": OBJECTIVE, "expr": f"vector({slo.objective})", "labels": {"slo": slo.name}} for slo in SLOS
    ]
    # In one group, for the alerts to see what was recorded just before.
    alerts = [_alert(burn) for burn in BURNS]
    return {"groups": [{"name": "notification_slo", "rules": [*objectives, *recorded, *alerts]}]}


def _recorded(slo: Slo, window: str) -> dict[str, Any]:
    return {"record": f"{RECORD}{window}", "expr": slo.ratio(window), "labels": {"slo": slo.name}}


def _alert(burn: Burn) -> dict[str, Any]:
    allowed = f"on (slo) ({burn.rate} * (1 - {OBJECTIVE}))"
    return {
        "alert": burn.alert,
        "expr": f"{RECORD}{burn.long}\n  > {allowed}\nand on (slo)\n{RECORD}{burn.short}\n  > {allowed}",
        "for": burn.hold,
        "labels": {"severity": burn.severity},
        "annotations": {
            "summary": f"The error budget of {{{{ $labels.slo }}}} burns {burn.rate} times too fast: "
            "{{ $value | humanizePercentage }} went wrong.",
            "description": f"{burn.spent}, and it goes on.",
            "runbook_url": f"docs/runbooks/slo.md#{burn.alert.lower()}",
        },
    }
