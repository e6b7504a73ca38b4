"""One spelling for what is the same: how identifiers are compared.

All forms begin with Unicode's NFKC or NFKD and case folding. None says that nothing is left.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from typing import Literal

from ingestion.resolution.rules import Normal

#: Providers that ignore dots in the local part, and one name for each.
DOTLESS = {"gmail.com": "gmail.com", "googlemail.com": "gmail.com"}
#: Latin letters that Unicode does not take apart.
_LETTERS = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i"})
_APOSTROPHES = str.maketrans(dict.fromkeys("'`´ʹʻʼ‘’′"))


def squeezed(value: str) -> str:
    """Letters and digits alone, in one case: spaces and punctuation do not matter.

    >>> squeezed(" AB-12/3 ")
    'ab123'
    """
    folded = _folded("NFKC", value)
    if folded.isascii():
        return "".join(filter(str.isalnum, folded))
    words = "".join(letter for letter in folded if _is_word(letter))
    return unicodedata.normalize("NFKC", words)  # a mark may now stand beside a letter


def text(value: str) -> str | None:
    """A number of a document, an account elsewhere, a phone: see `squeezed`.

    >>> text("DE 12-34"), text("--")
    ('de1234', None)
    """
    return squeezed(value) or None


def email(value: str) -> str | None:
    """A mailbox: one case, no plus tag; no dots where the provider ignores them. None for what is no address.

    >>> email("Ada.Love+shop@GoogleMail.com "), email("ada.love@example.org"), email("ada")
    ('adalove@gmail.com', 'ada.love@example.org', None)
    """
    local, at, domain = _folded("NFKC", value).strip().rpartition("@")
    local, domain = local.partition("+")[0], domain.rstrip(".")
    if not at or not local or "." not in domain or any(letter.isspace() for letter in local + domain):
        return None
    if domain in DOTLESS:
        local, domain = local.replace(".", ""), DOTLESS[domain]
    return f"{local}@{domain}" if local else None


def name(value: str) -> str | None:
    """A person's or a company's name: the order of its words, diacritics, hyphens and apostrophes do not matter.

    A value with a digit in it keeps the order of its words: 1990-01-02 is another day than 1990-02-01.

    >>> name("O'Brien-Núñez, Zoë"), name("zoe nunez obrien"), name("1990-01-02")
    ('nunez obrien zoe', 'nunez obrien zoe', '1990 01 02')
    """
    apart = _folded("NFKD", value.translate(_APOSTROPHES)).translate(_LETTERS)
    plain = "".join(letter for letter in apart if not "\u0300" <= letter <= "\u036f")
    words = "".join(letter if _is_word(letter) else " " for letter in plain).split()
    if not any(letter.isdigit() for letter in plain):
        words.sort()
    return " ".join(words) or None


def none(value: str) -> str | None:
    """As it is, but for spaces around it."""
    return value.strip() or None


NORMALIZERS: dict[Normal, Callable[[str], str | None]] = {"none": none, "text": text, "email": email, "name": name}


class Placeholders:
    """Tells values that say that there is none, by a list of words and by runs of one character.

    >>> empty = Placeholders(["N/A", "unknown"])
    >>> [empty(value) for value in ("n.a.", "Unknown", "0000-0000", "xxx", "unknown@example.org", "--", "A-17")]
    [True, True, True, True, True, True, False]
    """

    def __init__(self, words: tuple[str, ...] | list[str]) -> None:
        self._words = frozenset(squeezed(word) for word in words)
        self._longest = max([8, *(2 * len(word) for word in self._words)])

    def __call__(self, value: str) -> bool:
        if len(value) > self._longest and len(set(value)) > 3 and "@" not in value:
            return False  # quickly: too long for a word, too varied for a run
        local, at, _ = value.rpartition("@")
        return self._is_empty(squeezed(value)) or (bool(at) and self._is_empty(squeezed(local)))

    def _is_empty(self, plain: str) -> bool:
        if not plain or plain in self._words:
            return True
        if len(set(plain)) > 1:
            return False
        return len(plain) >= (2 if plain[0] == "0" else 6 if plain[0].isdigit() else 3)


def _folded(form: Literal["NFKC", "NFKD"], value: str) -> str:
    """In one case and in a normal form, which folding may have left."""
    return unicodedata.normalize(form, unicodedata.normalize(form, value).casefold())


def _is_word(letter: str) -> bool:
    return unicodedata.category(letter)[0] in "LNM"
