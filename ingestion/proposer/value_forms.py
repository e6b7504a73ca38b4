"""What values look like: card numbers, account numbers, addresses, codes; and words for kinds, outcomes and labels."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Sequence
from zoneinfo import available_timezones

from ingestion.money import CURRENCY_EXPONENTS
from ingestion.pan import pan_digits
from ingestion.proposer.words import fold, tokens_of

_CODES = (
    "AD AE AF AG AL AM AO AR AT AU AZ BA BB BD BE BF BG BH BI BJ BN BO BR BS BT BW BY BZ CA CD CF CG CH CI CL CM CN CO"
    " CR CU CV CY CZ DE DJ DK DM DO DZ EC EE EG ER ES ET FI FJ FM FR GA GB GD GE GH GI GM GN GQ GR GT GW GY HK HN HR HT"
    " HU ID IE IL IN IQ IR IS IT JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME"
    " MG MH MK ML MM MN MO MR MT MU MV MW MX MY MZ NA NE NG NI NL NO NP NR NZ OM PA PE PG PH PK PL PR PT PW PY QA RO RS"
    " RU RW SA SB SC SD SE SG SI SK SL SM SN SO SR SS ST SV SY SZ TD TG TH TJ TL TM TN TO TR TT TV TW TZ UA UG US UY UZ"
    " VA VC VE VN VU WS XK YE ZA ZM ZW"
)
_COUNTRIES = frozenset(_CODES.split())
#: ISO 4217 numeric codes of the currencies that card files name so.
NUMERIC_CURRENCIES = {
    "840": "USD", "978": "EUR", "826": "GBP", "756": "CHF", "392": "JPY", "124": "CAD", "036": "AUD", "752": "SEK",
    "578": "NOK", "208": "DKK", "985": "PLN", "203": "CZK", "348": "HUF", "946": "RON", "949": "TRY", "356": "INR",
    "156": "CNY", "344": "HKD", "702": "SGD", "410": "KRW", "484": "MXN", "986": "BRL", "032": "ARS", "152": "CLP",
    "710": "ZAR", "566": "NGN", "404": "KES", "818": "EGP", "784": "AED", "682": "SAR", "376": "ILS", "608": "PHP",
    "360": "IDR", "764": "THB", "458": "MYR", "554": "NZD", "980": "UAH", "643": "RUB", "170": "COP", "604": "PEN",
}  # fmt: skip
#: Names of currencies, accents folded.
CURRENCY_NAMES = {
    "us dollar": "USD", "dollar": "USD", "euro": "EUR", "uk pound": "GBP", "pound": "GBP", "pound sterling": "GBP",
    "british pound": "GBP", "swiss franc": "CHF", "yen": "JPY", "japanese yen": "JPY", "canadian dollar": "CAD",
    "australian dollar": "AUD", "rupee": "INR", "indian rupee": "INR", "yuan": "CNY", "renminbi": "CNY",
    "ruble": "RUB", "rouble": "RUB", "shekel": "ILS", "saudi riyal": "SAR", "mexican peso": "MXN", "rand": "ZAR",
    "brazil real": "BRL", "brazilian real": "BRL", "real": "BRL", "zloty": "PLN", "swedish krona": "SEK",
    "norwegian krone": "NOK", "danish krone": "DKK", "turkish lira": "TRY", "dirham": "AED", "won": "KRW",
}  # fmt: skip
_ZONES = frozenset(name for name in available_timezones() if "/" in name) | {"UTC"}

#: Contract value -> words that stand for it, accents folded; `*` as in `words`.
KIND_WORDS = {
    "refund": "refund* credit gutschrift* ruckerstattung* erstattung* remboursement* devolucion* return rimborso*"
    " reembolso* cashback cr",
    "reversal": "reversal revers* void* storno* annul* chargeback* undo",
    "authorisation": "auth authorisation* authorization* preauth* hold",
    "capture": "capture* settle completion",
    "payment": "payment* purchase* pay sale* zahlung* kauf* achat* compra* acquisto* pos card debit* dr paiement* pago*"
    " pagamento* buy bill* order* checkout charge",
    "transfer": "transfer* send sent p2p wire* uberweisung* virement* bonifico* sct ach cash* withdraw* deposit* topup"
    " remit* payout* wdrl atm trf move",
}
OUTCOME_WORDS = {
    "declined": "declin* reject* rej refus* fail* denied deny cancel* error* block* abgelehnt* rechaz* rifiut* recus*"
    " expired void* insufficient* unpaid nok ko false no n storniert* abgebrochen* timeout",
    "approved": "approv* ok success* accept* paid complet* settled execut* exec authori* genehmigt* acept* accett*"
    " valid* done captur* true yes y posted booked cleared processed aprob* aprov* ausgefuhrt* sent delivered"
    " fulfilled",
}
FRAUD_WORDS = (
    "fraud* scam* reject* confirmed bad ja yes y true si sim oui 1 illicit suspicious betrug* launder* chargeback* t"
    " disputed abuse positive stolen verdachtig*"
)
LEGITIMATE_WORDS = (
    "legit* ok clean clear* approve* genuine no n non nein nao false 0 good normal f licit accept* honest negative safe"
    " released dismissed"
)

_IBAN = re.compile(r"[A-Z]{2}\d{2}[A-Z0-9]{11,30}")
_BIC = re.compile(r"[A-Z]{4}([A-Z]{2})[A-Z0-9]{2}(?:[A-Z0-9]{3})?")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[A-Za-z]{2,}")
_PHONE = re.compile(r"\+\d[\d ()/-]{6,18}\d")
_HEX = re.compile(r"(?:0x)?(?=[0-9A-Fa-f:-]*\d)[0-9A-Fa-f]{2}(?:[:-]?[0-9A-Fa-f]{2}){5,}")


def _is_iban(text: str) -> bool:
    text = text.replace(" ", "")
    if not _IBAN.fullmatch(text):
        return False
    return int("".join(str(int(sign, 36)) for sign in text[4:] + text[:4])) % 97 == 1


def _is_bic(text: str) -> bool:
    found = _BIC.fullmatch(text)
    return found is not None and found.group(1) in _COUNTRIES


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


#: Form -> whether a text has it; the first that fits most values is a column's form.
FORMS: dict[str, Callable[[str], bool]] = {
    "card": lambda text: pan_digits(text) is not None,
    "iban": _is_iban,
    "bic": _is_bic,
    "email": lambda text: _EMAIL.fullmatch(text) is not None,
    "ip": _is_ip,
    "phone": lambda text: _PHONE.fullmatch(text) is not None,
    "currency": lambda text: text.upper() in CURRENCY_EXPONENTS,
    "country": lambda text: text in _COUNTRIES,
    "zone": lambda text: text in _ZONES,
    "hex": lambda text: _HEX.fullmatch(text) is not None,
}


def currency_code(value: str) -> str | None:
    """The ISO 4217 code that a numeric code or a name stands for.

    >>> currency_code("978"), currency_code("UK Pound"), currency_code("doubloon")
    ('EUR', 'GBP', None)
    """
    return NUMERIC_CURRENCIES.get(value) or CURRENCY_NAMES.get(fold(value).strip())


def form_of_values(values: Sequence[str], *, share: float = 0.97) -> str | None:
    """The form that (nearly) all of some texts have.

    >>> form_of_values(["a@b.org", "c@d.com"]), form_of_values(["red", "green"])
    ('email', None)
    """
    if not values:
        return None
    return next((name for name, fits in FORMS.items() if sum(map(fits, values)) >= share * len(values)), None)


def meaning(value: str, words: dict[str, str]) -> str | None:
    """What a code means: the first meaning that one of its words has.

    >>> meaning("payment_failed", OUTCOME_WORDS), meaning("Zahlung", KIND_WORDS)
    ('declined', 'payment')
    """
    return next((name for name, listed in words.items() if is_word(value, listed)), None)


def is_word(value: str, listed: str) -> bool:
    """Whether a value, or a part of it, is one of some words."""
    parts = {part for part in re.split(r"[^a-z0-9]+", fold(value)) if part} | set(tokens_of(value))
    whole = {word.rstrip("*") for word in listed.split()}
    starts = tuple(word[:-1] for word in listed.split() if word.endswith("*"))
    return any(part in whole or (bool(starts) and part.startswith(starts)) for part in parts)
