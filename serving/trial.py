"""`ringfence try`: a table that nobody has described, from file to report in one go. No graph server is needed.

Mapping (proposed, or given) → check → inspection → ingest → ladder where there are labels → report. Questions that
are open are settled by the best guess and listed. What cannot be done (too short a table, too few frauds) is said in
the report, with the reason, and everything else is there all the same.
"""

from __future__ import annotations

import datetime as dt
import shlex
from collections.abc import Mapping as Dictionary
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from graphml.model import Model
from graphml.training import TrainResult
from ingestion.artifacts import file_sha256, write_atomically
from ingestion.config import Settings
from ingestion.errors import DataContractError, MappingError, UsageError
from ingestion.inspection import Inspection, inspect_table
from ingestion.mapping import Mapping, load_mapping, mapping_path
from ingestion.mapping_check import MappingCheck, check_mapping
from ingestion.plan import source_paths
from ingestion.proposer.decision import Decision
from ingestion.proposer.proposal import Proposal, propose_mapping
from ingestion.proposer.questions import question_of
from ingestion.proposer.render import render_toml
from ingestion.snapshot import Snapshot
from ingestion.workspace import Workspace
from serving import ladder_table, pipeline
from serving.inspection_report import inspection_json, show_inspection, write_inspection
from serving.nightly import quarantine_by_reason
from serving.progress import StageLog
from serving.table_profile import TableProfile, profile_table
from serving.trial_report import TrialReport, write_trial_report

#: A trial is a first look: GraphSAGE passes so often at most and looks at so many neighbors, where a nightly run may go
#: on and look further.
MOST_EPOCHS = 4
MOST_FANOUTS = (8, 4)
_ELSEWHERE = "Try the table in another folder: --workspace DIR."


@dataclass(frozen=True, kw_only=True)
class TrialResult:
    """What a trial made. `stopped` says why there is no ladder, or no snapshot; None when all went through."""

    run_id: str
    mapping_file: Path
    proposal: Proposal | None
    check: MappingCheck
    inspection: Inspection
    profile: TableProfile | None
    trained: TrainResult | None
    stopped: DataContractError | None
    report: Path
    stages: list[dict[str, Any]]

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "run_id": self.run_id,
            "mapping": str(self.mapping_file),
            "questions": [] if self.proposal is None else [item.as_dict() for item in self.proposal.questions],
            "check": {"rows": self.check.sample["rows"], "bad_share": self.check.bad_share},
            "inspection": inspection_json(self.inspection),
            "profile": None if self.profile is None else self.profile.as_dict(),
            "ladder": None if self.trained is None else self.trained.ladder.as_dict(),
            "stopped": None if self.stopped is None else {"what": self.stopped.what, "remedy": self.stopped.remedy},
            "report": str(self.report),
            "stages": self.stages,
        }


def trial(
    workspace: Workspace,
    *,
    source: Path,
    settings: Settings,
    mapping: str | None = None,
    answers: Dictionary[str, Any] | None = None,
    master: str = "local[2]",
) -> TrialResult:
    """Try a table. Raises `UsageError` when it is not there, `MappingError` when no mapping can be made of it."""
    if not source.exists():
        raise UsageError(f"{source} does not exist.", remedy="Name a CSV or Parquet file, or a folder of them.")
    if workspace.current_release() is not None:
        raise UsageError(f"{workspace.root} holds a release, which a trial would push aside.", remedy=_ELSEWHERE)
    run_id = f"run-{dt.datetime.now(dt.UTC):%Y%m%dT%H%M%SZ}"
    folder = workspace.runs / run_id
    stages = StageLog(folder / "stages.jsonl")
    with workspace.lock(doing="this trial"):
        proposal, path = _mapping(source, mapping, answers, folder, stages)
        chosen = load_mapping(path)
        with stages.stage("check") as stage:
            check = check_mapping(source, chosen)
            stage.output = {"rows": check.sample["rows"], "bad_share": round(check.bad_share, 4)}
        with stages.stage("inspect") as stage:
            inspection = inspect_table(source, chosen, progress=stage)
            write_inspection(folder, inspection)
            stage.output = {"findings": len(inspection.findings)}
        snapshot, trained, stopped = _run(workspace, stages, source, path, chosen, settings, master)
        with stages.stage("report") as stage:
            profile = None if snapshot is None else profile_table(snapshot)
            data = TrialReport(
                run_id=run_id,
                source=source.name,
                mapping_toml=path.read_text(encoding="utf-8"),
                decisions=[] if proposal is None else [item.as_dict() for item in proposal.decisions.values()],
                questions=[] if proposal is None else [_question(item) for item in proposal.questions],
                check=check.as_dict(),
                inspection=inspection,
                profile=profile,
                quarantine=[] if snapshot is None else quarantine_by_reason(snapshot),
                model=None if trained is None else Model.open(trained.path),
                ladder=None if trained is None else trained.ladder,
                stopped=None if stopped is None else f"{stopped.what} {stopped.remedy}",
                stages=stages.entries,
            )
            report = write_trial_report(folder, data)
            stage.output = {"report": str(report)}
    return TrialResult(
        run_id=run_id,
        mapping_file=path,
        proposal=proposal,
        check=check,
        inspection=inspection,
        profile=profile,
        trained=trained,
        stopped=stopped,
        report=report,
        stages=stages.entries,
    )


