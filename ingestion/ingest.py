"""`ingest`: from a user's table and a mapping to a published snapshot (DESIGN 4, TRUST RES-I, PUB, DAT1-3).

Nothing is visible before the snapshot is whole: files are read, checked and built in hidden folders, the originals
of personal values go to the vault, the folder is renamed, the pointer flipped. Killed anywhere, the same command
again ends in the same state. One source lineage a workspace: what is new is what was not seen by file hash, then by
id; a second file makes a new snapshot on top of its parent.
"""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from ingestion.artifacts import canonical_json, publish, short_hash, staging
from ingestion.canonical import MODULUS, as_hex
from ingestion.cluster import check_workers
from ingestion.contracts import LABEL, MICROSECONDS_PER_DAY
from ingestion.disk import disk_errors
from ingestion.drift import REFERENCE_DAYS, snapshot_drift
from ingestion.errors import DataContractError
from ingestion.failpoints import failpoint
from ingestion.features.code import feature_code
from ingestion.features.spec import FeatureSpec, load_spec
from ingestion.jobs.accept import Accepted, Known, accept
from ingestion.jobs.build import Builder, Built, write_quarantine
from ingestion.jobs.read import PARTS, Reader, ReadResult, read_sources
from ingestion.label_rows import label_columns
from ingestion.label_sources import LabelFile
from ingestion.mapping import Mapping
from ingestion.pieces import SourceFile
from ingestion.plan import IngestPlan, plan_ingest
from ingestion.privacy import Tokenizer
from ingestion.profile import profile
from ingestion.rates import Rates
from ingestion.replay import Replay, same_quarantine
from ingestion.resolution.decisions import DecisionLog
from ingestion.resolution.periods import Decision
from ingestion.resolution.relink import link_terms, relink, undecided
from ingestion.snapshot import PROFILE, Snapshot
from ingestion.sources import pieces_of, source_bytes, sources_hash, without_damage
from ingestion.spark import LOCAL, parallelism, spark_session
from ingestion.vault import Vault
from ingestion.workspace import Workspace

Progress = Callable[[str, float], None]

#: What an ingest writes at most beside each other for a byte of its source: parts, shuffle files, the snapshot.
BYTES_A_SOURCE_BYTE = 4
#: Below it Spark's session is a short one.
SHORT_ROWS = 500_000
STAGES = ("start", "read", "check", "entities", "sequence", "links", "labels", "features", "publish")


@dataclass(frozen=True, kw_only=True)
class IngestResult:
    """What an ingest did. `num_rows` transactions and labels were read, `num_new` transactions are new in
    `snapshot_id`; `reused` says that there was nothing new; `seconds` by stage."""

    snapshot_id: str
    batch: int
    num_rows: int
    num_new: int
    num_duplicates: int
    num_quarantined: int
    reused: bool
    seconds: dict[str, float]


@dataclass
class _Clock:
    """Seconds by stage, told to `progress` as stages begin and end."""

    progress: Progress | None
    seconds: dict[str, float] = field(default_factory=dict)
    name: str | None = None
    begin: float = 0.0

    def stage(self, name: str | None) -> None:
        """End the stage under way and begin the next."""
        now = time.monotonic()
        if self.name is not None:
            self.seconds[self.name] = round(now - self.begin, 3)
            if self.progress:
                self.progress(self.name, 1.0)
        self.name, self.begin = name, now
        if name is not None and self.progress:
            self.progress(name, 0.0)


