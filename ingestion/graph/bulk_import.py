"""The first load of a lineage: the server's own bulk importer fills a fresh store while no server runs on it."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as csv

from ingestion.config import GraphSettings
from ingestion.graph.neo4j_jars import ServerJars
from ingestion.graph.queries import label_of
from ingestion.graph.rows import GraphRows
from ingestion.graph.server_process import free_port, make_home, run_import

_HEADERS = {
    "entities": "id:ID(Entity),key:string,batch:long,:LABEL",
    "transactions": ":START_ID(Entity),:END_ID(Entity),tx:string,event_time:long,known_at:long,available_at:long,"
    "amount_minor:long,currency:string,kind:string,outcome:string,refers_to:string,parties:string[],batch:long",
    "uses": ":START_ID(Entity),:END_ID(Entity),first_known_at:long,batch:long",
    "links": ":START_ID(Entity),:END_ID(Entity),rule:string,identifier:string,known_at:long,revoked_at:long,"
    "reason:string,batch:long,until_batch:long",
}


def import_rows(rows: GraphRows, home: Path, jars: ServerJars, settings: GraphSettings) -> None:
    """Fill the store of a fresh home folder. Raises `GraphServerFailed` when the importer does."""
    make_home(home, settings, free_port())
    folder = home / "import"
    delimiter = _array_delimiter(rows.transactions.column("parties"))
    tables = {
        "entities": rows.entities.set_column(3, "label", _labels(rows.entities.column("type"), delimiter)),
        "transactions": _joined(rows.transactions, delimiter),
        "uses": rows.uses,
        "links": rows.links,
    }
    for name, table in tables.items():
        (folder / f"{name}-header.csv").write_text(_HEADERS[name] + "\n", encoding="ascii")
        options = csv.WriteOptions(include_header=False, quoting_style="all_valid")
        csv.write_csv(table, folder / f"{name}.csv", options)
    spans_lines = any(_has_line_break(table) for table in tables.values())
    sources = {name: f"{folder / f'{name}-header.csv'},{folder / f'{name}.csv'}" for name in tables}
    run_import(
        home,
        jars,
        settings,
        [
            "--id-type=integer",
            f"--array-delimiter=U+{ord(delimiter):04X}",
            f"--multiline-fields={str(spans_lines).lower()}",
            "--max-off-heap-memory=1g",
            "--bad-tolerance=0",
            f"--report-file={home / 'logs' / 'import.report'}",
            f"--nodes={sources['entities']}",
            f"--relationships=TRANSACTED={sources['transactions']}",
            f"--relationships=USES={sources['uses']}",
            f"--relationships=SAME_AS={sources['links']}",
        ],
    )
    for path in folder.iterdir():
        path.unlink()


def _labels(types: pa.ChunkedArray, delimiter: str) -> pa.ChunkedArray:
    """`Entity` and the type's own label, as the importer wants them."""
    encoded = types.combine_chunks().dictionary_encode()
    texts = pa.array([f"Entity{delimiter}{label_of(name)}" for name in encoded.dictionary.to_pylist()], pa.string())
    return pa.chunked_array([texts.take(encoded.indices)])


def _joined(transactions: pa.Table, delimiter: str) -> pa.Table:
    index = transactions.schema.get_field_index("parties")
    return transactions.set_column(index, "parties", pc.binary_join(transactions.column("parties"), delimiter))


def _array_delimiter(parties: pa.ChunkedArray) -> str:
    """A character that no key has: elements of an array cannot be quoted."""
    values = pc.list_flatten(parties)
    for code in (0x1F, 0x1E, 0x1D, 0x1C, *range(0xE000, 0xF8FF)):
        if not pc.any(pc.match_substring(values, chr(code))).as_py():
            return chr(code)
    raise AssertionError("the keys hold every character of the private-use area")


def _has_line_break(table: pa.Table) -> bool:
    texts = [table.column(field.name) for field in table.schema if pa.types.is_string(field.type)]
    return any(pc.any(pc.match_substring_regex(text, "[\n\r]")).as_py() for text in texts)
