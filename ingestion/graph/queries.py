"""All Cypher of the project, and the only way it is run (TRUST CYP; a test looks for Cypher anywhere else).

Values are always parameters. Labels are the only text that is built, from entity types that `label_of` has
checked. A read runs in READ mode with a time and row limit, after `EXPLAIN` said that it only reads.

Model: `(:Entity:<Type> {id, key, batch})`, key is `type:key`; `[:TRANSACTED {tx, event_time, known_at,
available_at, amount_minor, currency, kind, outcome, refers_to, parties, batch}]`, parties as `type:key`, absent when
there are none; `[:USES {first_known_at, batch}]`, set once: when a later batch brings an earlier first time, a
second relationship holds it, so that a release that reads up to an earlier batch still sees what it saw;
`[:SAME_AS {rule, identifier, known_at, revoked_at, reason, batch, until_batch}]`, one for each state of a link: a batch
that revokes a link, or no longer has it, sets `until_batch` on the old state and makes a new one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import neo4j
from neo4j.exceptions import ClientError, IncompleteCommit

from ingestion.errors import DataContractError, GraphTimeout, IngestionError

Result = TypeVar("Result")
Parameters = Mapping[str, Any]

READ_SECONDS = 10.0
SCAN_SECONDS = 900.0  # counts, sums and the canonical hash go over everything
MAX_ROWS = 10_000

#: Procedures that a read may call: none of ours needs one.
PROCEDURES: frozenset[str] = frozenset()
_READ_WORDS = ("MATCH", "OPTIONAL", "UNWIND", "WITH", "RETURN", "CALL")
_REFUSED_OPERATORS = ("LoadCSV", "Show", "Terminate", "AdministrationCommand", "Create", "Delete", "Set", "Merge")

CONSTRAINTS = (
    "CREATE CONSTRAINT entity_id IF NOT EXISTS FOR (e:Entity) REQUIRE e.id IS UNIQUE",
    "CREATE CONSTRAINT entity_key IF NOT EXISTS FOR (e:Entity) REQUIRE e.key IS UNIQUE",
    "CREATE CONSTRAINT transacted_tx IF NOT EXISTS FOR ()-[t:TRANSACTED]-() REQUIRE t.tx IS UNIQUE",
    "CREATE CONSTRAINT graph_one IF NOT EXISTS FOR (m:RingfenceGraph) REQUIRE m.one IS UNIQUE",
    "CREATE INDEX transacted_available_at IF NOT EXISTS FOR ()-[t:TRANSACTED]-() ON (t.available_at)",
)

_UPSERT_ENTITIES = """
UNWIND $rows AS row
MERGE (e:Entity {key: row[1]})
ON CREATE SET e:%s, e.id = row[0], e.batch = row[2]
"""
#: Rows in the order of `ingestion.graph.rows.TRANSACTION_COLUMNS`.
UPSERT_TRANSACTIONS = """
UNWIND $rows AS row
MATCH (source:Entity {id: row[0]})
MATCH (target:Entity {id: row[1]})
MERGE (source)-[t:TRANSACTED {tx: row[2]}]->(target)
ON CREATE SET t.event_time = row[3], t.known_at = row[4], t.available_at = row[5], t.amount_minor = row[6],
  t.currency = row[7], t.kind = row[8], t.outcome = row[9], t.refers_to = row[10], t.parties = row[11],
  t.batch = row[12]
