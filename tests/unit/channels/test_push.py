import json
from collections.abc import Callable, Sequence
from dataclasses import replace

import msgspec
import pytest

from pipeline.channels.base import Refused
from pipeline.channels.push import MAX_DEVICES, PushPart, PushSender
from pipeline.channels.push_routes import PushRoutes
from pipeline.channels.rendering import Renderer
from pipeline.events.records import Dispatch
from pipeline.events.vocabulary import Channel, Priority, Reason
from pipeline.providers.base import Outcome, SendResult
from pipeline.providers.fcm_message import MAX_PAYLOAD, device_body, open_body
from pipeline.providers.push_message import PushMessage, PushRequest, TooLarge
from pipeline.users.snapshot import Device, UserSnapshot
from pipeline.users.synthetic import apns_token, fcm_token, web_subscription

NOW = 1_771_840_800.0


class Provider:
    """Makes requests as FCM does, unless the message is larger than `limit`; accepts all."""

    def __init__(self, name: str = "fcm", limit: int = MAX_PAYLOAD) -> None:
        self.name = name
        self.limit = limit
        self.sent: list[str] = []

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    def prepare(self, message: PushMessage, devices: Sequence[Device]) -> list[PushRequest]:
        opened = open_body(message)
        if len(opened) > self.limit:
            raise TooLarge(self.name, len(opened), self.limit)
        return [PushRequest(device, device_body(opened, device.token)) for device in devices]

    async def send(self, request: PushRequest) -> SendResult:
        self.sent.append(request.device.id)
        return SendResult(outcome=Outcome.ACCEPTED, provider=self.name)


class Registry:
    def __init__(self) -> None:
        self.pruned: list[tuple[str, str, str, str | None, float | None]] = []

    async def prune(
        self,
        user_id: str,
        device_id: str,
        reason: str,
        *,
        token: str | None = None,
        dead_since: float | None = None,
    ) -> None:
        self.pruned.append((user_id, device_id, reason, token, dead_since))


@pytest.fixture
def registry() -> Registry:
    return Registry()


@pytest.fixture
def sender(renderer: Callable[[Channel], Renderer], registry: Registry) -> PushSender:
    return PushSender(renderer(Channel.PUSH), PushRoutes(fcm=Provider()), registry, clock=lambda: NOW)


def message(sender: PushSender, dispatch: Dispatch, user: UserSnapshot) -> dict[str, dict[str, object]]:
    payload = sender.prepare(dispatch, user)[0].payload
    assert isinstance(payload, PushPart)
    assert payload.request
    sent = msgspec.json.decode(payload.request.body)["message"]
    del sent["token"]
    return msgspec.convert(sent, dict[str, dict[str, object]])


def headers(message: dict[str, dict[str, object]], platform: str) -> dict[str, str]:
    return msgspec.convert(message[platform]["headers"], dict[str, str])


def test_each_device_is_a_part_of_its_own_that_a_restart_recognises(
    sender: PushSender, make_dispatch: Callable[..., Dispatch], user: UserSnapshot
) -> None:
    parts = sender.prepare(make_dispatch(Channel.PUSH), user)
    assert [part.key for part in parts] == ["phone", "tablet"]
    payloads = [part.payload for part in parts if isinstance(part.payload, PushPart)]
    bodies = [json.loads(payload.request.body) for payload in payloads if payload.request]
    assert [body["message"].pop("token") for body in bodies] == ["token-1", "token-2"]
    assert bodies[0] == bodies[1]


def test_every_message_can_be_traced_to_its_notification(
    sender: PushSender, make_dispatch: Callable[..., Dispatch], user: UserSnapshot
) -> None:
    dispatch = make_dispatch(Channel.PUSH)
    assert message(sender, dispatch, user)["data"] == {
        "notification_id": dispatch.notification_id,
        "event_type": "order.shipped",
    }


@pytest.mark.parametrize(("priority", "urgent"), [(p, p in {Priority.CRITICAL, Priority.HIGH}) for p in Priority])
def test_only_what_is_urgent_wakes_the_device(
    sender: PushSender, make_dispatch: Callable[..., Dispatch], user: UserSnapshot, priority: Priority, urgent: bool
) -> None:
    sent = message(sender, make_dispatch(Channel.PUSH, priority=priority), user)
    assert sent["android"]["priority"] == ("high" if urgent else "normal")
    assert headers(sent, "apns")["apns-priority"] == ("10" if urgent else "5")
    assert headers(sent, "webpush")["Urgency"] == ("high" if urgent else "normal")


