"""The settings of e-mail that no provider has a say in."""

from typing import Literal

from pydantic import Field, SecretStr

from pipeline.config.base import Section


class EmailSettings(Section):
    """Senders and links of e-mail."""

    provider: Literal["smtp", "ses", "sendgrid", "mailgun"] = Field("smtp", description="Which account sends it.")
    from_transactional: str = Field("Notifications <notify@mail.example.com>", description="Transactional sender.")
    from_marketing: str = Field("News <news@news.example.com>", description="Marketing sender, its own domain.")
    unsubscribe_secret: SecretStr = Field(
        SecretStr(""), description="Signs unsubscribe links; needed to send marketing mail."
    )
    feedback_sender: str = Field(
        "notifications",
        pattern=r"^[A-Za-z0-9-]{5,15}$",
        description="Last field of `Feedback-ID`: by it mailbox providers count complaints. Never change it.",
    )