"""
UPSERT_USES = """
UNWIND $rows AS row
MATCH (user:Entity {id: row[0]})
MATCH (used:Entity {id: row[1]})
WHERE NOT EXISTS {
  MATCH (user)-[known:USES]->(used) WHERE known.first_known_at <= row[2] AND known.batch <= row[3]
}
MERGE (user)-[:USES {first_known_at: row[2], batch: row[3]}]->(used)
"""
#: Rows in the order of `ingestion.graph.rows.LINK_COLUMNS`.
UPSERT_LINKS = """
UNWIND $rows AS row
MATCH (a:Entity {id: row[0]})
MATCH (b:Entity {id: row[1]})
MERGE (a)-[l:SAME_AS {rule: row[2], identifier: row[3], known_at: row[4], batch: row[7]}]->(b)
ON CREATE SET l.revoked_at = row[5], l.reason = row[6], l.until_batch = row[8]
"""
#: A later batch ended these states: rows are links with their `batch` and `until_batch`.
END_LINKS = """
UNWIND $rows AS row
MATCH (a:Entity {id: row[0]})
MATCH (a)-[l:SAME_AS {rule: row[2], identifier: row[3], known_at: row[4], batch: row[7]}]->(:Entity {id: row[1]})
WHERE l.until_batch IS NULL
SET l.until_batch = row[8]
"""
#: Every link is sent again with this batch: what older batches brought ends.
END_OLDER_LINKS = """
MATCH ()-[l:SAME_AS]->() WHERE l.until_batch IS NULL AND l.batch < $batch
WITH l LIMIT $limit SET l.until_batch = $batch RETURN count(*) AS ended
"""
_WRITE_MARKER = """
MERGE (m:RingfenceGraph {one: 1})
SET m.lineage = $lineage, m.batch = $batch, m.snapshot_id = $snapshot_id, m.loading = $loading
"""
DELETE_SOME = "MATCH (n) WITH n LIMIT $limit DETACH DELETE n RETURN count(*) AS deleted"
IS_EMPTY = "RETURN NOT EXISTS { MATCH (n) RETURN n } AS is_empty"

_MARKER = "MATCH (m:RingfenceGraph) RETURN m.lineage, m.batch, m.snapshot_id, m.loading"
_TRANSACTION_LIST = """[t.tx, startNode(t).key, endNode(t).key, t.event_time, t.known_at, t.available_at,
  t.amount_minor, t.currency, t.kind, t.outcome, t.refers_to, coalesce(t.parties, [])]"""
_VISIBLE = "t.available_at <= $as_of AND t.batch <= $batch"
#: A transfer to oneself is matched once.
_IS_END = f"MATCH (e)-[t:TRANSACTED]-() WHERE {_VISIBLE}"
#: Transactions that name the entity as a further party alone: found through those who use it.
_IS_PARTY = f"""
  MATCH (e)<-[:USES]-(user:Entity) WITH DISTINCT e, user
  MATCH (user)-[t:TRANSACTED]->(target) WHERE user <> e AND target <> e AND e.key IN t.parties AND {_VISIBLE}"""
_NEWEST_FIRST = "ORDER BY t.available_at DESC, t.event_time DESC, t.tx DESC LIMIT $limit"
_NEWEST = f"""
CALL (e) {{
  CALL (e) {{
    {_IS_END} RETURN t {_NEWEST_FIRST}
    UNION ALL
    {_IS_PARTY} RETURN t {_NEWEST_FIRST}
  }}
  WITH t {_NEWEST_FIRST}
  RETURN collect({_TRANSACTION_LIST}) AS transactions
}}
"""
TRANSACTION = f"MATCH ()-[t:TRANSACTED {{tx: $tx}}]->() WHERE {_VISIBLE} RETURN {_TRANSACTION_LIST}"
TRANSACTIONS_OF = f"MATCH (e:Entity {{key: $key}}) {_NEWEST} RETURN transactions"
EXPAND = f"""
UNWIND $keys AS key
MATCH (e:Entity {{key: key}})
{_NEWEST}
CALL (e) {{
  MATCH (e)-[u:USES]-() WHERE u.first_known_at <= $as_of AND u.batch <= $batch
  WITH startNode(u).key AS user, endNode(u).key AS used, min(u.first_known_at) AS first_known_at
  ORDER BY first_known_at DESC, user DESC, used DESC LIMIT $limit
  RETURN collect([user, used, first_known_at]) AS uses
}}
RETURN key, transactions, uses
"""
NUM_LINKS = f"""
UNWIND $keys AS key
MATCH (e:Entity {{key: key}})
CALL (e) {{ {_IS_END} RETURN count(t) AS num_as_end }}
CALL (e) {{ {_IS_PARTY} RETURN count(t) AS num_as_party }}
CALL (e) {{
  MATCH (e)-[u:USES]-() WHERE u.first_known_at <= $as_of AND u.batch <= $batch
  RETURN count(DISTINCT [startNode(u).key, endNode(u).key]) AS num_uses
}}
RETURN key, num_as_end + num_as_party, num_uses
"""
_LINK_VISIBLE = "l.batch <= $batch AND (l.until_batch IS NULL OR l.until_batch > $batch)"
_LINK_HOLDS = f"{_LINK_VISIBLE} AND l.known_at <= $as_of AND (l.revoked_at IS NULL OR l.revoked_at > $as_of)"
LINKS_OF = f"""
UNWIND $keys AS key
MATCH (e:Entity {{key: key}})
CALL (e) {{
  MATCH (e)-[l:SAME_AS]-() WHERE {_LINK_HOLDS}
  WITH startNode(l).key AS a, endNode(l).key AS b, l
  ORDER BY l.known_at DESC, l.rule DESC, l.identifier DESC, a DESC, b DESC LIMIT $limit
  RETURN collect([a, b, l.rule, l.identifier, l.known_at]) AS links
}}
CALL (e) {{ MATCH (e)-[l:SAME_AS]-() WHERE {_LINK_HOLDS} RETURN count(l) AS num_links }}
RETURN key, links, num_links
"""
#: The money that moves: neither declined nor taken back, and to somebody else.
_MOVES = f"{_VISIBLE} AND t.outcome = 'approved' AND NOT t.kind IN ['refund', 'reversal'] AND other <> e"

MOVES_OUT = f"""
UNWIND $keys AS key
MATCH (e:Entity {{key: key}})
CALL (e) {{
  MATCH (e)-[t:TRANSACTED]->(other) WHERE {_MOVES}
  WITH t {_NEWEST_FIRST}
  RETURN collect({_TRANSACTION_LIST}) AS transactions
}}
CALL (e) {{ MATCH (e)-[t:TRANSACTED]->(other) WHERE {_MOVES} RETURN count(t) AS num_moves }}
RETURN key, transactions, num_moves
"""
MOVES_IN = f"""
UNWIND $keys AS key
MATCH (e:Entity {{key: key}})
CALL (e) {{
  MATCH (e)<-[t:TRANSACTED]-(other) WHERE {_MOVES}
  WITH t {_NEWEST_FIRST}
  RETURN collect({_TRANSACTION_LIST}) AS transactions
}}
CALL (e) {{ MATCH (e)<-[t:TRANSACTED]-(other) WHERE {_MOVES} RETURN count(t) AS num_moves }}
RETURN key, transactions, num_moves
"""
SHARED_IDENTIFIERS = """
MATCH (e:Entity {key: $key})-[u:USES]->(i:Entity)
WHERE u.first_known_at <= $as_of AND u.batch <= $batch AND i <> e
WITH e, i, min(u.first_known_at) AS first_known_at
CALL (e, i) {
  MATCH (user:Entity)-[x:USES]->(i) WHERE x.first_known_at <= $as_of AND x.batch <= $batch AND user <> e
  RETURN count(DISTINCT user) AS num_holders
}
WITH i, first_known_at, num_holders ORDER BY first_known_at DESC, i.key DESC
WHERE num_holders > 0
WITH collect([i.key, first_known_at, num_holders]) AS shared
RETURN shared[..$limit], size(shared)
"""
HOLDERS = """
UNWIND $keys AS key
MATCH (i:Entity {key: key})
CALL (i) {
  MATCH (user:Entity)-[x:USES]->(i) WHERE x.first_known_at <= $as_of AND x.batch <= $batch AND user.key <> $key
  WITH user.key AS user, min(x.first_known_at) AS first_known_at
  ORDER BY first_known_at DESC, user DESC LIMIT $limit
  RETURN collect([user, first_known_at]) AS holders
}
RETURN key, holders
"""
COUNT_ENTITIES = """
MATCH (e:Entity) WHERE e.batch <= $batch
UNWIND [name IN labels(e) WHERE name <> 'Entity'] AS label
RETURN label, count(*)
"""
SUM_TRANSACTIONS = """
MATCH ()-[t:TRANSACTED]->() WHERE t.batch <= $batch
RETURN t.currency, count(*), sum(t.amount_minor)
"""
COUNT_USES = """
MATCH (user:Entity)-[u:USES]->(used:Entity) WHERE u.batch <= $batch
WITH user, count(DISTINCT used) AS num_used
RETURN sum(num_used)
"""
COUNT_LINKS = f"MATCH ()-[l:SAME_AS]->() WHERE {_LINK_VISIBLE} RETURN count(l)"
ALL_LINKS = f"""
MATCH (a:Entity)-[l:SAME_AS]->(b:Entity) WHERE {_LINK_VISIBLE}
RETURN a.key, b.key, l.rule, l.identifier, l.known_at, l.revoked_at, l.reason
"""
ALL_ENTITIES = "MATCH (e:Entity) WHERE e.batch <= $batch RETURN e.key"
ALL_TRANSACTIONS = f"MATCH ()-[t:TRANSACTED]->() WHERE t.batch <= $batch RETURN {_TRANSACTION_LIST}"
ALL_USES = """
MATCH (user:Entity)-[u:USES]->(used:Entity) WHERE u.batch <= $batch
RETURN user.key, used.key, min(u.first_known_at)
"""


class ReadRefused(IngestionError):
    """A statement on the read path would do more than read, or would return too much."""


@dataclass(frozen=True)
class Marker:
    """What the store was last brought to; batch 0 while the first load is under way. `loading` is the snapshot whose
    rows are being added to it, or were when that load died."""

    lineage: str
    batch: int
    snapshot_id: str
    loading: str | None = None


def label_of(entity_type: str) -> str:
    """Label of an entity type: its first letter capitalised. Raises `DataContractError` for what is no type.

    >>> label_of("merchant_chain")
    'Merchant_chain'
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", entity_type) or entity_type == "entity":
        raise DataContractError(
            f"{entity_type!r} cannot be an entity type in the graph.",
            remedy="Name types with lower-case letters, digits and '_', starting with a letter; not 'entity'.",
        )
    return entity_type[0].upper() + entity_type[1:]


