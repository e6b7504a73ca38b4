"""Everything of one release, opened together: snapshot, model, index, graph reads, alerts, investigations.

A request (or a command) holds one `ServingContext`, so an answer never mixes two releases.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType

import numpy as np
import sqlalchemy as sa

from graphml.context import GraphContext
from graphml.model import Model
from ingestion.config import Settings
from ingestion.contracts import PartyRef
from ingestion.errors import GraphUnavailable, UsageError
from ingestion.graph import server
from ingestion.graph.neo4j_store import Neo4jStore
from ingestion.graph.open import open_graph_store
from ingestion.graph.snapshot_store import SnapshotStore
from ingestion.graph.store import GraphTransaction
from ingestion.mapping import Mapping
from ingestion.privacy import Tokenizer
from ingestion.snapshot import Snapshot
from ingestion.workspace import Workspace
from retrieval.embedding import SnapshotEmbedder
from retrieval.errors import UnknownSubject
from retrieval.index import EntityIndex
from retrieval.investigation import AlertRef, Investigation, InvestigationContext, investigate
from retrieval.reader import CaseReader
from retrieval.records import SnapshotRecords
from retrieval.risk import entity_risk
from retrieval.similar import Similar, similar
from serving.alerts import Alert, read_alert
from serving.attribution import Attributions
from serving.database import open_database
from serving.event_reader import EventReader
from serving.graph_reads import ResilientStore
from serving.profiles import Activities, EntityProfile
from serving.release import Release
from serving.times import as_of_option


@dataclass(frozen=True, kw_only=True)
class ReleaseParts:
    """The opened artefacts of a release."""

    release: Release
    snapshot: Snapshot
    model: Model
    index: EntityIndex | None

    @classmethod
    def open(cls, workspace: Workspace, release: Release) -> ReleaseParts:
        """Verify against the digests of the release, then open. Raises `ArtifactError`."""
        release.verify(workspace)
        folders = release.folders(workspace)
        index = None
        if "index" in folders:
            index = EntityIndex.open(
                folders["index"],
                snapshot_id=release.snapshot_id,
                model_id=release.model_id,
                expected_digest=release.digests["index"],
            )
        return cls(
            release=release, snapshot=Snapshot.at(folders["snapshot"]), model=Model.open(folders["model"]), index=index
        )


class ServingContext:
    """Reads over one release. Open it with `ServingContext.open`, use it as a context manager, or `close()` it."""

    def __init__(
        self, parts: ReleaseParts, *, store: ResilientStore, app: sa.Engine, events: EventReader, tokenizer: Tokenizer
    ) -> None:
        self.parts = parts
        self.store = store
        self.app = app
        self.release_id = parts.release.id
        self.graph = GraphContext(parts.snapshot)
        self._events = events
        self._tokenizer = tokenizer
        self._records = SnapshotRecords(parts.snapshot)
        self._activities = Activities(parts.snapshot, self.graph.graph, self._records)
        self._embedder = SnapshotEmbedder(parts.model, self.graph, self._records)
        self._attributions = Attributions(parts.model, self.graph, self._records)

    @classmethod
    def open(
        cls, workspace: Workspace, settings: Settings, *, on_stale: Callable[[], None] | None = None
    ) -> ServingContext:
        """The release in force. Raises `DataContractError` when there is none, `ArtifactError` when it is damaged.

        While the graph server is away reads come from the snapshot; `on_stale` is called for each of them.
        """
        parts = ReleaseParts.open(workspace, Release.in_force(workspace))
        store = ResilientStore(
            GraphConnector(workspace, settings, parts.snapshot),
            SnapshotStore(parts.snapshot, stale=True),
            on_stale=on_stale,
        )
        return cls(
            parts,
            store=store,
            app=open_database(workspace),
            events=EventReader(workspace),
            tokenizer=Tokenizer.of(workspace, Mapping.model_validate(parts.snapshot.manifest["mapping"])),
        )

    def __enter__(self) -> ServingContext:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give back connections."""
        self.store.close()
        self.app.dispose()

    @property
    def data_end(self) -> int:
        """End of the release's data, µs: the time of a read that names none."""
        return int(self.parts.snapshot.manifest["horizon"])

    def as_of(self, given: int | None) -> int:
        """The time of a read, µs."""
        return self.data_end if given is None else given

    def resolve(self, ref: PartyRef) -> PartyRef:
        """The party as the snapshot knows it: the original of a personal type becomes its token."""
        return self._tokenizer.resolve(ref)

    def profile(self, ref: PartyRef, *, as_of: int) -> EntityProfile | None:
        """Activity and risk of a party as of then (µs, closed), None when it was not known."""
        extra = self._newer([ref], as_of)
        activity = self._activities.activity(ref, as_of=as_of, extra=extra)
        if activity is None:
            return None
        risk = entity_risk(
            self._reader(as_of, extra).history(ref),
            self.scores,
            as_of=as_of,
            alert_role=self.alert_role,
            base_rate=self._activities.base_rate(as_of),
        )
        return EntityProfile(ref=ref, as_of=as_of, activity=activity, risk=risk)

    def similar(self, entity: str, *, k: int = 10, as_of: str | None = None) -> tuple[Similar, ...]:
        """`similar_to` for a command: `TYPE:KEY` and an RFC 3339 time."""
        return self.similar_to(_entity(entity), k=k, as_of=as_of_option(as_of, default=self.data_end))

    def similar_to(self, ref: PartyRef, *, k: int, as_of: int) -> tuple[Similar, ...]:
        """The k parties most like `ref` as of then (µs, closed).

        Raises `UnknownSubject`, `IndexTooNew`, or `UnknownSubject` when the release has no index.
        """
        if self.parts.index is None:
            raise UnknownSubject(f"Release {self.release_id} has no index.", remedy="Run `ringfence nightly`.")
        resolved = self.resolve(ref)
        reader = self._reader(as_of, self._newer([resolved], as_of))
        return similar(self.parts.index, reader, resolved, k=k, embed_query=self._embedder)

    def investigate(self, target: str, *, as_of: str | None = None) -> Investigation:
        """`investigate_alert` or `investigate_entity` for a command: an alert id, or `TYPE:KEY` and a time."""
        if not target.startswith("alert-"):
            return self.investigate_entity(_entity(target), as_of=as_of_option(as_of, default=self.data_end))
        if as_of is not None:
            raise UsageError("An alert is investigated as of its own time.", remedy="Leave --as-of out.")
        alert = read_alert(self.app, target)
        if alert is None:
            raise UsageError(f"There is no alert {target}.", remedy="`ringfence serve` lists them at /v1/alerts.")
        return self.investigate_alert(alert)

    def investigate_alert(self, alert: Alert) -> Investigation:
        """An alert as of its own time."""
        own = self._events.transaction(alert.transaction_id)
        parties = [alert.entity] if own is None else [own.source, own.target, *own.parties]
        reference = AlertRef(
            alert_id=alert.id,
            transaction_id=alert.transaction_id,
            time=alert.available_at,
            score=alert.score,
            threshold=alert.threshold,
            model_id=alert.model_id,
            transaction=own if own is not None and self._is_newer(own) else None,
        )
        return investigate(self._investigation_context(alert.available_at, parties), reference)

    def investigate_entity(self, ref: PartyRef, *, as_of: int) -> Investigation:
        """A party as of a time (µs, closed)."""
        resolved = self.resolve(ref)
        return investigate(self._investigation_context(as_of, [resolved]), resolved, as_of=as_of)

    def scores(self, transaction_ids: Sequence[str]) -> dict[str, float]:
        """Calibrated scores: as the API gave them, else those of the model in force at the transaction's place."""
        given = self._events.scores(transaction_ids)
        positions = {name: self._records.position(name) for name in transaction_ids if name not in given}
        known = {name: position for name, position in positions.items() if position is not None}
        if known:
            logits = self.parts.model.score_positions(self.graph, np.asarray(list(known.values()), np.int64))
            given |= dict(zip(known, self.parts.model.probability(logits).tolist(), strict=True))
        return given

    @property
    def alert_role(self) -> str:
        """The role whose party an alert is about."""
        return str(self.parts.snapshot.manifest["alert_party"])

    def _investigation_context(self, as_of: int, parties: Sequence[PartyRef]) -> InvestigationContext:
        return InvestigationContext(
            store=self.store,
            records=self._records,
            now=as_of,
            release_id=self.release_id,
            index=self.parts.index,
            embed_query=self._embedder,
            attribute=self._attributions,
            scores=self.scores,
            alert_role=self.alert_role,
            base_rate=self._activities.base_rate(as_of),
            extra=tuple(self._newer(parties, as_of)),
        )

    def _reader(self, as_of: int, extra: Sequence[GraphTransaction]) -> CaseReader:
        return CaseReader(self.store, self._records, as_of=as_of, extra=extra, scores=self.scores)

    def _newer(self, parties: Sequence[PartyRef], as_of: int) -> list[GraphTransaction]:
        """Transactions of these parties that the API scored and the snapshot does not hold."""
        return [item for item in self._events.around(parties, as_of=as_of) if self._is_newer(item)]

    def _is_newer(self, transaction: GraphTransaction) -> bool:
        return self._records.position(transaction.transaction_id) is None


class GraphConnector:
    """Connects to the workspace's graph server: started on the first call, looked for later on.

    A server that somebody stopped is not started again behind his back.
    """

    def __init__(self, workspace: Workspace, settings: Settings, snapshot: Snapshot) -> None:
        self._workspace = workspace
        self._settings = settings
        self._snapshot = snapshot
        self._is_first = True

    def __call__(self) -> Neo4jStore:
        """The store. Raises `RetryLater` while the server is away or lacks the snapshot."""
        if not self._is_first and not server.status(self._workspace, self._settings)["running"]:
            raise GraphUnavailable("The graph server does not run.", remedy="Start it: `ringfence graph start`.")
        self._is_first = False
        return open_graph_store(self._workspace, self._settings, self._snapshot)


def _entity(text: str) -> PartyRef:
    try:
        return PartyRef.parse(text)
    except ValueError as error:
        raise UsageError(f"{error}.", remedy="An alert id begins with alert-.") from error
