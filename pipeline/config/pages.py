"""Hosted pages, and the tracking of mail."""

from pydantic import Field, SecretStr

from pipeline.config.base import Seconds, Section


class PageSettings(Section):
    """Pages that links in messages lead to. They are signed with `email.unsubscribe_secret`."""

    preference_link_lifetime: Seconds = Field(
        7_776_000, description="How long a link to somebody's preferences is good; an unsubscribe link is for good."
    )


class TrackingSettings(Section):
    """Opens and clicks of mail. The catalogue says which categories are tracked."""

    secret: SecretStr = Field(SecretStr(""), description="Signs pixels and links; empty: no mail is tracked.")
    soonest: Seconds = Field(
        2,
        description="An open or a click earlier than this after the mail was made is a machine's: nobody reads so fast.",
    )
    remembered: Seconds = Field(
        2_592_000, description="How long it is remembered that an open or a click was told, so that it is told once."
    )