def ingest(
    workspace: Workspace,
    source: Path,
    mapping: Mapping,
    *,
    master: str = LOCAL,
    max_bad_share: float = 0.01,
    new_lineage: bool = False,
    unreviewed_alerts: Collection[str] = (),
    now: int | None = None,
    replay: Replay | None = None,
    progress: Progress | None = None,
) -> IngestResult:
    """Ingest a CSV or Parquet file, or a folder of them, and make its snapshot the current one.

    Args:
        max_bad_share: share of bad rows, duplicates left out, above which nothing is published.
        new_lineage: leave what the workspace holds behind and begin a new source lineage.
        unreviewed_alerts: ids of transactions that are an alert without a review: they never mature (DESIGN 4).
        replay: read only rows that are in quarantine, from their file and line; those that are good now enter.
        now: our clock in µs, for times in the future; the wall clock when it is None.
        progress: told the name of each stage (of STAGES) with 0.0 as it begins and 1.0 as it ends.

    Raises `MappingError` for a column that is missing, `DamagedFile`, `DataContractError` over the share of bad
    rows (the quarantine is kept and named), `RetryLater` when Spark does not start or another job writes.
    """
    clock = _Clock(progress)
    clock.stage("start")
    needed = BYTES_A_SOURCE_BYTE * source_bytes(source)
    with disk_errors(workspace.root, needed_bytes=needed), workspace.lock(doing="the ingest"):
        works = workspace.emptied_works()
        plan = plan_ingest(workspace, source, mapping, new_lineage=new_lineage, again=replay is not None)
        plan = plan if replay is None else replay.restrict(plan)
        decisions = tuple(DecisionLog.of(workspace).read())
        if plan.parent is not None and not plan.files and not undecided(plan.parent, decisions):
            clock.stage(None)
            return _reused(plan.parent, clock)
        work = works / uuid.uuid4().hex[:8]  # Spark finds what it has cached by the paths in its plan
        work.mkdir(parents=True, mode=0o700)
        try:
            with spark_session(master, scratch=work / "spark", short=plan.num_rows < SHORT_ROWS) as session:
                check_workers(session, work, source)
                if plan.parent is not None and not plan.files:
                    return _relinked(workspace, plan.parent, decisions, session, work, clock)
                return _Ingest(
                    workspace=workspace,
                    plan=plan,
                    session=session,
                    work=work,
                    clock=clock,
                    now=time.time_ns() // 1_000 if now is None else now,
                    max_bad_share=max_bad_share,
                    unreviewed_alerts=tuple(sorted(unreviewed_alerts)),
                    decisions=decisions,
                ).run()
        finally:
            shutil.rmtree(works, ignore_errors=True)


