"""Renders a dispatch for one channel; what cannot be rendered is `Refused`, with the reason for the status record."""

from pipeline.channels.base import Refused
from pipeline.errors import MalformedRecord, TemplateError
from pipeline.events.records import Dispatch
from pipeline.events.vocabulary import Channel, Reason
from pipeline.templates.context import render_context
from pipeline.templates.layout import DEFAULT_LOCALE
from pipeline.templates.store import TemplateStore
from pipeline.users.snapshot import UserSnapshot


class Renderer:
    """The templates of one channel."""

    def __init__(self, templates: TemplateStore, channel: Channel) -> None:
        self._templates = templates
        self._channel = channel

    def render(self, dispatch: Dispatch, user: UserSnapshot, extra: dict[str, object] | None = None) -> dict[str, str]:
        """Each part's text, in the event's locale or else the user's. `extra` are further variables.

        Raises:
            Refused: no such template, or it cannot be rendered with this data.
        """
        locale = dispatch.event.locale or user.locale or DEFAULT_LOCALE
        try:
            context = render_context(dispatch.event, locale)
            if extra:
                context.update(extra)
            return self._templates.find(dispatch.template, self._channel, locale).render(context)
        except TemplateError as error:
            raise Refused(Reason.TEMPLATE_ERROR, str(error)) from error
        except MalformedRecord as error:
            raise Refused(Reason.MALFORMED, str(error)) from error


def one_line(text: str) -> str:
    """On one line, without control characters: for titles, subjects and header values."""
    line = " ".join(text.split())
    return line if line.isprintable() else " ".join("".join(c for c in line if c >= " " and c != "\x7f").split())
