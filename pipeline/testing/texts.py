"""An SMS as the SMS channel hands it to a provider, for tests of providers."""

from urllib.parse import quote

from pipeline.channels.segments import is_gsm
from pipeline.providers.sms import SmsMessage


def sample_sms(
    notification_id: str = "n1",
    to: str = "+15005550006",
    *,
    sender: str = "+15005550006",
    text: str = "hello",
    stream: str = "transactional",
    provider: str = "twilio",
    public_url: str = "https://notify.example.com",
    ttl: int | None = None,
) -> SmsMessage:
    """An SMS with the callback that the gateway has for `provider` at `public_url`."""
    callback = f"{public_url}/v1/webhooks/{provider}?notification_id={quote(notification_id)}"
    return SmsMessage(to, text, is_gsm(text), sender, notification_id, callback, stream, ttl)