def _mapping(
    source: Path, given: str | None, answers: Dictionary[str, Any] | None, folder: Path, stages: StageLog
) -> tuple[Proposal | None, Path]:
    """The mapping's file in the run's folder: proposed, or a copy of the one that was given."""
    path = folder / "mapping.toml"
    with stages.stage("mapping") as stage:
        if given is not None:
            if answers:
                raise UsageError(
                    "A mapping was given, so nothing is asked.", remedy="Leave out --answers or --mapping."
                )
            load_mapping(given)
            write_atomically(path, mapping_path(given).read_bytes())
            stage.output = {"mapping": given}
            return None, path
        proposal = propose_mapping(source, answers=answers)
        write_atomically(path, render_toml(proposal).encode())
        stage.output = {"decisions": len(proposal.decisions), "questions": len(proposal.questions)}
        for key in ("fields.amount", "fields.event_time"):
            if (guess := proposal.decisions[key]).is_guessed:
                raise MappingError(
                    f"{source.name} cannot be tried yet: {key} = {guess.choice} is a mere guess ({guess.reason}).",
                    remedy=f"Answer it (--answers {key}=COLUMN), or mend the draft {path} and give it by --mapping.",
                )
        try:
            proposal.mapping()
        except MappingError as error:
            raise MappingError(error.what, remedy=f"{error.remedy} The draft is in {path}.") from error
    return proposal, path


def _run(
    workspace: Workspace, stages: StageLog, source: Path, path: Path, mapping: Mapping, settings: Settings, master: str
) -> tuple[Snapshot | None, TrainResult | None, DataContractError | None]:
    """Ingest, and train where something is labeled; what the data do not allow comes back as the reason."""
    try:
        pipeline.ingest_table(
            workspace,
            stages,
            source=source,
            mapping=str(path),
            master=master,
            max_bad_share=settings.source.max_bad_share,
            new_lineage=not _holds(workspace, source, mapping),
        )
    except DataContractError as error:
        return None, None, error
    snapshot = Snapshot.open(workspace)
    if not mapping.labels:
        return snapshot, None, None
    try:
        return snapshot, pipeline.train_model(workspace, stages, shortened(settings), snapshot), None
    except DataContractError as error:
        return snapshot, None, error


def shortened(settings: Settings) -> Settings:
    """The settings of a first look: fewer passes, fewer neighbors."""
    wanted = settings.train
    fanouts = tuple(min(pair) for pair in zip(wanted.fanouts, MOST_FANOUTS, strict=True))
    train = wanted.model_copy(update={"epochs": min(wanted.epochs, MOST_EPOCHS), "fanouts": fanouts})
    return settings.model_copy(update={"train": train})


def _holds(workspace: Workspace, source: Path, mapping: Mapping) -> bool:
    """Whether the newest snapshot is of this very table and mapping: then nothing is done again."""
    if workspace.current_snapshot() is None:
        return False
    manifest = Snapshot.open(workspace).manifest
    paths = source_paths(source, mapping)
    files = {file_sha256(path) for path in [*paths.transactions, *paths.labels.values()]}
    return manifest["mapping"] == mapping.as_dict() and {entry["sha256"] for entry in manifest["sources"]} == files


def _question(item: Decision) -> dict[str, Any]:
    return item.as_dict() | {"question": question_of(item)}


def show(console: Console, result: TrialResult, source: Path) -> None:
    """The open questions, the findings, the ladder and the report on a terminal."""
    lines = []
    if result.proposal is not None and result.proposal.questions:
        lines.append("Settled by the best guess; settle them yourself by --answers KEY=VALUE:")
        lines += [f"  {item.key} = {item.choice}  {question_of(item)}" for item in result.proposal.questions]
    console.print("\n".join(lines), markup=False, highlight=False, soft_wrap=True)
    show_inspection(console, result.inspection)
    if result.profile is not None:
        told = result.profile
        parties = ", ".join(f"{count:,} {kind}" for kind, count in told.entities.items())
        span = f"{told.num_transactions:,} transactions from {told.first} to {told.last}; {parties}"
        console.print(span, markup=False, highlight=False)
    if result.trained is not None:
        ladder_table.show(console, result.trained)
    last = [f"Mapping: {result.mapping_file}", f"Report:  {result.report}"]
    if result.stopped is not None:
        last.insert(
            0, f"No {'ladder' if result.profile else 'snapshot'}: {result.stopped.what} {result.stopped.remedy}"
        )
    elif result.trained is None:
        last.insert(0, "No label in the table, so no ladder: mapping, inspection and profile are in the report.")
    mapping = shlex.quote(str(result.mapping_file))
    last.append(f"Next: edit the mapping, then ringfence nightly {shlex.quote(str(source))} --mapping {mapping}")
    console.print("\n".join(last), markup=False, highlight=False, soft_wrap=True)
