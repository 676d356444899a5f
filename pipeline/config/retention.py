"""How long what was sent to users is kept, by category."""

from typing import Annotated

from pydantic import Field

from pipeline.config.base import Section

Days = Annotated[int, Field(ge=1)]


class RetentionSettings(Section):
    """Days for which notifications are kept, by category; `*`: all categories that are not named. Empty: for good (the
    history until it is archived).
    """

    inbox: dict[str, Days] = Field(
        default_factory=dict, description='What users see in their inbox: `{"marketing": 30, "*": 365}`.'
    )
    history: dict[str, Days] = Field(
        default_factory=dict, description="Statuses and history in PostgreSQL; an archive keeps what was in it by then."
    )
