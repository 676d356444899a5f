"""Every metric there is: names, labels, buckets. Labels have a bounded set of values: never a user, an id, free text."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600)
BATCH_BUCKETS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000)


class Metrics:
    """One registry a process; services and tests each make their own."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        r = self.registry
        self.events_routed = Counter("notifications_events_total", "Ingest records decided.", ["outcome"], registry=r)
        self.dispatched = Counter(
            "notifications_dispatched_total",
            "Notifications handed to a channel.",
            ["channel", "priority"],
            registry=r,
        )
        self.suppressed = Counter(
            "notifications_suppressed_total", "Notifications held back.", ["channel", "reason"], registry=r
        )
        self.deferred = Counter(
            "notifications_deferred_total", "Notifications that wait.", ["channel", "reason"], registry=r
        )
        self.released = Counter(
            "notifications_released_total", "Notifications whose wait is over.", ["channel", "reason"], registry=r
        )
        self.release_overdue = Gauge(
            "notifications_release_overdue_seconds",
            "How long ago the wait ended that has been over for longest and is not released; 0: none.",
            ["channel"],
            registry=r,
        )
        self.release_delay = Histogram(
            "notifications_release_delay_seconds",
            "From the end of a wait to its release.",
            ["channel"],
            buckets=LATENCY_BUCKETS,
            registry=r,
        )
        self.digests = Counter(
            "notifications_digests_total", "Digests sent to the ingest topic.", ["channel"], registry=r
        )
        self.delivered = Counter(
            "notifications_delivered_total",
            "Outcomes of delivery; status `success` is `sent`.",
            ["channel", "priority", "status"],
            registry=r,
        )
        self.retries = Counter("notifications_retries_total", "Sends tried again.", ["channel", "reason"], registry=r)
        self.in_doubt = Counter("notifications_in_doubt_total", "Sends whose answer was lost.", ["channel"], registry=r)
        self.throttle_waits = Counter(
            "notifications_throttle_waits_total", "Waits that a provider asked for.", ["provider"], registry=r
        )
        self.dead_lettered = Counter(
            "notifications_dead_lettered_total",
            "Records given to a dead-letter topic.",
            ["topic", "reason"],
            registry=r,
        )
        self.dlq_depth = Gauge(
            "notifications_dlq_depth", "Dead letters that nobody has replayed or dropped.", ["topic"], registry=r
        )
        self.consumer_lag = Gauge(
            "notifications_consumer_lag", "Records not yet finished.", ["group", "topic"], registry=r
        )
        self.consumer_lag_seconds = Gauge(
            "notifications_consumer_lag_seconds",
            "Age of the oldest record not yet finished; 0: none.",
            ["group", "topic"],
            registry=r,
        )
        self.in_flight = Gauge("notifications_in_flight", "Records taken and not finished.", ["topic"], registry=r)
        self.lanes_parked = Gauge(
            "notifications_lanes_parked",
            "Users whose first notification waits: a backoff, a throttle, a look-up, another holder.",
            ["topic"],
            registry=r,
        )
        self.ledger_calls = Gauge(
            "notifications_ledger_calls", "Moves of the ledger that Redis has not answered.", ["topic"], registry=r
        )
        self.producer_buffered = Gauge(
            "notifications_producer_buffered",
            "Records handed to the Kafka producer and not acknowledged; bounded, then the work waits.",
            registry=r,
        )
        self.waiting_for_users = Gauge(
            "notifications_waiting_for_users",
            "Events not decided because their recipient cannot be looked up now.",
            registry=r,
        )
        self.partitions_held = Gauge(
            "notifications_partitions_held",
            "Partitions that take in nothing new: what has finished out of order has no more room beside the offset.",
            ["topic"],
            registry=r,
        )
        self.router_batch = Histogram(
            "notifications_router_batch_records",
            "Ingest records decided together.",
            buckets=BATCH_BUCKETS,
            registry=r,
        )
        self.router_seconds = Histogram(
            "notifications_router_batch_seconds",
            "Time a batch took: decide (stores included), acknowledge (until Kafka has all that follows from it).",
            ["step"],
            buckets=LATENCY_BUCKETS,
            registry=r,
        )
        self.router_partitions = Gauge(
            "notifications_router_partitions", "Partitions of the ingest topic that this router has.", registry=r
        )
        self.rebalances = Counter(
            "notifications_rebalances_total", "Times that a group's partitions were dealt anew.", ["topic"], registry=r
        )
        self.kafka_brokers_up = Gauge(
            "notifications_kafka_brokers_up", "Brokers that a client is connected to.", ["client"], registry=r
        )
        self.kafka_request_p99 = Gauge(
            "notifications_kafka_request_p99_seconds",
            "99th percentile of a client's round trips, of its slowest broker; a reader's hold the wait for records.",
            ["client"],
            registry=r,
        )
        self.kafka_throttle = Gauge(
            "notifications_kafka_throttle_seconds",
            "Longest time for which a broker held a client back because of a quota.",
            ["client"],
            registry=r,
        )
        self.kafka_queued = Gauge(
            "notifications_kafka_queued_records",
            "Records in a client's own queue: produced and not acknowledged, or fetched and not taken.",
            ["client"],
            registry=r,
        )
        self.kafka_records = Counter(
            "notifications_kafka_records_total",
            "Records that a client exchanged with its brokers; direction is sent or received.",
            ["client", "direction"],
            registry=r,
        )
        self.kafka_bytes = Counter(
            "notifications_kafka_bytes_total",
            "Bytes that a client exchanged with its brokers; direction is sent or received.",
            ["client", "direction"],
            registry=r,
        )
        self.kafka_request_errors = Counter(
            "notifications_kafka_request_errors_total",
            "Requests of a client that went wrong: not sent, answered with an error, timed out, repeated.",
            ["client", "kind"],
            registry=r,
        )
        self.cache_reads = Counter(
            "notifications_cache_reads_total",
            "User snapshots looked up, by where they were found.",
            ["result"],
            registry=r,
        )
        self.provider_seconds = Histogram(
            "notifications_provider_seconds",
            "Time a provider took to answer.",
            ["provider", "outcome"],
            buckets=LATENCY_BUCKETS,
            registry=r,
        )
        self.provider_errors = Counter(
            "notifications_provider_errors_total",
            "Answers that were not an acceptance, lost answers and failed connections.",
            ["provider", "outcome"],
            registry=r,
        )
        self.circuit_state = Gauge(
            "notifications_circuit_state",
            "An account's circuit: 0 closed (in use), 1 half-open (a probe is out), 2 open (paused).",
            ["provider"],
            registry=r,
        )
        self.failovers = Counter(
            "notifications_failovers_total", "Sends that went on to the next account.", ["provider"], registry=r
        )
        self.limit_waits = Counter(
            "notifications_limit_waits_total", "Sends that waited for a rate limit of ours.", ["limit"], registry=r
        )
        self.ingest_to_dispatch = Histogram(
            "notifications_ingest_to_dispatch_seconds",
            "From the ingest record's time to its decision.",
            buckets=LATENCY_BUCKETS,
            registry=r,
        )
        self.dispatch_to_sent = Histogram(
            "notifications_dispatch_to_sent_seconds",
            "From the decision to the provider's answer.",
            ["channel"],
            buckets=LATENCY_BUCKETS,
            registry=r,
        )
        self.end_to_end = Histogram(
            "notifications_end_to_end_seconds",
            "From the event's time to the provider's answer.",
            ["channel", "priority"],
            buckets=LATENCY_BUCKETS,
            registry=r,
        )
        self.credential_expiry = Gauge(
            "notifications_credential_expiry_timestamp_seconds",
            "When a certificate or token that the service uses ends, in seconds since 1970.",
            ["credential"],
            registry=r,
        )
        self.accounts = Gauge(
            "notifications_accounts",
            "The balance of all notifications as the topics tell it: how many are in each state.",
            ["state"],
            registry=r,
        )
        self.accounts_taken_at = Gauge(
            "notifications_accounts_taken_timestamp_seconds",
            "When the balance was last taken, in seconds since 1970.",
            registry=r,
        )
        self.accounts_seconds = Gauge(
            "notifications_accounts_duration_seconds", "How long it took to take the balance.", registry=r
        )
        self.gateway_seconds = Histogram(
            "notifications_gateway_request_seconds",
            "Time the gateway took to answer.",
            ["route", "status"],
            buckets=LATENCY_BUCKETS,
            registry=r,
        )
        self.gateway_events = Counter(
            "notifications_gateway_events_total",
            "Events that came in over HTTP, by what the gateway said.",
            ["outcome"],
            registry=r,
        )
        self.gateway_in_flight = Gauge(
            "notifications_gateway_in_flight", "Requests under way at the gateway.", registry=r
        )
        self.feedback = Counter(
            "notifications_feedback_total",
            "What came in after a notification was sent: delivered, bounced, complained, opened, clicked, unsubscribed.",
            ["channel", "status"],
            registry=r,
        )
        self.tracked = Counter(
            "notifications_tracking_total",
            "Opens and clicks that came in: told (or known already), opted_out, dropped (too many waited for Kafka).",
            ["status", "outcome"],
            registry=r,
        )
        self.webhooks = Counter(
            "notifications_webhooks_total",
            "What providers told: taken, repeated, unknown (no such notification), ignored (of no interest), refused.",
            ["provider", "outcome"],
            registry=r,
        )
        self.store_records = Counter(
            "notifications_store_records_total",
            "Status records taken over: stored, repeated (known already), rejected (kept apart).",
            ["result"],
            registry=r,
        )
        self.store_partitions_ahead = Gauge(
            "notifications_store_partitions_ahead", "Days ahead for which the store has partitions.", registry=r
        )
        self.store_rows_apart = Gauge(
            "notifications_store_rows_apart",
            "Rows that no daily partition covers: their time is far in the future, or their day is archived.",
            ["dataset"],
            registry=r,
        )
        self.store_archived_rows = Counter(
            "notifications_store_archived_rows_total", "Rows archived, verified and dropped.", ["dataset"], registry=r
        )
        self.store_archive_overdue = Gauge(
            "notifications_store_archive_overdue_days",
            "Days by which the oldest partition is past the age of archiving.",
            registry=r,
        )
        self.realtime_connections = Gauge(
            "notifications_realtime_connections", "Clients connected to this instance.", ["transport"], registry=r
        )
        self.realtime_messages = Counter(
            "notifications_realtime_messages_total",
            "Messages heard on the Redis channel, by whether anybody here was meant: `delivered`, `nobody`, `malformed`.",
            ["outcome"],
            registry=r,
        )
        self.realtime_caught_up = Counter(
            "notifications_realtime_caught_up_total", "Events that clients got out of the inbox.", registry=r
        )
        self.realtime_ended = Counter(
            "notifications_realtime_ended_total",
            "Connections that this side ended: `slow`, `expired`, `drained`.",
            ["reason"],
            registry=r,
        )
        self.realtime_refused = Counter(
            "notifications_realtime_refused_total", "Connections refused, by HTTP status.", ["status"], registry=r
        )
        self.realtime_subscriptions = Counter(
            "notifications_realtime_subscriptions_total",
            "Times that the Redis channel was subscribed to; each has the clients' inboxes looked through.",
            registry=r,
        )
        self.shadow_events = Counter(
            "notifications_shadow_events_total",
            "Events that the shadow router decided under both catalogues: same, changed, unreadable.",
            ["result"],
            registry=r,
        )
        self.shadow_differences = Counter(
            "notifications_shadow_differences_total",
            "Channels of events on which the catalogues differ, by the verdict under each.",
            ["channel", "present", "candidate"],
            registry=r,
        )
        self.dependency_up = Gauge(
            "notifications_dependency_up",
            "Whether Kafka, Redis, PostgreSQL answer.",
            ["dependency"],
            registry=r,
        )
