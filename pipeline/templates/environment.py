"""The Jinja2 environments: sandboxed, strict about undefined names, escaping by what is rendered."""

from pathlib import Path
from urllib.parse import urlsplit

from jinja2 import FileSystemLoader, StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment


def html_environment(root: Path) -> ImmutableSandboxedEnvironment:
    """For mail: every value is escaped, also in what a template includes or imports."""
    return _environment(root, escape=True)


def text_environment(root: Path) -> ImmutableSandboxedEnvironment:
    """For everything that is not HTML. A line that holds only a tag leaves no empty line behind."""
    environment = _environment(root, escape=False)
    environment.trim_blocks = True
    environment.lstrip_blocks = True
    return environment


def _environment(root: Path, *, escape: bool) -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        loader=FileSystemLoader(root), undefined=StrictUndefined, autoescape=escape, auto_reload=False, cache_size=-1
    )
    environment.filters["web_link"] = web_link
    return environment


def web_link(value: object) -> str:
    """The value if it is an http or https URL, else the empty string: no ``javascript:`` from data in a link."""
    text = str(value).strip()
    try:
        parts = urlsplit(text)
    except ValueError:
        return ""
    return text if parts.scheme in {"http", "https"} and parts.netloc else ""
