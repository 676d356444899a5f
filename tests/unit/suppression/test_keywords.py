import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.suppression.keywords import Keyword, keyword


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("STOP", Keyword.STOP),
        ("stop", Keyword.STOP),
        ("  Stop.\n", Keyword.STOP),
        ("STOP!!! 🛑", Keyword.STOP),
        ("stop stop STOP", Keyword.STOP),
        ("Stop please", Keyword.STOP),
        ("STOP ALL", Keyword.STOP),
        ("opt out", Keyword.STOP),
        ("OPT-OUT", Keyword.STOP),
        ("un-subscribe", Keyword.STOP),
        ("“STOP”", Keyword.STOP),
        ("\u200bSTOP\ufeff", Keyword.STOP),
        ("ＳＴＯＰ", Keyword.STOP),
        ("Abmelden", Keyword.STOP),
        ("ENDE", Keyword.STOP),
        ("bitte abbestellen", Keyword.STOP),
        ("ARRÊT", Keyword.STOP),
        ("arrêter svp", Keyword.STOP),
        ("Désabonner", Keyword.STOP),
        ("de\u0301sabonner", Keyword.STOP),
        ("BAJA", Keyword.STOP),
        ("parar por favor", Keyword.STOP),
        ("¡Alto!", Keyword.STOP),
        ("START", Keyword.START),
        ("unstop", Keyword.START),
        ("Anmelden", Keyword.START),
        ("reprendre", Keyword.START),
        ("ALTA", Keyword.START),
        ("help", Keyword.HELP),
        ("INFO?", Keyword.HELP),
        ("Hilfe!", Keyword.HELP),
        ("aide", Keyword.HELP),
        ("AYUDA", Keyword.HELP),
        ("", None),
        ("?", None),
        ("please", None),
        ("yes", None),
        ("stop by at noon", None),
        ("please don't stop", None),
        ("stop start", None),
        ("nonstop", None),
        ("the end of it", None),
        ("STOP" * 100, None),
    ],
)
def test_only_a_message_that_is_a_keyword_is_one(text: str, meaning: Keyword | None) -> None:
    assert keyword(text) is meaning


@settings(deadline=None)
@given(
    st.sampled_from(["stop", "cancel", "arrêt", "baja", "abmelden"]),
    st.text(string.whitespace + string.punctuation, max_size=8),
    st.text(string.whitespace + string.punctuation, max_size=8),
    st.booleans(),
)
def test_no_case_and_no_punctuation_keeps_anybody_from_stopping(
    word: str, before: str, after: str, upper: bool
) -> None:
    assert keyword(before + (word.upper() if upper else word) + after) is Keyword.STOP


@settings(deadline=None)
@given(st.text())
def test_whatever_comes_in_is_read(text: str) -> None:
    assert keyword(text) in {None, *Keyword}
