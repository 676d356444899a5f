"""A dashboard for each channel: from its topics to its providers."""

from collections.abc import Mapping

from pipeline.events.vocabulary import Channel
from pipeline.kafka.names import channel_slug
from pipeline.observability.boards.panels import Dashboard, Panel, Query, Row
from pipeline.observability.boards.queries import most, percentiles, rate, share, total

PROVIDERS: Mapping[Channel, str] = {
    Channel.PUSH: "(fcm|apns|webpush).*",
    Channel.EMAIL: "(smtp|ses|sendgrid|mailgun).*",
    Channel.SMS: "(twilio|vonage|sns).*",
    Channel.IN_APP: "inbox.*",
}
"""How accounts are called unless the settings say otherwise; the dashboards' variable ``provider``."""

_ACCOUNTS = 'provider=~"$provider"'


def board(channel: Channel) -> Dashboard:
    return Dashboard(
        uid=f"notifications-{channel_slug(channel)}",
        title=f"Notifications: {channel_slug(channel)}",
        text="From the channel's topics to its providers.",
        rows=[_outcomes(channel), _waits(channel), _providers(channel)],
        variables=[("provider", "Accounts", PROVIDERS[channel])],
    )


def _outcomes(channel: Channel) -> Row:
    own = f'channel="{channel}"'
    return Row(
        "Outcomes",
        [
            Panel(
                title="Delivery rate",
                text="Of what is dispatched, how much is delivered. More than all: a backlog is worked off.",
                queries=[
                    share(
                        f'notifications_delivered_total{{{own}, status="success"}}',
                        f"notifications_dispatched_total{{{own}}}",
                        "priority",
                        "{{priority}}",
                    )
                ],
                unit="percentunit",
            ),
            Panel(
                title="Outcomes",
                text="A second.",
                queries=[rate("notifications_delivered_total", "status", own)],
                unit="reqps",
            ),
            Panel(
                title="From event to provider",
                text="What was deferred took as long as it had to.",
                queries=percentiles("notifications_end_to_end_seconds", "priority", own),
                unit="s",
            ),
            Panel(
                title="Held back",
                text="By reason, a second.",
                queries=[rate("notifications_suppressed_total", "reason", own)],
                unit="reqps",
                rare=True,
            ),
            Panel(
                title="Deferred",
                text="By reason, a second.",
                queries=[rate("notifications_deferred_total", "reason", own)],
                unit="reqps",
                rare=True,
            ),
            Panel(
                title="What came back",
                text="Told by providers and links after it was sent: delivered, opened, clicked, bounced …, a second.",
                queries=[rate("notifications_feedback_total", "status", own)],
                unit="reqps",
                rare=True,
            ),
            Panel(
                title="Open rate",
                text="Of what was sent, how much is opened; within the time that people take.",
                queries=[
                    Query(
                        f'sum(increase(notifications_feedback_total{{{own}, status="opened"}}[6h]))'
                        f' / sum(increase(notifications_delivered_total{{{own}, status="success"}}[6h]))',
                        "opened",
                    )
                ],
                unit="percentunit",
                rare=True,
            ),
            Panel(
                title="In doubt",
                text="Sends whose answer was lost, a second.",
                queries=[rate("notifications_in_doubt_total", selector=own)],
                unit="reqps",
            ),
        ],
    )


def _waits(channel: Channel) -> Row:
    topics = f'topic=~"notifications\\\\.{channel_slug(channel)}\\\\..+"'
    return Row(
        "Waiting",
        [
            Panel(
                title="Lag by time",
                text="Age of the oldest record that is not finished.",
                queries=[most("notifications_consumer_lag_seconds", "topic", topics)],
                unit="s",
            ),
            Panel(
                title="Lag by count",
                text="Records not finished.",
                queries=[most("notifications_consumer_lag", "topic", topics)],
            ),
            Panel(
                title="In flight and parked",
                text="Taken and not finished; users whose first notification waits.",
                queries=[
                    total("notifications_in_flight", "topic", topics)._replace(legend="in flight {{topic}}"),
                    total("notifications_lanes_parked", "topic", topics)._replace(legend="parked {{topic}}"),
                ],
            ),
            Panel(
                title="Retries",
                text="By reason, a second.",
                queries=[rate("notifications_retries_total", "reason", f'channel="{channel}"')],
                unit="reqps",
                rare=True,
            ),
            Panel(
                title="Dead letters",
                text="Open ones.",
                queries=[
                    most("notifications_dlq_depth", "topic", f'topic="notifications.{channel_slug(channel)}.dlq"')
                ],
                limit=1,
            ),
            Panel(
                title="Dead letters by reason",
                text="A second.",
                queries=[
                    rate(
                        "notifications_dead_lettered_total",
                        "reason",
                        f'topic="notifications.{channel_slug(channel)}.dlq"',
                    )
                ],
                unit="reqps",
                rare=True,
            ),
        ],
    )


def _providers(channel: Channel) -> Row:
    has_circuit = channel is not Channel.IN_APP
    return Row(
        "Providers",
        [
            Panel(
                title="Calls",
                text="By account and outcome, a second.",
                queries=[rate("notifications_provider_seconds_count", "provider, outcome", _ACCOUNTS)],
                unit="reqps",
            ),
            Panel(
                title="Time to answer",
                text="By account.",
                queries=percentiles("notifications_provider_seconds", "provider", _ACCOUNTS),
                unit="s",
            ),
            Panel(
                title="Errors",
                text="Answers that were not an acceptance, lost answers and failed connections, a second.",
                queries=[rate("notifications_provider_errors_total", "provider, outcome", _ACCOUNTS)],
                unit="reqps",
                rare=True,
            ),
            Panel(
                title="Circuits",
                text="0 in use, 1 a probe is out, 2 paused.",
                queries=[most("notifications_circuit_state", "provider", _ACCOUNTS)],
                limit=1,
                rare=not has_circuit,
            ),
            Panel(
                title="Throttled",
                text="Waits that a provider asked for, a second.",
                queries=[rate("notifications_throttle_waits_total", "provider", _ACCOUNTS)],
                unit="reqps",
                rare=True,
            ),
            Panel(
                title="Failovers",
                text="Sends that went on to the next account, a second.",
                queries=[rate("notifications_failovers_total", "provider", _ACCOUNTS)],
                unit="reqps",
                rare=True,
            ),
        ],
    )


CHANNELS = [board(channel) for channel in Channel]