def type_of(label: str) -> str:
    """The entity type of a label."""
    return label[0].lower() + label[1:]


def upsert_entities(entity_type: str) -> str:
    """Statement that makes entities of one type; rows are `[id, type:key, batch]`."""
    return _UPSERT_ENTITIES % label_of(entity_type)


def run_read(
    driver: neo4j.Driver,
    database: str,
    text: str,
    parameters: Parameters,
    *,
    timeout: float = READ_SECONDS,
    max_rows: int = MAX_ROWS,
) -> list[tuple[Any, ...]]:
    """Rows of a statement that only reads. Raises `ReadRefused` for any other, or above `max_rows`, and
    `GraphTimeout` when it takes too long."""

    def collect(records: Iterable[neo4j.Record]) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = []
        for record in records:
            if len(rows) == max_rows:
                raise ReadRefused(f"A graph read gave over {max_rows} rows.", remedy="Ask for less: lower the limit.")
            rows.append(tuple(record.values()))
        return rows

    return fold_read(driver, database, text, parameters, collect, timeout=timeout)


def fold_read(
    driver: neo4j.Driver,
    database: str,
    text: str,
    parameters: Parameters,
    fold: Callable[[Iterable[neo4j.Record]], Result],
    *,
    timeout: float = SCAN_SECONDS,
) -> Result:
    """As `run_read`, for results that are folded while they stream; `fold` may be called again on a retry."""
    with driver.session(database=database, default_access_mode=neo4j.READ_ACCESS, fetch_size=5_000) as session:
        _require_read(session, text)

        @neo4j.unit_of_work(timeout=timeout)
        def work(tx: neo4j.ManagedTransaction) -> Result:
            return fold(tx.run(text, dict(parameters)))

        try:
            return session.execute_read(work)
        except ClientError as error:
            if error.code is not None and "TransactionTimedOut" in error.code:
                what = f"A graph read took over {timeout:g} s and was ended."
                raise GraphTimeout(what, remedy="Ask for fewer hops or a lower limit.") from error
            raise


