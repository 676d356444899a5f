"""A mail as the e-mail channel hands it to a provider, for tests of providers."""

from pipeline.channels.mail_headers import mail_headers
from pipeline.channels.mime import MailContent, build_mail, parse_sender
from pipeline.providers.mail import MailMessage


def sample_mail(
    notification_id: str = "n1",
    recipient: str = "ada@example.com",
    *,
    sender: str = "Zoë's Shop <shop@mail.example.com>",
    subject: str = "Your order № 1",
    text: str = "hello",
    html: str = "<p>hello</p>",
    stream: str = "transactional",
    pool: str = "",
) -> MailMessage:
    """A complete mail. `pool` empty: that of the stream."""
    parsed = parse_sender(sender)
    assert parsed, f"{sender!r} has no usable address"
    headers = mail_headers(
        notification_id=notification_id,
        sender_domain=parsed.domain,
        category="orders",
        stream=stream,
        feedback_sender="notifications",
        unsubscribe="https://notify.example.com/u/token",
    )
    content = MailContent(recipient, subject, text, html, 1_771_840_800.0, headers)
    return MailMessage(
        sender=parsed.address,
        sender_name=parsed.name,
        recipient=recipient,
        subject=subject,
        text=text,
        html=html,
        headers=headers,
        notification_id=notification_id,
        category="orders",
        stream=stream,
        pool=pool or stream,
        content=build_mail(parsed, content),
    )
