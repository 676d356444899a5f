"""Renders pages: one file each, without scripts and without anything from elsewhere."""

import base64
import hashlib
from collections.abc import Sequence
from importlib.resources import files

from aiohttp import web
from jinja2 import Environment, PackageLoader, StrictUndefined

from pipeline.gateway.pages.texts import Voice

_STYLE = files(__package__).joinpath("html", "page.css").read_text(encoding="utf-8")
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Nothing is loaded and nothing is run; forms go back to where the page came from."""


class PageRenderer:
    """The templates, compiled when they are first used. Everything that is filled in is escaped."""

    def __init__(self) -> None:
        self._templates = Environment(
            loader=PackageLoader(__package__, "html"), autoescape=True, undefined=StrictUndefined, auto_reload=False
        )

    def page(self, name: str, say: Voice, title: str, status: int = 200, **values: object) -> web.Response:
        """The page of that name. Its address is a secret, so no other page is told it."""
        text = self._templates.get_template(f"{name}.html").render(say=say, title=title, style=_STYLE, **values)
        headers = {"Content-Security-Policy": POLICY, "Content-Language": say.locale, "X-Robots-Tag": "noindex"}
        return web.Response(text=text, status=status, content_type="text/html", headers=headers)

    def message(self, say: Voice, title: str, paragraphs: Sequence[str], status: int = 200) -> web.Response:
        """A page that only says something."""
        return self.page("message", say, title, status, paragraphs=paragraphs)