def write(driver: neo4j.Driver, database: str, text: str, parameters: Parameters) -> list[tuple[Any, ...]]:
    """Run an idempotent statement in a managed transaction; deadlocks and unknown commits are tried again."""
    with driver.session(database=database, default_access_mode=neo4j.WRITE_ACCESS) as session:

        def work(tx: neo4j.ManagedTransaction) -> list[tuple[Any, ...]]:
            return [tuple(record.values()) for record in tx.run(text, dict(parameters))]

        try:
            return session.execute_write(work)
        except IncompleteCommit:  # it may or may not have been committed: run again, which changes nothing twice
            return session.execute_write(work)


def read_marker(driver: neo4j.Driver, database: str) -> Marker | None:
    """The store's marker, None in a store that was never loaded."""
    rows = run_read(driver, database, _MARKER, {})
    return Marker(*rows[0]) if rows else None


def write_marker(driver: neo4j.Driver, database: str, marker: Marker) -> None:
    """Set the store's marker, in a transaction of its own."""
    write(driver, database, _WRITE_MARKER, vars(marker))


def ping(driver: neo4j.Driver, database: str) -> None:
    """Raises the driver's error when the database does not answer."""
    run_read(driver, database, "RETURN 1", {})


def change_password(driver: neo4j.Driver, *, old: str, new: str) -> None:
    """Replace the password of the connected user."""
    with driver.session(database="system") as session:
        session.run("ALTER CURRENT USER SET PASSWORD FROM $old TO $new", old=old, new=new).consume()


