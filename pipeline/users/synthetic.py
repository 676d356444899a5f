"""Users who do not exist: for demos, benchmarks and tests. All addresses are reserved for fiction."""

import base64
import hashlib
import random

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from pipeline.events.vocabulary import Channel
from pipeline.users.snapshot import EVERY, Device, PreferenceRow, Suppression, UserSnapshot

TOKEN_LENGTH = 152
"""As FCM's registration tokens: 22 characters of the installation, ``:APA91b`` and the rest."""

WEB_PUSH_HOST = "push.example.com"
"""Reserved by RFC 2606: nobody is there."""

PLACES = (
    ("en-US", "America/New_York"),
    ("en-US", "America/Los_Angeles"),
    ("en-GB", "Europe/London"),
    ("de-DE", "Europe/Berlin"),
    ("de-CH", "Europe/Zurich"),
    ("en-IN", "Asia/Kolkata"),
    ("en-NP", "Asia/Kathmandu"),
    ("en-AU", "Australia/Lord_Howe"),
    ("en-NZ", "Pacific/Chatham"),
    ("en-JP", "Asia/Tokyo"),
)
AREA_CODES = ("202", "212", "303", "312", "404", "415", "503", "617", "702", "808")
PLATFORMS = ("android", "android", "ios", "web")
NINE_AT_NIGHT, SEVEN_IN_THE_MORNING = 21 * 3600, 7 * 3600


def generate_users(count: int, seed: int) -> list[UserSnapshot]:
    """`count` users ``user-000000``, ``user-000001``, …; the same for the same `seed`.

    Of a hundred about 95 have mail, 70 a phone, 80 one to three devices, 40 consent to marketing, 30 keep quiet hours,
    10 turned a channel off and 1 has a suppressed mailbox.
    """
    rng = random.Random(seed)
    return [_user(rng, number) for number in range(count)]


def with_own_tokens(user: UserSnapshot) -> UserSnapshot:
    """The same user, Apple devices with tokens of APNs and browsers with subscriptions, rather than all through FCM."""
    make = {"ios": apns_token, "web": web_subscription}
    devices = [
        msgspec.structs.replace(device, token=make.get(device.platform, fcm_token)(user.user_id, device.id))
        for device in user.devices
    ]
    return msgspec.structs.replace(user, devices=devices)


def fcm_token(user_id: str, device_id: str) -> str:
    """A token that looks like one of FCM's, always the same for the same device."""
    seed = f"{user_id}/{device_id}".encode()
    text = base64.urlsafe_b64encode(hashlib.shake_128(seed).digest(TOKEN_LENGTH)).decode()
    head = f"{text[:22]}:APA91b"
    return head + text[22 : 22 + TOKEN_LENGTH - len(head)]


def apns_token(user_id: str, device_id: str) -> str:
    """A token that looks like one of APNs's, always the same for the same device."""
    return hashlib.sha256(f"{user_id}/{device_id}".encode()).hexdigest()


def web_subscription(user_id: str, device_id: str) -> str:
    """A browser's subscription at `WEB_PUSH_HOST`, always the same for the same device."""
    name = hashlib.sha256(f"{user_id}/{device_id}".encode()).hexdigest()
    private, auth = web_push_keys(name)
    point = private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    keys = {"auth": _base64url(auth), "p256dh": _base64url(point)}
    return msgspec.json.encode({"endpoint": f"https://{WEB_PUSH_HOST}/wpush/{name}", "keys": keys}).decode()


def web_push_keys(name: str) -> tuple[ec.EllipticCurvePrivateKey, bytes]:
    """What the browser behind such a subscription keeps: its private key and its secret. Good for fiction only."""
    secret = hashlib.sha512(f"web push {name}".encode()).digest()
    return ec.derive_private_key(int.from_bytes(secret[:31], "big") + 1, ec.SECP256R1()), secret[32:48]


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _user(rng: random.Random, number: int) -> UserSnapshot:
    user_id = f"user-{number:06d}"
    locale, timezone = rng.choice(PLACES)
    email = f"{user_id}@example.com" if rng.random() < 0.95 else None
    devices = rng.choice((1, 1, 2, 3)) if rng.random() < 0.8 else 0
    return UserSnapshot(
        user_id=user_id,
        version=0,
        known=True,
        email=email,
        phone=_phone(rng) if rng.random() < 0.7 else None,
        locale=locale,
        timezone=timezone,
        devices=[_device(rng, user_id, f"device-{i}") for i in range(devices)],
        preferences=_preferences(rng),
        consents=["marketing"] if rng.random() < 0.4 else [],
        suppressions=[Suppression(Channel.EMAIL, EVERY, "bounced", None)] if email and rng.random() < 0.01 else [],
    )


def _phone(rng: random.Random) -> str:
    return f"+1{rng.choice(AREA_CODES)}55501{rng.randrange(100):02d}"


def _device(rng: random.Random, user_id: str, device_id: str) -> Device:
    return Device(id=device_id, platform=rng.choice(PLATFORMS), token=fcm_token(user_id, device_id))


def _preferences(rng: random.Random) -> list[PreferenceRow]:
    rows: list[PreferenceRow] = []
    if rng.random() < 0.3:
        rows.append(PreferenceRow(EVERY, EVERY, None, NINE_AT_NIGHT, SEVEN_IN_THE_MORNING, None))
    if rng.random() < 0.1:
        rows.append(PreferenceRow(rng.choice(list(Channel)), EVERY, False, None, None, None))
    return rows
