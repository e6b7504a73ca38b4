"""Cypher cannot be injected (TRUST CYP): one module holds it, values are parameters, the read path only reads."""

from __future__ import annotations

import ast
import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingestion.errors import DataContractError
from ingestion.graph import queries, server
from ingestion.graph.driver import connect
from ingestion.graph.queries import ReadRefused, label_of, run_read, type_of
from tests.graph_server import LoadedGraph, loaded_graph

ROOT = Path(__file__).parents[3]
CYPHER = re.compile(
    r"\b(MATCH|MERGE|CREATE)\s*\(|\bUNWIND\s|\bDETACH\s+DELETE\b|\bLOAD\s+CSV\b|\bRETURN\s+\w|\bCREATE\s+(CONSTRAINT|INDEX)\b"
    r"|-\[\w*:[A-Z_]+[^\]]*\]-"
)


def sources() -> list[Path]:
    packages = ("ingestion", "graphml", "retrieval", "serving")
    files = [file for package in packages for file in (ROOT / package).rglob("*.py")]
    assert len(files) > 30
    return [*files, ROOT / "ringfence.py"]


def cypher_in(tree: ast.Module) -> list[str]:
    """Texts of a module that look like Cypher, docstrings left out; f-strings are looked at piece by piece."""
    documentation = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    texts = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation
    ]
    return [text for text in texts if CYPHER.search(text)]


def runs_a_session(tree: ast.Module) -> list[int]:
    """Lines that call `run` on something that is named like a session or transaction of the driver."""
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("run", "execute_query")
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id in ("session", "tx", "transaction", "driver")
    ]


def test_no_other_module_holds_cypher_or_runs_it() -> None:
    for file in sources():
        tree = ast.parse(file.read_text(encoding="utf-8"))
        if file == Path(queries.__file__):
            assert cypher_in(tree) and runs_a_session(tree), "the check finds what is there"
        else:
            assert not cypher_in(tree), f"{file} holds Cypher: it belongs into ingestion/graph/queries.py"
            assert not runs_a_session(tree), f"{file} runs statements past ingestion/graph/queries.py"


@pytest.mark.parametrize(
    "code",
    [
        'x = f"MATCH (n {{name: {value}}}) RETURN n"',
        'x = "CREATE (n)"',
        'x = "UNWIND $rows AS row"',
        'x = "(a)-[t:TRANSACTED]->(b)"',
        'def f():\n    x = """\n  LOAD CSV FROM $url AS row\n  """',
    ],
)
def test_the_check_finds_cypher(code: str) -> None:
    assert cypher_in(ast.parse(code))


def test_statements_are_built_from_checked_labels_only() -> None:
    tree = ast.parse(Path(queries.__file__).read_text(encoding="utf-8"))
    built = [node for node in ast.walk(tree) if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod)]
    assert [ast.unparse(node) for node in built] == ["_UPSERT_ENTITIES % label_of(entity_type)"]
    in_functions = [
        piece
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef)
        for piece in ast.walk(function)
        if isinstance(piece, ast.JoinedStr) and CYPHER.search(ast.unparse(piece))
    ]
    assert not in_functions, "an f-string with Cypher outside the constants of the module"


@pytest.mark.parametrize("entity_type", ["account", "ip", "merchant_chain", "a_1", "x9"])
def test_a_label_can_be_read_back(entity_type: str) -> None:
    assert type_of(label_of(entity_type)) == entity_type


@pytest.mark.parametrize(
    "name", ["", "entity", "Account", "a b", "a:B", "a`", "a}) DELETE n //", "ä", "1a", "_a", "a" * 65, "a\n"]
)
def test_what_is_no_type_is_no_label(name: str) -> None:
    with pytest.raises(DataContractError, match="cannot be an entity type"):
        label_of(name)


