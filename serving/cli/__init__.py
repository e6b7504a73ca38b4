"""The `ringfence` command. One file a group; heavy libraries load only for the command that needs them."""

from __future__ import annotations

import os
import sys

import orjson
import typer

from ingestion import native
from ingestion.errors import RingfenceError
from serving.cli import daily, data, experiment, graph, index, model, trial

app = typer.Typer(
    help="From a transaction table to an investigated alert. Start with: ringfence demo",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
daily.register(app)
trial.register(app)
app.add_typer(data.app, name="data")
app.add_typer(graph.app, name="graph")
app.add_typer(model.app, name="model")
app.add_typer(index.app, name="index")
app.add_typer(experiment.app, name="experiment")


def main() -> None:
    """Entry point: exit codes 0 ok, 1 failure, 2 usage, 3 data contract, 4 gate refused, 75 retry later."""
    native.prepare()
    try:
        app()
    except RingfenceError as error:
        _report(error)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted; the same command goes on where it stopped.\n")
        sys.exit(130)


def _report(error: RingfenceError) -> None:
    if "--json" in sys.argv:
        body = {"error": {"type": type(error).__name__, "what": error.what, "remedy": error.remedy}}
        sys.stdout.write(orjson.dumps(body).decode() + "\n")
    sys.stderr.write(f"{error.what}\n")
    if error.remedy:
        sys.stderr.write(f"  -> {error.remedy}\n")
    if os.environ.get("RINGFENCE_DEBUG"):
        raise error
