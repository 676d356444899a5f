"""Realistic events from a seed: what a shop's services would ask to be told to its users. Pure.

The types are those of ``examples/catalogue.yaml``. The same seed and users give the same events.
"""

import random
from collections.abc import Callable, Sequence

import msgspec

from pipeline.events.records import NotificationRequested
from pipeline.events.vocabulary import Channel, Kind, Priority

Json = dict[str, object]

FIRST_NAMES = ("Ada", "Grace", "Zoë", "Jörg", "Nguyễn", "Fatima", "<b>Bob</b>", "Søren", "李雷", "O'Neil & Sons")
PRODUCTS = ("Espresso beans", "Rain jacket", "Desk lamp", "Mechanical keyboard", "Café filter № 4", "Bike light")
CITIES = ("Lisbon", "Nairobi", "Osaka", "Toronto", "Kraków", "São Paulo")


class Traffic:
    """An endless stream of events for `users`.

    `duplicates` and `cancels` are the shares (0..1) of events that repeat an earlier one's idempotency key, or take an
    earlier one back.
    """

    def __init__(self, users: Sequence[str], seed: int, *, duplicates: float = 0.02, cancels: float = 0.01) -> None:
        self._users = users
        self._random = random.Random(seed)
        self._tag = f"{seed:x}"
        self._duplicates = duplicates
        self._cancels = cancels
        self._recent: list[NotificationRequested] = []
        self._number = 0

    def next(self, now: int) -> NotificationRequested:
        """The next event, created at `now` (ms)."""
        self._number += 1
        chance = self._random.random()
        if self._recent and chance < self._duplicates:
            return msgspec.structs.replace(self._pick(), event_id=self._event_id(), created_at=now)
        if self._recent and chance < self._duplicates + self._cancels:
            return msgspec.structs.replace(
                self._pick(), event_id=self._event_id(), created_at=now, kind=Kind.CANCEL, data="{}"
            )
        event = self._fresh(now)
        self._recent.append(event)
        del self._recent[:-200]
        return event

    def _pick(self) -> NotificationRequested:
        return self._random.choice(self._recent)

    def _event_id(self) -> str:
        return f"evt_{self._tag}_{self._number}"

    def _fresh(self, now: int) -> NotificationRequested:
        make = self._random.choices(_MAKERS, _WEIGHTS)[0]
        event_type, source, channels, priority, data = make(self._random)
        return NotificationRequested(
            event_id=self._event_id(),
            event_type=event_type,
            recipient_id=self._random.choice(self._users),
            channels=channels,
            priority=priority,
            data=msgspec.json.encode(data).decode(),
            idempotency_key=f"{event_type}_{self._tag}_{self._number}",
            created_at=now,
            source=source,
        )


Made = tuple[str, str, list[Channel], Priority | None, Json]


def _order_confirmed(rnd: random.Random) -> Made:
    items = [
        {"name": rnd.choice(PRODUCTS), "quantity": rnd.randint(1, 3), "price": f"{rnd.randint(3, 200)}.90"}
        for _ in range(rnd.randint(1, 4))
    ]
    data: Json = {"order_id": _order(rnd), "items": items, "total": f"{rnd.randint(5, 900)}.00 EUR"}
    return "order.confirmed", "orders", [Channel.EMAIL, Channel.IN_APP], None, data


def _order_shipped(rnd: random.Random) -> Made:
    order = _order(rnd)
    data: Json = {"order_id": order, "tracking_url": f"https://example.com/track/{order}"}
    return "order.shipped", "logistics", [Channel.PUSH, Channel.EMAIL, Channel.IN_APP], Priority.HIGH, data


def _payment_failed(rnd: random.Random) -> Made:
    data: Json = {"order_id": _order(rnd), "amount": f"{rnd.randint(5, 900)}.00 EUR", "reason": "card_declined"}
    return "payment.failed", "payments", [Channel.PUSH, Channel.EMAIL, Channel.SMS], None, data


def _login(rnd: random.Random) -> Made:
    data: Json = {"device": "Firefox on Linux", "city": rnd.choice(CITIES), "ip": f"203.0.113.{rnd.randint(1, 254)}"}
    return "security.login_new_device", "identity", [], Priority.CRITICAL, data


def _comment(rnd: random.Random) -> Made:
    data: Json = {
        "author": rnd.choice(FIRST_NAMES),
        "text": "Looks <em>great</em> & ships fast",
        "post_id": str(rnd.randint(1, 99)),
    }
    return "social.comment", "community", [Channel.PUSH, Channel.IN_APP], None, data


def _newsletter(rnd: random.Random) -> Made:
    data: Json = {
        "title": f"News from {rnd.choice(CITIES)}",
        "summary": "What is new this week",
        "url": "https://example.com/news",
    }
    return "marketing.newsletter", "campaigns", [Channel.EMAIL], Priority.LOW, data


def _order(rnd: random.Random) -> str:
    return f"ORD-{rnd.randint(100_000, 999_999)}"


_MAKERS: tuple[Callable[[random.Random], Made], ...] = (
    _order_confirmed,
    _order_shipped,
    _payment_failed,
    _login,
    _comment,
    _newsletter,
)
_WEIGHTS = (25, 30, 8, 7, 20, 10)