HOSTILE_STATEMENTS = [
    "CREATE (n:Account {key: 'x'})",
    "MATCH (n) DETACH DELETE n",
    "MATCH (n:Entity) SET n.key = 'x' RETURN n",
    "MATCH (n:Entity) REMOVE n.key RETURN n",
    "MERGE (n:Entity {key: 'x'}) RETURN n",
    "MATCH (n) CALL (n) { SET n.x = 1 } RETURN n",
    "UNWIND [1] AS i FOREACH (x IN [i] | CREATE (:A))",
    "CALL { MATCH (n) DETACH DELETE n } IN TRANSACTIONS",
    "LOAD CSV FROM 'file:///etc/passwd' AS line RETURN line",
    "LOAD CSV FROM 'http://127.0.0.1:{port}/' AS line RETURN line",
    "MATCH (n) WITH n LIMIT 1 LOAD CSV FROM 'http://127.0.0.1:{port}/' AS line RETURN line",
    "CALL dbms.listConfig()",
    "CALL db.createLabel('Hostile')",
    "CALL db.labels() YIELD label RETURN label",
    "CALL tx.setMetaData({{user: 'someone'}})",
    "SHOW USERS",
    "SHOW SETTINGS",
    "TERMINATE TRANSACTIONS 'neo4j-transaction-1'",
    "CREATE USER mallory SET PASSWORD 'password1'",
    "ALTER CURRENT USER SET PASSWORD FROM 'a' TO 'b'",
    "DROP CONSTRAINT entity_key",
    "CREATE INDEX FOR (n:Entity) ON (n.x)",
    "STOP DATABASE neo4j",
    "MATCH (n) RETURN n; MATCH (m) DETACH DELETE m",
    "PROFILE MATCH (n) RETURN n",
    "EXPLAIN MATCH (n) RETURN n",
    "// harmless\nMATCH (n) DETACH DELETE n",
    "",
]


@pytest.mark.neo4j
class TestReadPath:
    @pytest.fixture(scope="class")
    def graph(self) -> LoadedGraph:
        return loaded_graph()

    @pytest.fixture
    def listener(self) -> Iterator[tuple[int, list[str]]]:
        """A loopback port and who connected to it."""
        seen: list[str] = []
        with socket.create_server(("127.0.0.1", 0)) as listening:

            def accept() -> None:
                while True:
                    try:
                        connection, address = listening.accept()
                    except OSError:
                        return
                    seen.append(str(address))
                    connection.close()

            threading.Thread(target=accept, daemon=True).start()
            yield listening.getsockname()[1], seen

    def test_hostile_statements_are_refused(self, graph: LoadedGraph, listener: tuple[int, list[str]]) -> None:
        assert len(HOSTILE_STATEMENTS) >= 20
        port, seen = listener
        endpoint = server.ensure_running(graph.workspace, graph.settings)
        before = graph.neo4j[2].contents()
        with connect(endpoint) as driver:
            for statement in HOSTILE_STATEMENTS:
                text = statement.replace("{port}", str(port)).replace("{{", "{").replace("}}", "}")
                with pytest.raises(ReadRefused, match="read path refuses"):
                    run_read(driver, endpoint.database, text, {})
            assert run_read(driver, endpoint.database, "RETURN $x", {"x": "'}) DELETE n"}) == [("'}) DELETE n",)]
        assert graph.neo4j[2].contents() == before
        assert not seen

    def test_the_server_itself_reads_no_file_and_no_address(
        self, graph: LoadedGraph, listener: tuple[int, list[str]], tmp_path: Path
    ) -> None:
        """Behind the gate: were a statement to get past it, the server's settings refuse the two."""
        if graph.settings.graph.uri:
            pytest.skip("the settings of another server are not ours")
        port, seen = listener
        (tmp_path / "secret.csv").write_text("secret\n")
        endpoint = server.ensure_running(graph.workspace, graph.settings)
        with connect(endpoint) as driver, driver.session(database=endpoint.database) as session:
            for url in (f"http://127.0.0.1:{port}/", (tmp_path / "secret.csv").as_uri()):
                with pytest.raises(Exception, match="Cannot load from URL"):
                    session.run("LOAD CSV FROM $url AS line RETURN line", url=url).consume()
        assert not seen

    def test_a_read_may_not_write_even_past_the_gate(self, graph: LoadedGraph, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(queries, "_require_read", lambda session, text: None)
        endpoint = server.ensure_running(graph.workspace, graph.settings)
        with connect(endpoint) as driver, pytest.raises(Exception, match="read access mode"):
            run_read(driver, endpoint.database, "CREATE (n:Account) RETURN n", {})

    def test_rows_and_time_are_limited(self, graph: LoadedGraph) -> None:
        endpoint = server.ensure_running(graph.workspace, graph.settings)
        with connect(endpoint) as driver:
            text = "UNWIND range(1, $n) AS i RETURN i"
            assert len(run_read(driver, endpoint.database, text, {"n": 5}, max_rows=5)) == 5
            with pytest.raises(ReadRefused, match="over 5 rows"):
                run_read(driver, endpoint.database, text, {"n": 6}, max_rows=5)
            slow = "UNWIND range(1, 100000) AS i UNWIND range(1, 100000) AS j RETURN count(i * j % 7)"
            with pytest.raises(queries.GraphTimeout, match=r"took over 0\.5 s"):
                run_read(driver, endpoint.database, slow, {}, timeout=0.5)
