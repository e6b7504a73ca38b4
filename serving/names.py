"""How a party is called where people read: a token is cut to its first eight digits, the rest stays as it is."""

from __future__ import annotations

from ingestion.contracts import PartyRef

_SHOWN_DIGITS = 8


def short_name(ref: PartyRef) -> str:
    """A name short enough for a sentence; the whole key stands in the JSON.

    >>> short_name(PartyRef(type="account", key="account_e3e2c3dc26a45def47e4231c7900f5d7"))
    'account e3e2c3dc…'
    >>> short_name(PartyRef(type="merchant", key="mer-b10ec55df0"))
    'merchant mer-b10ec55df0'
    """
    prefix = f"{ref.type}_"
    if ref.key.startswith(prefix) and len(ref.key) > len(prefix) + _SHOWN_DIGITS:
        return f"{ref.type} {ref.key[len(prefix) : len(prefix) + _SHOWN_DIGITS]}…"
    return f"{ref.type} {ref.key}"
