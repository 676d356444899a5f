"""Which mail providers there are, by name."""

from collections.abc import Callable

from pipeline.config import ProviderSettings
from pipeline.providers import mailgun, sendgrid, ses_table, smtp_table
from pipeline.providers.mail import MailProvider
from pipeline.providers.mailgun import Mailgun
from pipeline.providers.sendgrid import SendGrid
from pipeline.providers.ses import Ses
from pipeline.providers.smtp import Smtp

OpenMailer = Callable[[ProviderSettings, float], MailProvider]
"""Settings and the time in seconds that a send may take; raises `ConfigurationError` where a setting is missing."""

MAILERS: dict[str, OpenMailer] = {
    smtp_table.NAME: lambda settings, timeout: Smtp(settings.smtp, timeout=timeout),
    ses_table.NAME: lambda settings, timeout: Ses(settings.ses, timeout=timeout),
    sendgrid.NAME: lambda settings, timeout: SendGrid(settings.sendgrid, timeout=timeout),
    mailgun.NAME: lambda settings, timeout: Mailgun(settings.mailgun, timeout=timeout),
}


def open_mailer(name: str, settings: ProviderSettings, *, timeout: float) -> MailProvider:
    """The provider `name`, not yet started.

    Raises:
        ConfigurationError: its settings are incomplete.
        KeyError: there is no such provider.
    """
    return MAILERS[name](settings, timeout)
