"""What an inbound SMS asks for where it is one of the keywords: STOP, START or HELP, in four languages. Pure.

A keyword counts only where it is the whole message: "stop by at noon" stops nothing. Case, accents, punctuation, spaces
within ("OPT OUT"), repetition ("stop stop") and courtesy ("stop, please") are passed over.

Sources: https://help.twilio.com/articles/223134027 (English, and what carriers add to it),
https://docs.aws.amazon.com/sns/latest/dg/sms_manage.html (REMOVE, ARRET), and the CTIA's Messaging Principles, which
name STOP and HELP in every language that a sender writes in.
"""

import re
import unicodedata
from enum import StrEnum


class Keyword(StrEnum):
    """What the person asks for. STOP: no more SMS. START: SMS again, after a STOP. HELP: who is this?"""

    STOP = "stop"
    START = "start"
    HELP = "help"


_WORDS = {
    Keyword.STOP: (
        # carriers' own, in every language
        "stop stopall stopp unsubscribe cancel end quit revoke optout remove "
        # German
        "abmelden abbestellen abbestellung austragen beenden ende "
        # French
        "arret arreter desabonner desabonnement desinscrire desinscription fin "
        # Spanish
        "alto baja cancelar desuscribir detener parar "
    ),
    Keyword.START: (
        "start unstop subscribe optin resume "
        "anmelden "
        "abonner commencer demarrer reprendre "
        "alta comenzar empezar iniciar inicio reanudar suscribir "
    ),
    Keyword.HELP: "help info hilfe aide ayuda ",
}
"""YES opens nothing here, though Twilio takes it: it answers whatever question was asked last. Where a provider itself
says that it has opened a number again, heed the provider."""

_MEANING = {word: keyword for keyword, words in _WORDS.items() for word in words.split()}

_COURTESY = frozenset(
    [
        "please",
        "pls",
        "plz",
        "thanks",
        "thank",
        "you",
        "bitte",
        "danke",
        "svp",
        "merci",
        "porfavor",
        "por",
        "favor",
        "gracias",
    ]
)

_MOST = 64
"""Characters: no keyword with all its trimmings is longer."""


def keyword(text: str) -> Keyword | None:
    """What an inbound message asks for; None: it is an ordinary one."""
    if len(text) > _MOST:
        return None
    words = [word for word in _folded(text).split() if word not in _COURTESY]
    found = {_MEANING.get(word) for word in words} if words else {None}
    if len(found) == 1 and (alone := found.pop()):
        return alone
    return _MEANING.get("".join(words))


def _folded(text: str) -> str:
    """Lower case, without accents, each run of anything but letters and digits a space; no invisible characters."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", text.casefold()) if unicodedata.category(c) not in _GONE)
    return re.sub(r"[\W_]+", " ", plain)


_GONE = frozenset({"Mn", "Cf"})
"""Accents that stand by themselves after NFKD, and format characters (zero width, direction)."""