@dataclass(frozen=True, kw_only=True)
class _Ingest:
    """One ingest under way."""

    workspace: Workspace
    plan: IngestPlan
    session: SparkSession
    work: Path
    clock: _Clock
    now: int
    max_bad_share: float
    unreviewed_alerts: tuple[str, ...]
    decisions: tuple[Decision, ...]

    def run(self) -> IngestResult:
        self.clock.stage("read")
        read = self._read()
        failpoint("ingest.after_read")
        self.clock.stage("check")
        known = self._known()
        accepted = self._accept(read, known)
        self._refuse_too_many_bad(read, accepted)
        parent = self.plan.parent
        if parent is not None and self._changes_nothing(parent, accepted):
            self.clock.stage(None)
            return _reused(parent, self.clock, read=read, accepted=accepted)
        with self._staging() as folder:
            built = self._build(folder, read, accepted, known)
            failpoint("ingest.after_features")
            self.clock.stage("publish")
            manifest = self._manifest(built, accepted, read)
            self._fill_vault()
            self._profile(Snapshot(folder, manifest))
            publish(folder, self.workspace.snapshots / manifest["id"], manifest, fail_point="snapshot")
        self.workspace.set_current_snapshot(manifest["id"])
        self.clock.stage(None)
        return IngestResult(
            snapshot_id=manifest["id"],
            batch=manifest["batch"],
            num_rows=read.num_rows,
            num_new=accepted.num_new,
            num_duplicates=accepted.num_duplicates,
            num_quarantined=accepted.num_quarantined,
            reused=False,
            seconds=self.clock.seconds,
        )

    def _read(self) -> ReadResult:
        """Read all pieces. When a worker dies, what killed it is looked for and left out, once."""
        try:
            return self._read_files(self.plan.all_files)
        except PySparkException:
            mapping = self.plan.mapping
            of_labels = [name for each in mapping.labels if isinstance(each, LabelFile) for name in label_columns(each)]
            columns = [*mapping.read_columns, *of_labels]
            files = tuple(without_damage(file, columns) for file in self.plan.all_files)
            if not any(file.damaged for file in files):
                raise
        for name in PARTS:
            shutil.rmtree(self.work / name)
        return self._read_files(files)

    def _read_files(self, files: tuple[SourceFile, ...]) -> ReadResult:
        plan = self.plan
        workers = parallelism(self.session)
        pieces = [
            piece
            for index, file in enumerate(files)
            for piece in pieces_of(file, index, workers=workers, delimiter=plan.mapping.delimiter)
        ]
        reader = Reader(
            mapping=plan.mapping,
            tokenizer=Tokenizer.of(self.workspace, plan.mapping),
            now=self.now,
            folder=str(self.work),
            label_files=plan.label_files,
            lines=plan.lines,
        )
        return read_sources(self.session, pieces, reader)

    def _replayed(self) -> pa.Table | None:
        """File and line of the rows that a replay reads."""
        lines = self.plan.lines
        if lines is None:
            return None
        pairs = [(self.plan.files[index].name, line) for index, chosen in lines.items() for line in chosen]
        names, numbers = zip(*pairs, strict=True)
        return pa.table({"source_file": pa.array(names, pa.string()), "line": pa.array(numbers, pa.int64())})

    def _changes_nothing(self, parent: Snapshot, accepted: Accepted) -> bool:
        """Whether the parent holds all of this already, its quarantine included."""
        if accepted.num_new or accepted.num_new_labels or not self._same_terms(parent):
            return False
        if self.plan.lines is None:
            return accepted.num_quarantined == 0
        return not accepted.num_duplicates and same_quarantine(parent, self.plan, accepted.quarantine)

    def _known(self) -> Known | None:
        parent = self.plan.parent
        if parent is None:
            return None
        labels = self.session.read.parquet(str(parent.path / "labels"))
        return Known(
            transactions=self.session.read.parquet(str(parent.path / "transactions")),
            entities=self.session.read.parquet(str(parent.path / "entities")),
            labels=labels.where(F.col("origin") != "matured").select(*LABEL.names),
            num_rows=parent.manifest["num_transactions"],
        )

    def _accept(self, read: ReadResult, known: Known | None) -> Accepted:
        rows, labels, quarantine = (self._parquet(name) for name in ("rows", "labels", "quarantine"))
        names = [file.name for file in self.plan.all_files]
        return accept(rows, labels, quarantine, read, known=known, mapping=self.plan.mapping, names=names)

    def _refuse_too_many_bad(self, read: ReadResult, accepted: Accepted) -> None:
        rows = read.num_rows - accepted.num_duplicates
        if read.num_rows == 0:
            raise DataContractError("The source holds no rows.", remedy="Name a table with rows.")
        share = accepted.num_quarantined / max(rows, 1)
        empty = self.plan.parent is None and accepted.num_new == 0
        if share <= self.max_bad_share and not empty:
            return
        kept = self.workspace.root / "quarantine" / sources_hash(self.plan.all_files)
        shutil.rmtree(kept, ignore_errors=True)
        write_quarantine(accepted.quarantine, kept)
        reasons = accepted.quarantine.groupBy("reason").count().orderBy(F.desc("count"), "reason").limit(3).collect()
        told = ", ".join(f"{row['reason']} {row['count']}" for row in reasons)
        raise DataContractError(
            f"{accepted.num_quarantined} of {rows} rows are bad ({share:.1%}, at most {self.max_bad_share:.1%} may be):"
            f" {told}. Nothing was published; the snapshot in force is unchanged.",
            remedy=f"See {kept} for each row, its line and remedy; mend the table or the mapping, or raise the share.",
        )

    def _same_terms(self, parent: Snapshot) -> bool:
        """Whether the parent was made with these features, links and maturity."""
        same_features = parent.manifest["feature_spec"] == _plain(self._spec)
        same_links = parent.manifest.get("link_terms") == self._link_terms
        same_maturity = parent.manifest["label_maturity_days"] == self.plan.mapping.label_maturity_days
        return same_features and same_links and same_maturity

    def _staging(self) -> AbstractContextManager[Path]:
        return staging(self.workspace.snapshots, prefix="snapshot")

    def _build(self, folder: Path, read: ReadResult, accepted: Accepted, known: Known | None) -> Built:
        builder = Builder(
            session=self.session,
            mapping=self.plan.mapping,
            spec=self._spec,
            folder=folder,
            work=self.work,
            parent=self.plan.parent,
            unreviewed_alerts=self.unreviewed_alerts,
            decisions=self.decisions,
            rates=self._rates,
            replayed=self._replayed(),
        )
        return builder.build(accepted, currencies=read.currencies, known=known, stage=self.clock.stage)

    @property
    def _spec(self) -> FeatureSpec:
        mapping = self.plan.mapping
        two_way = bool(set(mapping.source.types) & set(mapping.target.types))
        return load_spec(mapping.features).for_roles(mapping.roles, two_way=two_way)

    @cached_property
    def _rates(self) -> Rates | None:
        """The rates of the parent and of the file beside the source."""
        path, wanted, parent = self.plan.rates_path, self.plan.mapping.rates, self.plan.parent
        if path is None or wanted is None:
            return None
        before = None if parent is None else parent.rates
        return Rates.read(path, wanted.base, delimiter=self.plan.mapping.delimiter, before=before)

    @property
    def _link_terms(self) -> str | None:
        return link_terms(self.plan.mapping.resolution, self.decisions)

    def _manifest(self, built: Built, accepted: Accepted, read: ReadResult) -> dict[str, Any]:
        plan, mapping = self.plan, self.plan.mapping
        before = {} if plan.parent is None else plan.parent.manifest
        rows_hash = as_hex((int(before.get("rows_hash", "0"), 16) + accepted.hash_sum) % MODULUS)
        spec = _plain(self._spec)
        identity = [rows_hash, spec, mapping.label_maturity_days, before.get("id"), *self.unreviewed_alerts]
        identity += [] if self._link_terms is None else [self._link_terms]
        identity += [] if self._rates is None else [self._rates.digest]
        left_out = dict(before.get("left_out", {}))
        for reason, rows in read.left_out.items():
            left_out[reason] = left_out.get(reason, 0) + rows
        snapshot_id = "snap-" + short_hash(identity, length=16)
        return vars(built) | {
            "id": snapshot_id,
            "lineage": before.get("lineage", "lineage-" + snapshot_id[5:17]),
            "parent": before.get("id"),
            "batch": before.get("batch", 0) + 1,
            "mapping": mapping.as_dict(),
            "alert_party": mapping.alert_party,
            "label_maturity_days": mapping.label_maturity_days,
            "feature_spec": spec,
            "link_terms": self._link_terms,
            "base_currency": None if mapping.rates is None else mapping.rates.base,
            "left_out": left_out,
            "roles": list(mapping.roles),
            "num_duplicates": before.get("num_duplicates", 0) + accepted.num_duplicates,
            "rows_hash": rows_hash,
            "sources": [*before.get("sources", []), *plan.new_sources],
            "code_version": metadata.version("ringfence"),
            "feature_code": feature_code(),
        }

    def _profile(self, snapshot: Snapshot) -> None:
        """Write `profile.json`: the last days, and how what is new differs from the parent's."""
        end = snapshot.manifest["horizon"]
        recent = profile(snapshot, begin=end - REFERENCE_DAYS * MICROSECONDS_PER_DAY, end=end)
        parent = self.plan.parent
        drift = None if parent is None else snapshot_drift(parent, snapshot)
        (snapshot.path / PROFILE).write_bytes(canonical_json({"profile": recent.as_dict(), "drift": drift}))

    def _fill_vault(self) -> None:
        """Take in the originals that the workers left, file by file."""
        vault = Vault.of(self.workspace)
        for path in sorted((self.work / "originals").glob("*.parquet")):
            for batch in pq.ParquetFile(path).iter_batches(batch_size=50_000):
                vault.add(pa.Table.from_batches([batch]))
            path.unlink()

    def _parquet(self, name: str) -> DataFrame:
        return self.session.read.parquet(str(self.work / name))


