"""Wires the online state of a release: the model's online scorer over the snapshot, intake, history, alerts."""

from __future__ import annotations

import numpy as np

from graphml.context import GraphContext
from graphml.model import Model
from graphml.online import OnlineEvent, OnlineScorer
from ingestion.contracts import MICROSECONDS_PER_DAY
from ingestion.mapping import Mapping
from ingestion.privacy import Tokenizer
from ingestion.snapshot import Snapshot
from ingestion.vault import Vault
from ingestion.workspace import Workspace
from retrieval.records import SnapshotRecords
from serving.alerts import alerted_transactions
from serving.answers import ScoringPolicy
from serving.database import open_database
from serving.event_log import EventLog
from serving.events import TransactionEvent
from serving.fold import Fold, Scored, due_labels, last_of
from serving.history import History
from serving.intake import MappedIntake
from serving.release import Release
from serving.scoring import Scoring


def open_scoring(workspace: Workspace, release: Release, log: EventLog) -> Scoring:
    """The state of a release's snapshot, verified before it is opened; `take_over` brings in the log.

    Raises `ArtifactError` when an artefact differs from what the release was bound to.
    """
    release.verify(workspace)
    folders = release.folders(workspace)
    snapshot, model = Snapshot.at(folders["snapshot"]), Model.open(folders["model"])
    mapping = Mapping.model_validate(snapshot.manifest["mapping"])
    app = open_database(workspace)
    due = due_labels(snapshot, unreviewed=alerted_transactions(app))
    maturity = int(snapshot.manifest["label_maturity_days"]) * MICROSECONDS_PER_DAY
    records, context = SnapshotRecords(snapshot), GraphContext(snapshot)
    policy = ScoringPolicy(
        release_id=release.id,
        model_id=model.id,
        threshold=model.threshold,
        alert_role=str(snapshot.manifest["alert_party"]),
        feature_names=tuple(snapshot.spec.names),
    )
    return Scoring(
        policy=policy,
        fold=Fold(ModelScorer(snapshot, model, context), last=last_of(snapshot), due=due, maturity=maturity),
        intake=MappedIntake(
            mapping=mapping,
            tokenizer=Tokenizer.of(workspace, mapping),
            vault=Vault.of(workspace),
            trained_types=context.graph.types,
        ),
        history=History(snapshot, records),
        batch=SnapshotScorer(context, model),
        log=log,
        app=app,
    )


class ModelScorer:
    """An `EventScorer`: the model's online scorer, fed with events."""

    def __init__(self, snapshot: Snapshot, model: Model, context: GraphContext) -> None:
        self._scorer = OnlineScorer(snapshot, model, graph=context.graph)

    def score(self, event: TransactionEvent) -> Scored:
        """See `EventScorer`."""
        scored = self._scorer.score(
            OnlineEvent(
                transaction_id=event.transaction_id,
                event_time=event.event_time,
                available_at=event.available_at,
                amount_minor=event.amount_minor,
                currency=event.currency,
                kind=event.kind,
                outcome=event.outcome,
                parties=event.roles(),
            )
        )
        return Scored(
            features=scored.features, logit=scored.logit, probability=scored.probability, position=scored.position
        )

    def observe_label(self, position: int, *, known_at: int, is_fraud: bool, origin: int) -> None:
        """See `EventScorer`."""
        self._scorer.observe_label(position, known_at=known_at, is_fraud=is_fraud, origin=origin)


class SnapshotScorer:
    """A `PositionScorer`: batch scores of transactions that the snapshot holds."""

    def __init__(self, context: GraphContext, model: Model) -> None:
        self._context = context
        self._model = model

    def score_position(self, position: int) -> Scored:
        """See `PositionScorer`."""
        logits = self._model.score_positions(self._context, np.asarray([position], np.int64))
        return Scored(
            features=self._context.graph.features[position],
            logit=float(logits[0]),
            probability=float(self._model.probability(logits)[0]),
            position=position,
        )