def test_the_collapse_key_replaces_on_every_platform(
    sender: PushSender, make_dispatch: Callable[..., Dispatch], user: UserSnapshot
) -> None:
    sent = message(sender, make_dispatch(Channel.PUSH, collapse_key="order-1"), user)
    assert sent["android"]["collapse_key"] == "order-1"
    assert sent["android"]["notification"] == {"tag": "order-1"}
    assert headers(sent, "apns")["apns-collapse-id"] == "order-1"
    assert headers(sent, "webpush")["Topic"] == "order-1"


@pytest.mark.parametrize("key", ["x" * 255, "Zoë", "a b", "order:1", ""])
def test_a_collapse_key_that_a_platform_would_refuse_is_hashed_for_it(
    sender: PushSender, make_dispatch: Callable[..., Dispatch], user: UserSnapshot, key: str
) -> None:
    sent = message(sender, make_dispatch(Channel.PUSH, collapse_key=key), user)
    assert 0 < len(headers(sent, "apns")["apns-collapse-id"].encode()) <= 64
    topic = headers(sent, "webpush")["Topic"]
    assert 0 < len(topic) <= 32
    assert topic.replace("-", "").replace("_", "").isalnum()
    assert topic.isascii()


def test_without_a_collapse_key_a_repeated_send_replaces_itself(
    sender: PushSender, make_dispatch: Callable[..., Dispatch], user: UserSnapshot
) -> None:
    dispatch = make_dispatch(Channel.PUSH)
    sent = message(sender, dispatch, user)
    assert "collapse_key" not in sent["android"]
    assert sent["android"]["notification"] == {"tag": dispatch.notification_id}
    assert headers(sent, "apns")["apns-collapse-id"] == dispatch.notification_id


@pytest.mark.parametrize(("expires_in", "ttl"), [(90, 90), (-5, 0), (90 * 86_400, 28 * 86_400)])
def test_the_platforms_drop_it_when_it_expires(
    sender: PushSender, make_dispatch: Callable[..., Dispatch], user: UserSnapshot, expires_in: int, ttl: int
) -> None:
    expires_at = int(NOW) + expires_in
    sent = message(sender, make_dispatch(Channel.PUSH, expires_at=expires_at * 1000), user)
    assert sent["android"]["ttl"] == f"{ttl}s"
    assert headers(sent, "webpush")["TTL"] == str(ttl)
    assert headers(sent, "apns")["apns-expiration"] == str(expires_at)


def test_too_large_a_message_is_refused_and_says_how_large(
    sender: PushSender, make_dispatch: Callable[..., Dispatch], user: UserSnapshot
) -> None:
    with pytest.raises(Refused) as refused:
        sender.prepare(make_dispatch(Channel.PUSH, data=json.dumps({"text": "x" * 4000})), user)
    assert refused.value.reason is Reason.TOO_LARGE
    assert "4096" in refused.value.detail


def test_a_user_without_devices_is_refused(sender: PushSender, make_dispatch: Callable[..., Dispatch]) -> None:
    with pytest.raises(Refused) as refused:
        sender.prepare(make_dispatch(Channel.PUSH), UserSnapshot(user_id="u", version=1, known=True))
    assert refused.value.reason is Reason.NO_ADDRESS


def test_more_devices_than_a_multicast_takes_are_left_out(
    sender: PushSender, make_dispatch: Callable[..., Dispatch]
) -> None:
    devices = [Device(f"d{n}", "android", f"t{n}") for n in range(MAX_DEVICES + 1)]
    user = UserSnapshot(user_id="u", version=1, known=True, devices=devices)
    assert len(sender.prepare(make_dispatch(Channel.PUSH), user)) == MAX_DEVICES


async def test_pruning_names_the_refused_token_so_that_a_fresh_one_survives(
    sender: PushSender, registry: Registry, make_dispatch: Callable[..., Dispatch], user: UserSnapshot
) -> None:
    dispatch = make_dispatch(Channel.PUSH)
    result = SendResult(outcome=Outcome.INVALID_RECIPIENT, provider="fcm", error="UNREGISTERED", dead_since=5.0)
    await sender.prune(dispatch, sender.prepare(dispatch, user)[1], result)
    assert registry.pruned == [("user_1", "tablet", "UNREGISTERED", "token-2", 5.0)]


APPLE, BROWSER = apns_token("u", "phone"), web_subscription("u", "browser")


