"""The Neo4j process: its home folder and settings, how it is started detached, how it ends."""

from __future__ import annotations

import re
import socket
import subprocess
from pathlib import Path

import psutil

from ingestion.config import GraphSettings
from ingestion.errors import RetryLater, UsageError
from ingestion.graph.neo4j_jars import ServerJars
from ingestion.java import java_command

_FOLDERS = ("conf", "data", "logs", "run", "plugins", "import")
_OPENED = ("java.nio", "java.io", "sun.nio.ch", "java.util.concurrent")
_LOG = "logs/console.log"

#: Strict validation stops the start on a misspelt name. The transaction logs are bounded: 1.5 M relationships by
#: Bolt left 1.3 GB otherwise. Keep-alives tell a client within 3 s that the server hangs. Without the quiet period a
#: stop takes 2 s, not 12. No statement may read a file or an address (TRUST CYP).
_CONFIGURATION = """\
server.config.strict_validation.enabled=true
server.default_listen_address=127.0.0.1
server.bolt.enabled=true
server.bolt.listen_address=127.0.0.1:{port}
server.bolt.advertised_address=127.0.0.1:{port}
server.bolt.connection_keep_alive=1s
server.bolt.connection_keep_alive_for_requests=ALL
server.bolt.connection_keep_alive_probes=3
server.bolt.telemetry.enabled=false
internal.dbms.bolt.netty_server_shutdown_quiet_period=0
server.http.enabled=false
server.https.enabled=false
server.directories.data={home}/data
server.directories.logs={home}/logs
server.directories.run={home}/run
server.directories.plugins={home}/plugins
server.directories.import={home}/import
server.memory.pagecache.size={page_cache}
db.tx_log.rotation.size=64m
db.tx_log.rotation.retention_policy=2 files
db.transaction.timeout=20m
dbms.usage_report.enabled=false
dbms.security.allow_csv_import_from_file_urls=false
internal.dbms.cypher_ip_blocklist=0.0.0.0/0,::/0
"""


class GraphServerFailed(RetryLater):
    """The server or its importer ended before it was done."""


def make_home(home: Path, settings: GraphSettings, port: int) -> None:
    """The folders and the configuration of a server that will listen on a loopback port."""
    for name in _FOLDERS:
        (home / name).mkdir(parents=True, exist_ok=True)
    page_cache = _memory("page_cache", settings.page_cache)
    text = _CONFIGURATION.format(port=port, home=home, page_cache=page_cache)
    (home / "conf" / "neo4j.conf").write_text(text, encoding="utf-8")


def free_port(preferred: int = 0) -> int:
    """A loopback port that nobody listens on now; the preferred one when it is free."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections of the last run may linger
        try:
            probe.bind(("127.0.0.1", preferred))
        except OSError:
            probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def start_detached(home: Path, jars: ServerJars, settings: GraphSettings) -> psutil.Process:
    """Start the server of a home folder in a session of its own; it outlives this process.

    The shell between makes it nobody's child: no zombie is left in a long-lived caller when it ends.
    """
    heap = _memory("heap", settings.heap)
    command = [
        str(java_command()),
        "-Xms256m" if psutil.virtual_memory().total > 2**31 else "-Xms64m",
        f"-Xmx{heap}",
        "-XX:+UseG1GC",
        "-Dfile.encoding=UTF-8",
        *(f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in _OPENED),
        "-cp",
        jars.class_path,
        "org.neo4j.server.CommunityEntryPoint",
        f"--home-dir={home}",
        f"--config-dir={home / 'conf'}",
        "--console-mode",
    ]
    script = 'log="$1"; shift; "$@" </dev/null >"$log" 2>&1 & echo $!'
    launched = subprocess.run(
        ["/bin/sh", "-c", script, "sh", str(home / _LOG), *command],
        cwd=home,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        start_new_session=True,
        check=True,
    )
    try:
        return psutil.Process(int(launched.stdout))
    except psutil.NoSuchProcess as error:
        raise failed_start(home) from error


def failed_start(home: Path) -> GraphServerFailed:
    """The error of a server that ended by itself, with the end of its log."""
    log = home / _LOG
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else []
    telling = [line for line in lines if re.search("ERROR|Exception|Error:", line) and not line.startswith("\tat")]
    said = " / ".join(line.strip()[:300] for line in (telling or lines)[-3:])
    return GraphServerFailed(f"The graph server did not start: {said or 'it said nothing'}.", remedy=f"See {log}.")


def end(process: psutil.Process, *, patience: float = 60.0) -> None:
    """Stop a server by SIGTERM; by SIGKILL when it hangs (it recovers from its logs at the next start)."""
    try:
        process.terminate()
        try:
            process.wait(patience)
        except psutil.TimeoutExpired:
            process.kill()
            process.wait(patience)
    except psutil.NoSuchProcess:
        pass


def run_import(home: Path, jars: ServerJars, settings: GraphSettings, arguments: list[str]) -> None:
    """Run the server's bulk importer in a home folder whose server is stopped."""
    command = [
        str(java_command()),
        f"-Xmx{_memory('heap', settings.heap)}",
        "-Dfile.encoding=UTF-8",
        *(f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in ("java.nio", "sun.nio.ch")),
        "-cp",
        jars.class_path,
        "org.neo4j.cli.AdminTool",
        "database",
        "import",
        "full",
        "neo4j",
        *arguments,
    ]
    environment = {
        "NEO4J_HOME": str(home),
        "NEO4J_CONF": str(home / "conf"),
        "PATH": "/usr/bin:/bin",
        "LC_ALL": "C.UTF-8",
    }
    log = home / "logs" / "import.log"
    with log.open("wb") as file:
        run = subprocess.run(command, cwd=home, env=environment, stdout=file, stderr=subprocess.STDOUT, check=False)
    if run.returncode != 0:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        said = next((line for line in lines if "ERROR" in line or "Caused by" in line), lines[-1] if lines else "")
        raise GraphServerFailed(
            f"The bulk importer ended with {run.returncode}: {said.strip()[:300]}",
            remedy="Run the same command again; the graph in force is as it was.",
        )


def _memory(name: str, value: str) -> str:
    if not re.fullmatch(r"[1-9]\d*[kmgKMG]", value):
        raise UsageError(f"[graph] {name} = {value!r} is no memory size.", remedy="Write for example 512m or 2g.")
    return value
