"""Which files make a template: pure functions over names."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from pipeline.events.vocabulary import Channel

DEFAULT_LOCALE = "en"


class Part(NamedTuple):
    """One file of a channel's template: `name` is what the channel reads, `file` its name in the locale's folder."""

    name: str
    file: str
    required: bool = True


PARTS: dict[Channel, tuple[Part, ...]] = {
    Channel.PUSH: (Part("title", "push.title.txt"), Part("body", "push.body.txt")),
    Channel.EMAIL: (
        Part("subject", "email.subject.txt"),
        Part("html", "email.mjml"),
        Part("text", "email.txt", required=False),
    ),
    Channel.SMS: (Part("text", "sms.txt"),),
    Channel.IN_APP: (
        Part("title", "in_app.title.txt"),
        Part("body", "in_app.body.txt"),
        Part("link", "in_app.link.txt", required=False),
    ),
}


def canonical_locale(locale: str) -> str:
    """``de_AT`` and ``DE-at`` name the same locale."""
    return locale.replace("_", "-").lower()


def fallbacks(locale: str | None) -> Iterator[str]:
    """The locales to try, best first: ``zh-Hant-TW`` → ``zh-hant-tw``, ``zh-hant``, ``zh``, then the default."""
    wanted = canonical_locale(locale) if locale else ""
    while wanted:
        yield wanted
        wanted = wanted.rpartition("-")[0]
    yield DEFAULT_LOCALE


def split_version(name: str) -> tuple[str, int]:
    """``order_shipped@2`` is version 2; a folder without a number is version 0."""
    base, at, number = name.partition("@")
    return (base, int(number)) if at and number.isascii() and number.isdigit() else (name, 0)


def latest_versions(names: Iterable[str]) -> dict[str, str]:
    """For each name without its version, the name of its highest version."""
    latest: dict[str, str] = {}
    for name in sorted(set(names), key=split_version):
        latest[split_version(name)[0]] = name
    return latest
