"""The dashboards of the two machines: the delivery engine and the router."""

from pipeline.observability.boards.panels import Dashboard, Panel, Query, Row
from pipeline.observability.boards.queries import most, percentiles, rate, share, total

_TOPICS = 'topic=~"notifications\\\\.(push|email|sms|in-app)\\\\..+"'

_CLIENTS = Row(
    "Clients of Kafka",
    [
        Panel(
            title="Round trips",
            text="99th percentile of the slowest broker; a reader's hold the wait for records.",
            queries=[most("notifications_kafka_request_p99_seconds", "client")],
            unit="s",
        ),
        Panel(
            title="Queued in the client",
            text="Produced and not acknowledged, or fetched and not taken.",
            queries=[total("notifications_kafka_queued_records", "client")],
        ),
        Panel(
            title="Traffic",
            text="Bytes a second.",
            queries=[rate("notifications_kafka_bytes_total", "direction")],
            unit="Bps",
        ),
        Panel(
            title="Records",
            text="By client, a second.",
            queries=[rate("notifications_kafka_records_total", "client, direction")],
            unit="reqps",
        ),
        Panel(
            title="Requests that went wrong",
            text="By kind, a second.",
            queries=[rate("notifications_kafka_request_errors_total", "kind")],
            unit="reqps",
        ),
        Panel(
            title="Brokers",
            text="The fewest that any process is connected to, and for how long brokers hold clients back.",
            queries=[
                Query("min by (client) (notifications_kafka_brokers_up)", "connected {{client}}"),
                Query("max(notifications_kafka_throttle_seconds)", "throttled, s"),
            ],
        ),
    ],
)

DELIVERY = Dashboard(
    uid="notifications-delivery",
    title="Notifications: delivery engine",
    text="What the workers have in hand, and what they wait for.",
    rows=[
        Row(
            "In hand",
            [
                Panel(
                    title="In flight",
                    text="Taken from Kafka and not finished.",
                    queries=[total("notifications_in_flight", "topic", _TOPICS)],
                ),
                Panel(
                    title="Lanes parked",
                    text="Users whose first notification waits: a backoff, a throttle, a look-up, another holder.",
                    queries=[total("notifications_lanes_parked", "topic", _TOPICS)],
                ),
                Panel(
                    title="Partitions held",
                    text="They take in nothing new: what finished out of order has no more room beside the offset.",
                    queries=[total("notifications_partitions_held", "topic", _TOPICS)],
                    limit=1,
                ),
                Panel(
                    title="Decision to provider",
                    text="By channel.",
                    queries=percentiles("notifications_dispatch_to_sent_seconds", "channel"),
                    unit="s",
                ),
                Panel(
                    title="Retries",
                    text="By channel, a second.",
                    queries=[rate("notifications_retries_total", "channel")],
                    unit="reqps",
                    rare=True,
                ),
                Panel(
                    title="In doubt",
                    text="Sends whose answer was lost, a second.",
                    queries=[rate("notifications_in_doubt_total", "channel")],
                    unit="reqps",
                ),
            ],
        ),
        Row(
            "What it waits for",
            [
                Panel(
                    title="Ledger",
                    text="Moves that Redis has not answered.",
                    queries=[total("notifications_ledger_calls", "topic", _TOPICS)],
                ),
                Panel(
                    title="Producer",
                    text="Records not acknowledged by Kafka.",
                    queries=[Query("sum(notifications_producer_buffered)", "buffered")],
                ),
                Panel(
                    title="Own rate limits",
                    text="Sends that waited for one, a second.",
                    queries=[rate("notifications_limit_waits_total", "limit")],
                    unit="reqps",
                    rare=True,
                ),
                Panel(
                    title="Provider calls",
                    text="By outcome, a second.",
                    queries=[rate("notifications_provider_seconds_count", "outcome")],
                    unit="reqps",
                ),
                Panel(
                    title="Users found in the cache",
                    text="Of those looked up.",
                    queries=[share('notifications_cache_reads_total{result="hit"}', "notifications_cache_reads_total")],
                    unit="percentunit",
                ),
                Panel(
                    title="Rebalances",
                    text="Times that partitions were dealt anew, an hour.",
                    queries=[Query("sum by (topic) (increase(notifications_rebalances_total[1h]))", "{{topic}}")],
                ),
            ],
        ),
        _CLIENTS,
    ],
)

ROUTER = Dashboard(
    uid="notifications-router",
    title="Notifications: router",
    text="From the ingest topic to the channels' topics.",
    rows=[
        Row(
            "Decisions",
            [
                Panel(
                    title="Events",
                    text="Decided and rejected, a second.",
                    queries=[rate("notifications_events_total", "outcome")],
                    unit="reqps",
                ),
                Panel(
                    title="Event to decision",
                    text="From the ingest record's time.",
                    queries=percentiles("notifications_ingest_to_dispatch_seconds"),
                    unit="s",
                ),
                Panel(
                    title="Lag",
                    text="Age of the oldest event without a decision.",
                    queries=[most("notifications_consumer_lag_seconds", "topic", 'topic="notifications.ingest"')],
                    unit="s",
                    limit=60,
                ),
                Panel(
                    title="Dispatched",
                    text="By priority, a second.",
                    queries=[rate("notifications_dispatched_total", "priority")],
                    unit="reqps",
                ),
                Panel(
                    title="Held back",
                    text="By reason, a second.",
                    queries=[rate("notifications_suppressed_total", "reason")],
                    unit="reqps",
                ),
                Panel(
                    title="Deferred",
                    text="By reason, a second.",
                    queries=[rate("notifications_deferred_total", "reason")],
                    unit="reqps",
                    rare=True,
                ),
            ],
        ),
        Row(
            "Batches",
            [
                Panel(
                    title="Records in a batch",
                    text="A router that falls behind takes larger ones.",
                    queries=percentiles("notifications_router_batch_records"),
                ),
                Panel(
                    title="Time of a batch",
                    text="To decide, stores included; and until Kafka has all that follows from it.",
                    queries=percentiles("notifications_router_batch_seconds", "step"),
                    unit="s",
                ),
                Panel(
                    title="In flight",
                    text="Read and not acknowledged.",
                    queries=[total("notifications_in_flight", selector='topic="notifications.ingest"')],
                ),
                Panel(
                    title="Partitions",
                    text="Of the ingest topic, over all routers: fewer than it has means that nobody reads some.",
                    queries=[Query("sum(notifications_router_partitions)", "assigned")],
                ),
                Panel(
                    title="Waiting for users",
                    text="Events whose recipient cannot be looked up now.",
                    queries=[total("notifications_waiting_for_users")],
                    limit=1,
                ),
                Panel(
                    title="Users found in the cache",
                    text="Of those looked up.",
                    queries=[share('notifications_cache_reads_total{result="hit"}', "notifications_cache_reads_total")],
                    unit="percentunit",
                ),
            ],
        ),
    ],
)
