import re
from importlib.resources import files

import pytest
import yaml

from pipeline.catalogue.model import PageTexts
from pipeline.errors import CatalogueError
from pipeline.gateway.pages.texts import Texts, accepted_languages

LANGUAGES = ("en", "de")


def test_every_text_is_there_in_every_language_with_the_same_placeholders() -> None:
    texts = Texts(PageTexts())
    english = texts.voice("en").texts
    for language in LANGUAGES:
        mine = texts.voice(language).texts
        assert mine.keys() == english.keys()
        for name, text in mine.items():
            assert set(re.findall(r"{(\w+)}", text)) == set(re.findall(r"{(\w+)}", english[name])), name


def test_every_text_that_a_page_says_is_there() -> None:
    root = files("pipeline.gateway.pages")
    known = yaml.safe_load(root.joinpath("texts", "en.yaml").read_text("utf-8"))
    for page in root.joinpath("html").iterdir():
        for name in re.findall(r'say\("(\w+)"', page.read_text("utf-8")):
            assert name in known or f"{name}email" in known, (page.name, name)


@pytest.mark.parametrize(
    ("profile", "browser", "expected"),
    [
        ("de-AT", "en", "de"),
        ("de_AT", "", "de"),
        (None, "fr-CH, fr;q=0.9, de;q=0.7, en;q=0.8", "en"),
        (None, "fr, de;q=0.7", "de"),
        ("fr", "de", "de"),
        ("fr", "it", "en"),
        (None, "", "en"),
        (None, "de;q=x, *;q=0.5, ;;,", "en"),
        (None, "de;q=0", "en"),
    ],
)
def test_the_profile_says_the_language_and_else_the_browser(profile: str | None, browser: str, expected: str) -> None:
    assert Texts(PageTexts()).voice(profile, browser).locale == expected


def test_languages_come_best_first() -> None:
    assert accepted_languages("a;q=0.1,b,c;q=0.5") == ["b", "c", "a"]


def test_the_catalogue_says_it_in_other_words_and_languages() -> None:
    pages = PageTexts(
        sender={"en": "Shop", "de": "Laden"},
        texts={"fr": {"preferences_save": "Enregistrer"}, "de-CH": {"quiet_on": "Ruhe"}, "ar": {"quiet_on": "هدوء"}},
    )
    texts = Texts(pages)
    assert texts.voice("fr-CA")("preferences_save") == "Enregistrer"
    assert texts.voice("fr")("unsubscribe_title") == "Unsubscribe"
    assert texts.voice("de-CH")("quiet_on") == "Ruhe"
    assert texts.voice("de-CH")("unsubscribe_title") == "Abbestellen"
    assert (texts.voice("de-CH").sender, texts.voice("fr").sender) == ("Laden", "Shop")
    assert (texts.voice("ar").direction, texts.voice("de").direction) == ("rtl", "ltr")


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ({"en": {"preference_save": "x"}}, "did you mean 'preferences_save'"),
        ({"en": {"preferences_save": "{name}"}}, "{name} is not filled in"),
        ({"en": {"preferences_save": "{"}}, "is not filled in"),
    ],
)
def test_a_text_that_nobody_says_or_fills_in_is_refused(texts: dict[str, dict[str, str]], said: str) -> None:
    with pytest.raises(CatalogueError, match=re.escape(said)):
        Texts(PageTexts(texts=texts))