def _plain(spec: FeatureSpec) -> dict[str, Any]:
    """The spec as JSON would give it back: lists for tuples."""
    return dict(_lists(spec.as_dict()))


def _lists(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _lists(item) for key, item in value.items()}
    return [_lists(item) for item in value] if isinstance(value, list | tuple) else value


def _relinked(
    workspace: Workspace,
    parent: Snapshot,
    decisions: tuple[Decision, ...],
    session: SparkSession,
    work: Path,
    clock: _Clock,
) -> IngestResult:
    """Nothing was read: a snapshot whose links follow what people decided since its parent."""
    clock.stage("links")
    snapshot_id = relink(workspace, parent, decisions, session=session, work=work)
    clock.stage(None)
    batch = parent.manifest["batch"] + 1
    return replace(_reused(parent, clock), snapshot_id=snapshot_id, batch=batch, reused=False)


def _reused(
    parent: Snapshot, clock: _Clock, *, read: ReadResult | None = None, accepted: Accepted | None = None
) -> IngestResult:
    return IngestResult(
        snapshot_id=parent.id,
        batch=parent.manifest["batch"],
        num_rows=read.num_rows if read else 0,
        num_new=0,
        num_duplicates=accepted.num_duplicates if accepted else 0,
        num_quarantined=accepted.num_quarantined if accepted else 0,
        reused=True,
        seconds=clock.seconds,
    )
