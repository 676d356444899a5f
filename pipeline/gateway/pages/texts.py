"""What hosted pages say, in the reader's language: ours in English and German, the catalogue's in any."""

import string
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files

import yaml

from pipeline.catalogue.checks import did_you_mean
from pipeline.catalogue.model import PageTexts
from pipeline.errors import CatalogueError
from pipeline.templates.layout import DEFAULT_LOCALE, canonical_locale, fallbacks

_BUILT_IN = ("en", "de")
_RIGHT_TO_LEFT = frozenset({"ar", "dv", "fa", "he", "ku", "ps", "ur", "yi"})
_MOST_ACCEPTED = 20

ByLocale = Mapping[str, str]


@dataclass(frozen=True)
class Voice:
    """The texts of one language. Calling it with a text's name fills that in."""

    locale: str
    sender: str
    texts: Mapping[str, str]

    @property
    def direction(self) -> str:
        return "rtl" if self.locale.partition("-")[0] in _RIGHT_TO_LEFT else "ltr"

    def __call__(self, name: str, **values: str) -> str:
        return self.texts[name].format(**values)

    def pick(self, texts: ByLocale, default: str = "") -> str:
        """Of one text by locale the one in this language, else the default language's, else any, else `default`."""
        known = {canonical_locale(locale): text for locale, text in texts.items()}
        found = (known[locale] for locale in fallbacks(self.locale) if locale in known)
        return next(found, next(iter(texts.values()), default))


class Texts:
    """All languages."""

    def __init__(self, pages: PageTexts) -> None:
        """Put the catalogue's texts over ours.

        Raises:
            CatalogueError: it has a text that no page says, or one with a placeholder that is not filled in.
        """
        self._pages = pages
        self._texts = {locale: _built_in(locale) for locale in _BUILT_IN}
        if problems := list(_problems(pages, self._texts[DEFAULT_LOCALE])):
            raise CatalogueError(problems)
        for locale, texts in pages.texts.items():
            name = canonical_locale(locale)
            self._texts[name] = {**self._known(name), **texts}

    def voice(self, wanted: str | None, accepted: str = "") -> Voice:
        """In the language that the reader's profile says, else by their browser's ``Accept-Language``."""
        for locale in [wanted, *accepted_languages(accepted)] if wanted else accepted_languages(accepted):
            for candidate in list(fallbacks(locale))[:-1]:
                if candidate in self._texts:
                    return self._voice(candidate)
        return self._voice(DEFAULT_LOCALE)

    def _voice(self, locale: str) -> Voice:
        silent = Voice(locale, "", self._texts[locale])
        return Voice(locale, silent.pick(self._pages.sender), self._texts[locale])

    def _known(self, locale: str) -> Mapping[str, str]:
        return next(self._texts[candidate] for candidate in fallbacks(locale) if candidate in self._texts)


def accepted_languages(header: str) -> Sequence[str]:
    """The languages of an ``Accept-Language`` header, the best first (RFC 9110, section 12.5.4)."""
    weighed = [_weighed(part) for part in header.split(",")[:_MOST_ACCEPTED]]
    return [tag for weight, tag in sorted(weighed, key=lambda w: -w[0]) if tag and tag != "*" and weight > 0]


def _weighed(part: str) -> tuple[float, str]:
    tag, _, parameter = part.strip().partition(";")
    try:
        return (float(parameter.strip().removeprefix("q=")) if parameter else 1.0), tag.strip()
    except ValueError:
        return 0.0, tag


def _built_in(locale: str) -> Mapping[str, str]:
    text = files(__package__).joinpath("texts", f"{locale}.yaml").read_text(encoding="utf-8")
    texts: dict[str, str] = yaml.safe_load(text)
    return texts


def _problems(pages: PageTexts, known: Mapping[str, str]) -> Iterator[str]:
    for locale, texts in pages.texts.items():
        for name, text in texts.items():
            if name not in known:
                yield f"pages: texts: {locale}: no page says {name!r}{did_you_mean(name, list(known))}"
            elif extra := _placeholders(text) - _placeholders(known[name]):
                yield f"pages: texts: {locale}: {name}: {{{min(extra)}}} is not filled in; write braces twice"


def _placeholders(text: str) -> set[str]:
    try:
        return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}
    except ValueError:
        return {text}
