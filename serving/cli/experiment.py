"""`ringfence experiment`: what a part of a network is worth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from serving.cli.options import DEFAULT_WORKSPACE, JsonOption, WorkspaceOption, answer, open_workspace

app = typer.Typer(help="Experiments on a snapshot.", no_args_is_help=True)


@app.callback()
def experiment() -> None:
    """Experiments on a snapshot."""


@app.command()
def ablate(
    plan: Annotated[Path, typer.Argument(help="TOML: claim, network, folds, seeds, base settings, parts to drop.")],
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    snapshot: Annotated[str | None, typer.Option(help="Snapshot id [default: the newest].")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the record [default: the plan's].")] = None,
    as_json: JsonOption = False,
) -> None:
    """Drop one part of a network at a time on the same folds, and write a one-page record with keep-or-drop verdicts.

    Results are kept by row, fold and seed: a killed run goes on, and one with more seeds computes only those. Writes
    NAME.md and NAME.json beside the plan NAME.toml.

    Example: ringfence experiment ablate docs/ablations/fused.toml --workspace ./workspace-demo
    """
    from graphml.ablation import AblationPlan, ablate
    from ingestion.snapshot import Snapshot
    from serving import ablation_record
    from serving.progress import StageLog

    read = AblationPlan.read(plan)
    opened, _ = open_workspace(workspace)
    chosen = Snapshot.open(opened, snapshot)
    with StageLog().stage("ablation") as stage:
        found = ablate(chosen, read, opened.cache / "evaluation", progress=stage)
    page = ablation_record.write(out or plan.parent, plan.stem, chosen.id, found)
    answer(found.as_dict() | {"record": str(page)}, as_json, lambda console: ablation_record.show(console, found, page))