@pytest.mark.parametrize(
    ("platform", "token", "accounts", "served_by"),
    [
        ("android", fcm_token("u", "d"), "fcm apns webpush", "fcm"),
        ("ios", APPLE, "fcm apns webpush", "apns"),
        ("ios", APPLE.upper(), "apns", "apns"),
        ("ios", APPLE, "fcm webpush", "fcm"),
        ("ios", fcm_token("u", "d"), "fcm apns webpush", "fcm"),
        ("ios", fcm_token("u", "d"), "apns", None),
        ("web", BROWSER, "fcm apns webpush", "webpush"),
        ("web", fcm_token("u", "d"), "fcm apns webpush", "fcm"),
        ("web", BROWSER, "fcm apns", None),
        ("android", fcm_token("u", "d"), "apns webpush", None),
    ],
)
def test_each_device_goes_to_the_provider_that_knows_its_token(
    platform: str, token: str, accounts: str, served_by: str | None
) -> None:
    routes = PushRoutes(**{name: Provider(name) for name in accounts.split()})
    provider = routes.of(Device("d", platform, token))
    assert (provider.name if provider else None) == served_by


def mixed(sender_renderer: Renderer, registry: Registry, **accounts: Provider) -> tuple[PushSender, UserSnapshot]:
    devices = [Device("droid", "android", "t"), Device("phone", "ios", APPLE), Device("browser", "web", BROWSER)]
    user = UserSnapshot(user_id="user_1", version=1, known=True, devices=devices)
    return PushSender(sender_renderer, PushRoutes(**accounts), registry, clock=lambda: NOW), user


async def test_a_device_without_an_account_fails_alone_and_says_so(
    renderer: Callable[[Channel], Renderer], registry: Registry, make_dispatch: Callable[..., Dispatch]
) -> None:
    fcm, apns = Provider("fcm"), Provider("apns")
    sender, user = mixed(renderer(Channel.PUSH), registry, fcm=fcm, apns=apns)
    dispatch = make_dispatch(Channel.PUSH)
    parts = sender.prepare(dispatch, user)
    results = {part.key: await sender.send(dispatch, part) for part in parts}
    assert (fcm.sent, apns.sent) == (["droid"], ["phone"])
    assert (results["browser"].outcome, results["browser"].error) == (Outcome.CONFIGURATION, "no_account")


@pytest.mark.parametrize(("accounts", "pruned"), [({"fcm"}, False), ({"fcm", "apns"}, True)])
async def test_that_fcm_does_not_know_an_apple_device_prunes_nothing_whatever_the_account_is_called(
    renderer: Callable[[Channel], Renderer],
    registry: Registry,
    make_dispatch: Callable[..., Dispatch],
    accounts: set[str],
    pruned: bool,
) -> None:
    sender, user = mixed(renderer(Channel.PUSH), registry, **{name: Provider(name) for name in accounts})
    dispatch = make_dispatch(Channel.PUSH)
    parts = {part.key: part for part in sender.prepare(dispatch, user)}
    result = SendResult(outcome=Outcome.INVALID_RECIPIENT, provider="fcm", error="UNREGISTERED")
    await sender.prune(dispatch, parts["phone"], replace(result, provider="a-name-of-its-own"))
    assert bool(registry.pruned) is pruned


def test_without_an_account_for_any_device_it_waits_for_a_person(
    renderer: Callable[[Channel], Renderer], registry: Registry, make_dispatch: Callable[..., Dispatch]
) -> None:
    sender, user = mixed(renderer(Channel.PUSH), registry, webpush=Provider("webpush"))
    phone_only = UserSnapshot(user_id="u", version=1, known=True, devices=user.devices[:2])
    with pytest.raises(Refused) as refused:
        sender.prepare(make_dispatch(Channel.PUSH), phone_only)
    assert refused.value.reason is Reason.PROVIDER_CONFIGURATION
    assert "providers.fcm" in refused.value.detail


async def test_what_one_provider_finds_too_large_still_reaches_the_devices_of_the_others(
    renderer: Callable[[Channel], Renderer], registry: Registry, make_dispatch: Callable[..., Dispatch]
) -> None:
    accounts = {"fcm": Provider("fcm"), "apns": Provider("apns"), "webpush": Provider("webpush", limit=10)}
    sender, user = mixed(renderer(Channel.PUSH), registry, **accounts)
    dispatch = make_dispatch(Channel.PUSH)
    results = {part.key: await sender.send(dispatch, part) for part in sender.prepare(dispatch, user)}
    assert [key for key, result in results.items() if result.outcome is Outcome.ACCEPTED] == ["droid", "phone"]
    assert (results["browser"].outcome, results["browser"].error) == (Outcome.PERMANENT, "too_large")
