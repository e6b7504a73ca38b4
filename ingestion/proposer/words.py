"""What column names say: the words of payment tables in several languages, and how names are cut into them.

A word that ends in `*` also counts at the start of a longer one (`kunde*` in Kundennummer).
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

#: Concept -> words, accents folded. English, German, French, Spanish, Italian, Portuguese, Dutch.
CONCEPTS: dict[str, str] = {
    # what a row is
    "transaction": "transaction tx txn trx trans payment pay order event operation op reference ref rrn arn stan"
    " control receipt ticket invoice confirmation transfer booking buchung* auftrag* beleg* vorgangs* pago operacion"
    " mouvement commande paiement ordine pagamento pedido betaling row record claim entry",
    "id": "id no nr num number nummer* numero key code uuid guid hash ref reference identifier kennung* clave chave sn",
    # times
    "time": "time timestamp ts date datetime dt tm when at on day hour clock moment ms epoch created booked posted"
    " fecha* hora* datum* zeit* uhrzeit* tag heure* jour* date* data ora giorno dia tijd* buchungstag* wertstellung*",
    "event": "event tx txn transaction trans payment created booked order initiated submitted sent occurred auth"
    " purchase local happened buchung* valuta operation start",
    "arrival": "received ingested arrival arrived loaded recorded inserted landed processed ingest receipt stored"
    " known reported logged eingang* recu recibido ricevuto",
    "settled": "settled settlement value cleared clearing due expiry expires updated modified closed end birth dob",
    "utc": "utc gmt zulu z",
    "zone": "zone tz timezone zeitzone* fuseau huso",
    "step": "step tick period hour day round",
    # money
    "amount": "amount amt value sum total betrag* montant importe* importo monto valor principal price gross summe*"
    " umsatz* bedrag* cantidad volume paid",
    "side_amount": "fee fees tax tip balance bal limit rate exchange discount commission payout refund refunded vat"
    " interest cashback saldo gebuhr* solde frais comision kurs* old new before after net shipping charge chargeback",
    "minor": "cents cent minor pence penny centimes centimos centesimi ore",
    "currency": "currency ccy cur curr wahrung* waehrung* devise moneda divisa valuta moeda munt",
    # codes of a row
    "kind": "type kind proc process processing operation op vorgang* art tipo evt event mti txntype category typ"
    " nature",
    "outcome": "status outcome result response resp state decision auth approved approval success ok declined estado"
    " statut stato antwort* authorized authorised answer accepted settled",
    "channel": "channel chan chnl ch entry kanal* canal canale medium interface mode pos via",
    "memo": "memo description desc note notes remittance narrative message comment details text purpose info"
    " verwendungszweck* libelle concepto causale motif descricao omschrijving betreff reference",
    "refers": "orig original parent ursprung* refers related linked initial bezug* origen origine referenced preceding"
    " reversed refunded",
    # sides
    "source": "source src sender initiator from payer debtor debit orig originator remitter ordering buyer absender*"
    " auftraggeber* zahler* ordenante donneur emisor remitente mittente emetteur pagador purchaser payor donor",
    "target": "target tgt rcv rcvr dst dest destination receiver recipient to payee creditor credit beneficiary benef"
    " bene empfanger* empfaenger* beneficiario beneficiaire destinatario counterparty receiving received payto"
    " destinataire",
    # types of parties
    "card": "card pan cardno cc karte* kreditkarte* tarjeta carte carta cartao",
    "account": "account acct acc iban bban konto* compte cuenta conto conta rekening* a/c",
    "wallet": "wallet billetera borsellino portefeuille",
    "customer": "customer cust client kunde* kunden* cliente klant* user uid member consumer subscriber cardholder"
    " holder policyholder usuario utilisateur insured person",
    "merchant": "merchant mid merch shop store vendor seller handler* haendler* comercio marchand commercant negozio"
    " retailer supplier acceptor esercente lojista winkel* verkaufer* provider",
    "terminal": "terminal tid till atm kasse* caja caisse",
    "device": "device dev fingerprint imei udid gerat* geraet* hardware handset appareil dispositivo apparaat* cookie"
    " deviceid",
    "ip": "ip ipaddr ipv4 ipaddress",
    "email": "email mail emailaddr courriel correo",
    "phone": "phone tel telefon* msisdn mobile telephone celular telefono handy",
    "bank": "bank* bic swift blz institution banco banque sortcode",
    "agent": "agent agents broker outlet branch filiale* sucursal agence agentur* kiosk",
    # what came of it
    "label": "fraud fraudulent betrug* fraude frode label scam chargeback chbk cb illicit laundering sar dispute"
    " disputed suspicious isfraud verdict tag tagged investigation review confirmed class bad abuse siu estafa genuine"
    " legit",
    "analyst": "review reviewed investigation analyst tag tagged verdict manual case sar confirmed investigator"
    " checked",
    "chargeback": "chargeback chbk cb dispute disputed ruckbuchung* rucklastschrift* contracargo",
    "rule": "rule rules flagged alert alerted score scored model predicted prediction system engine auto",
    "legitimate": "legit legitimate genuine clean good normal honest",
    # what a person would not hand on
    "personal": "name surname firstname lastname holder address street birth dob ssn passport taxid nombre vorname*"
    " nachname* apellido nom prenom phone email geburts*",
}

#: Words of a language in column names -> its usual time zone: a guess that is always asked about.
ZONES = {
    "Europe/Berlin": "betrag* buchung* wahrung* handler* kunde* kunden* uhrzeit* datum* konto* empfanger* gerat*"
    " vorgang* verwendungszweck* betrug*",
    "Europe/Paris": "montant heure* jour* compte devise beneficiaire fraude libelle marchand statut",
    "Europe/Madrid": "importe fecha* hora* cuenta moneda divisa cliente comercio tarjeta estado concepto",
    "Europe/Rome": "importo ora giorno conto valuta esercente carta stato causale",
    "Europe/Lisbon": "valor conta moeda cartao lojista pagador",
    "Europe/Amsterdam": "bedrag* rekening* tijd* klant* omschrijving winkel*",
}


def fold(text: str) -> str:
    """Lower case, without accents.

    >>> fold("Währung")
    'wahrung'
    """
    plain = unicodedata.normalize("NFKD", text.replace("ß", "ss"))
    return "".join(sign for sign in plain if not unicodedata.combining(sign)).lower()


@lru_cache(maxsize=4096)
def tokens_of(name: str) -> tuple[str, ...]:
    """The words of a name, cut at capitals, digits and signs.

    >>> tokens_of("custEmail_ID2")
    ('cust', 'email', 'id')
    >>> tokens_of("SentOnUTC")
    ('sent', 'on', 'utc')
    """
    plain = "".join(sign for sign in unicodedata.normalize("NFKD", name) if not unicodedata.combining(sign))
    parts = re.findall(r"[A-Z]{2,}(?![a-z])|[A-Z]?[a-zß]+|[A-Z]+", plain)
    return tuple(fold(part) for part in parts)


@lru_cache(maxsize=65_536)
def says(name: str, concept: str) -> float:
    """How clearly a name says a concept: 1 for a word of it, .8 for the start of one, 0 for nothing.

    >>> says("Kundennummer", "customer"), says("AMT", "amount"), says("color", "amount")
    (0.8, 1.0, 0.0)
    """
    words = CONCEPTS[concept].split()
    tokens = tokens_of(name)
    whole = {word.rstrip("*") for word in words}
    if whole & {*tokens, "".join(tokens)}:
        return 1.0
    starts = tuple(word[:-1] for word in words if word.endswith("*"))
    return 0.8 if starts and any(token.startswith(starts) for token in tokens) else 0.0


def zone_of_names(names: list[str]) -> tuple[str, int]:
    """The time zone of the language that the names speak, and how many words say so; UTC and 0 when none does."""
    tokens = [token for name in names for token in tokens_of(name)]
    counted = {zone: sum(token.startswith(tuple(w.rstrip("*") for w in words.split())) for token in tokens)
               for zone, words in ZONES.items()}  # fmt: skip
    zone = max(counted, key=lambda name: counted[name])
    return (zone, counted[zone]) if counted[zone] >= 2 else ("UTC", 0)