def create_schema(driver: neo4j.Driver, database: str) -> None:
    """Constraints and indexes, and the wait until they are built."""
    for statement in CONSTRAINTS:
        write(driver, database, statement, {})
    write(driver, database, "CALL db.awaitIndexes(600)", {})


_proven: set[str] = set()


def _require_read(session: neo4j.Session, text: str) -> None:
    """The gate: the server's own plan must say that the statement only reads. Asked once a statement."""
    if text in _proven:
        return
    first = re.match(r"\s*([A-Za-z]+)", text)
    if first is None or first[1].upper() not in _READ_WORDS:
        raise _refused(text, f"it must begin with one of {', '.join(_READ_WORDS)}")
    try:
        summary = session.execute_read(lambda tx: tx.run(f"EXPLAIN {text}").consume())
    except ClientError as error:
        if error.code is None or not error.code.startswith("Neo.ClientError.Statement."):
            raise
        raise _refused(text, f"the server does not take it ({error.code})") from error
    if summary.query_type != "r":
        raise _refused(text, f"its type is {summary.query_type!r}, not 'r'")
    for operator, details in _operators(cast("dict[str, Any] | None", summary.plan)):
        procedure = details.partition("(")[0]
        if operator.startswith(_REFUSED_OPERATORS):
            raise _refused(text, f"its plan has {operator}")
        if operator.startswith("ProcedureCall") and procedure not in PROCEDURES:
            raise _refused(text, f"it calls {procedure}")
    if len(_proven) < 1_000:
        _proven.add(text)


def _operators(plan: dict[str, Any] | None) -> list[tuple[str, str]]:
    if plan is None:
        return []
    children: Sequence[dict[str, Any]] = plan.get("children", [])
    own = (plan["operatorType"].partition("@")[0], str(plan.get("args", {}).get("Details", "")))
    return [own, *(found for child in children for found in _operators(child))]


def _refused(text: str, why: str) -> ReadRefused:
    return ReadRefused(
        f"The graph's read path refuses {text.strip()[:80]!r}: {why}.",
        remedy="Reads are the templates of ingestion/graph/queries.py.",
    )
