"""The dashboard of the service level objectives."""

from pipeline.observability.boards.panels import Dashboard, Panel, Query, Row
from pipeline.observability.boards.slo import BURNS, OBJECTIVE, RECORD, SLOS, Slo


def _row(slo: Slo) -> Row:
    own = f'{{slo="{slo.name}"}}'
    budget = f"(1 - {OBJECTIVE}{own})"
    return Row(
        slo.name,
        [
            Panel(
                title=f"{slo.name}: last hour",
                text=slo.text,
                queries=[Query(f"1 - {RECORD}1h{own}", "good")],
                kind="stat",
                unit="percentunit",
                width=4,
                height=7,
            ),
            Panel(
                title=f"{slo.name}: budget left of three days",
                text="Below 0 the objective was missed.",
                queries=[Query(f"1 - {RECORD}3d{own} / {budget}", "left")],
                kind="stat",
                unit="percentunit",
                width=4,
                height=7,
            ),
            Panel(
                title=f"{slo.name}: how fast the budget burns",
                text="1 uses it up in 30 days. Alerts: "
                + ", ".join(f"{burn.rate:g} over {burn.long} and {burn.short}" for burn in BURNS)
                + ".",
                queries=[Query(f"{RECORD}{window}{own} / {budget}", window) for window in ("5m", "1h", "6h", "1d")],
                width=16,
                height=7,
                limit=1,
            ),
        ],
    )


LEVELS = Dashboard(
    uid="notifications-slo",
    title="Notifications: service levels",
    text="What may be relied on, and how much of the error budget is left.",
    rows=[_row(slo) for slo in SLOS],
)
