"""From columns of numbers to the tables that a bank hands over."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from ingestion.contracts import KINDS, LABEL_ORIGINS, LABELS, OUTCOMES, TIMESTAMP, micros
from ingestion.simulator import events as ev
from ingestion.simulator import identities
from ingestion.simulator.access import Access
from ingestion.simulator.config import TYPOLOGIES, SimulatorConfig
from ingestion.simulator.events import CHANNELS, Events
from ingestion.simulator.labels import REASONS, Reports
from ingestion.simulator.memos import memos
from ingestion.simulator.population import Population
from ingestion.simulator.roles import ROLES
from ingestion.simulator.streams import Bools, Ints
from ingestion.simulator.world import CATEGORIES, COUNTRIES, COUNTRY_AREA, CURRENCIES


def transaction_table(
    config: SimulatorConfig, population: Population, access: Access, events: Events, known_at: Ints
) -> pa.Table:
    """The table `transactions`, one row an event, in the order of the events, personal values in clear."""
    accounts = identities.account_ids(config.seed, population)
    names, emails = identities.holders(config.seed, population)
    pans = identities.card_numbers(config.seed, population.num_cards)
    shops = identities.merchant_ids(config.seed, len(population.merchants))
    ids = identities.transaction_ids(config.seed, len(events))
    from_merchant = (events.kind == ev.REFUND) | (events.kind == ev.REVERSAL)
    other = np.where(events.merchant >= 0, len(accounts) + events.merchant, events.peer)
    source = np.where(from_merchant, other, events.actor)
    target = np.where(from_merchant, events.actor, other)
    currency, country, category = _places(population, events)
    return pa.table(
        {
            "transaction_id": ids,
            "event_time": _timestamps(config, events.time),
            "known_at": _timestamps(config, known_at),
            "source_type": _party_types(source, len(accounts)),
            "source_id": _text(accounts + shops, source),
            "target_type": _party_types(target, len(accounts)),
            "target_id": _text(accounts + shops, target),
            "holder_name": _text(names, events.actor),
            "email": _text(emails, events.actor),
            "card_number": _text(pans, events.card),
            "device_id": _text(identities.device_ids(config.seed, access.devices.used), events.device),
            "ip_address": _text(identities.ip_addresses(config.seed, access.ips.used), events.ip),
            "amount_minor": pa.array(events.amount),
            "currency": _text(CURRENCIES, currency),
            "kind": _text(KINDS, events.kind),
            "outcome": _text(OUTCOMES, events.outcome),
            "channel": _text(CHANNELS, events.channel),
            "merchant_category": _text([item.name for item in CATEGORIES], category),
            "country": _text([item.code for item in COUNTRIES], country),
            "memo": memos(config.seed, events, pans),
            "refers_to": ids.take(_index(events.refers_to)),
        }
    )


def label_table(config: SimulatorConfig, transaction_ids: pa.Array, reports: Reports) -> pa.Table:
    """The table `labels`: what was reported, by the time that it was."""
    reviewers = [f"analyst-{number:02d}" for number in range(1, int(reports.reviewer.max(initial=0)) + 2)]
    return pa.table(
        {
            "transaction_id": transaction_ids.take(pa.array(reports.row)),
            "label": _text(LABELS, reports.label),
            "known_at": _timestamps(config, reports.known_at),
            "origin": _text(LABEL_ORIGINS, reports.origin),
            "reviewer": _text(reviewers, reports.reviewer),
            "reason": _text(REASONS, reports.reason),
        }
    )


def truth_table(transaction_ids: pa.Array, events: Events, typologies: Sequence[str]) -> pa.Table:
    """The table `truth`, for tests and evaluation alone; honest lookalikes have a role and no case."""
    is_fraud: Bools = events.case >= 0
    of_case = np.array([*(TYPOLOGIES.index(name) for name in typologies), ev.NONE], np.int64)  # [-1]: no case
    cases = [f"case-{index + 1:05d}" for index in range(len(typologies))]
    return pa.table(
        {
            "transaction_id": transaction_ids,
            "is_fraud": pa.array(is_fraud),
            "typology": _text(TYPOLOGIES, of_case[events.case]),
            "case_id": _text(cases, events.case),
            "role": _text(ROLES, events.role),
        }
    )


def _places(population: Population, events: Events) -> tuple[Ints, Ints, Ints]:
    """Currency, country and merchant category of each event; the category is `NONE` for a transfer.

    A payment is in the merchant's currency and country, a transfer in the payer's currency and the payee's country.
    """
    shops = population.merchants
    at_shop = events.merchant >= 0
    country = np.where(at_shop, shops.country[events.merchant], population.country[events.peer])
    currency = np.where(at_shop, COUNTRY_AREA[country], population.area[events.actor])
    return currency, country, np.where(at_shop, shops.category[events.merchant], ev.NONE)


def _party_types(party: Ints, num_accounts: int) -> pa.Array:
    return _text(("account", "merchant"), (party >= num_accounts).astype(np.int64))


def _timestamps(config: SimulatorConfig, time: Ints) -> pa.Array:
    return pa.array(micros(config.start) + time).cast(TIMESTAMP)


def _text(words: Sequence[str], index: Ints) -> pa.Array:
    """Words by number; null where the number is `NONE`."""
    return pa.array(list(words), pa.string()).take(_index(index))


def _index(index: Ints) -> pa.Array:
    return pa.array(index, mask=index < 0)
