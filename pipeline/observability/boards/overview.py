"""The dashboard to look at first: is everybody told, in time, and does all add up."""

from pipeline.observability.boards.panels import Dashboard, Panel, Query, Row
from pipeline.observability.boards.queries import most, percentiles, rate, share, total

_SUCCESS = 'notifications_delivered_total{status="success"}'

_NOW = Row(
    "Now",
    [
        Panel(
            title="Delivery rate",
            text="Of what is dispatched, how much is delivered. More than all: a backlog is worked off.",
            queries=[share(_SUCCESS, "notifications_dispatched_total")],
            kind="stat",
            unit="percentunit",
            width=4,
            height=5,
        ),
        Panel(
            title="Events",
            text="Decided a second.",
            queries=[rate("notifications_events_total")],
            kind="stat",
            unit="reqps",
            width=4,
            height=5,
        ),
        Panel(
            title="Oldest record",
            text="How long the oldest record of any group has waited.",
            queries=[Query("max(notifications_consumer_lag_seconds)")],
            kind="stat",
            unit="s",
            width=4,
            height=5,
            limit=300,
        ),
        Panel(
            title="Dead letters",
            text="That wait for a person.",
            queries=[Query("sum(max by (topic) (notifications_dlq_depth))")],
            kind="stat",
            width=4,
            height=5,
            limit=1,
        ),
        Panel(
            title="Unaccounted",
            text="Accepted, without an outcome, and nobody has it any more. `pipeline accounts --serve` tells.",
            queries=[Query('max(notifications_accounts{state="unaccounted"})')],
            kind="stat",
            width=4,
            height=5,
            limit=1,
        ),
        Panel(title="Alerts", text="What fires now.", queries=[], kind="alertlist", width=4, height=5),
    ],
)
_FLOW = Row(
    "Flow",
    [
        Panel(
            title="Outcomes",
            text="What became of notifications, a second.",
            queries=[rate("notifications_delivered_total", "status")],
            unit="reqps",
        ),
        Panel(
            title="Dispatched by channel",
            text="Handed to each channel, a second.",
            queries=[rate("notifications_dispatched_total", "channel")],
            unit="reqps",
        ),
        Panel(
            title="Held back by reason",
            text="Suppressed, expired, cancelled or duplicate, a second.",
            queries=[rate("notifications_suppressed_total", "reason")],
            unit="reqps",
        ),
        Panel(
            title="Deferred and released",
            text="Waits that begin, and waits that are over, a second.",
            queries=[
                rate("notifications_deferred_total", "channel")._replace(legend="deferred {{channel}}"),
                rate("notifications_released_total", "channel")._replace(legend="released {{channel}}"),
            ],
            unit="reqps",
            rare=True,
        ),
        Panel(
            title="From event to provider",
            text="End to end, by priority: what was held back or deferred took as long as it had to.",
            queries=percentiles("notifications_end_to_end_seconds", "priority"),
            unit="s",
        ),
        Panel(
            title="Lag by time",
            text="Age of the oldest record that is not finished.",
            queries=[most("notifications_consumer_lag_seconds", "topic")],
            unit="s",
        ),
    ],
)
_EDGES = Row(
    "Gateway, history, waits",
    [
        Panel(
            title="Gateway requests",
            text="By status, a second.",
            queries=[rate("notifications_gateway_request_seconds_count", "status")],
            unit="reqps",
        ),
        Panel(
            title="Gateway latency",
            text="Time to an answer, by route.",
            queries=percentiles("notifications_gateway_request_seconds", "route", quantiles=(0.99,)),
            unit="s",
        ),
        Panel(
            title="Events over HTTP",
            text="By what the gateway said, a second.",
            queries=[rate("notifications_gateway_events_total", "outcome")],
            unit="reqps",
        ),
        Panel(
            title="History",
            text="Statuses stored a second; what is repeated was known already.",
            queries=[rate("notifications_store_records_total", "result")],
            unit="reqps",
        ),
        Panel(
            title="Partitions of the history",
            text="Days made ahead, and days by which the oldest is past its archiving.",
            queries=[
                Query("min(notifications_store_partitions_ahead)", "ahead"),
                Query("max(notifications_store_archive_overdue_days)", "overdue"),
            ],
            unit="d",
        ),
        Panel(
            title="Realtime clients",
            text="Connected, by transport, over all instances.",
            queries=[total("notifications_realtime_connections", "transport")],
            rare=True,
        ),
        Panel(
            title="Realtime messages",
            text="Heard on Redis, by whether anybody was meant, a second.",
            queries=[rate("notifications_realtime_messages_total", "outcome")],
            unit="reqps",
            rare=True,
        ),
        Panel(
            title="Overdue releases",
            text="How long what is due has not been released.",
            queries=[most("notifications_release_overdue_seconds", "channel")],
            unit="s",
        ),
    ],
)
_BASE = Row(
    "What it stands on",
    [
        Panel(
            title="Dependencies",
            text="0: a service cannot reach it.",
            queries=[Query("min by (dependency) (notifications_dependency_up)", "{{dependency}}")],
        ),
        Panel(
            title="Balance",
            text="accepted = terminal + waiting + in flight + unaccounted.",
            queries=[most("notifications_accounts", "state")],
        ),
        Panel(
            title="Certificates and keys end",
            text="Only what has an end: certificates in the settings, API keys.",
            queries=[
                Query(
                    "min by (credential) (notifications_credential_expiry_timestamp_seconds) * 1000", "{{credential}}"
                )
            ],
            kind="stat",
            unit="dateTimeFromNow",
            rare=True,
        ),
        Panel(
            title="Dead letters by topic",
            text="Open ones.",
            queries=[most("notifications_dlq_depth", "topic")],
        ),
        Panel(
            title="In flight",
            text="Taken from Kafka and not finished, by topic.",
            queries=[total("notifications_in_flight", "topic")],
        ),
        Panel(
            title="Circuits",
            text="0 in use, 1 a probe is out, 2 paused.",
            queries=[most("notifications_circuit_state", "provider")],
            limit=1,
        ),
    ],
)

OVERVIEW = Dashboard(
    uid="notifications-overview",
    title="Notifications: overview",
    text="Is everybody told, in time, and does all add up?",
    rows=[_NOW, _FLOW, _EDGES, _BASE],
)
