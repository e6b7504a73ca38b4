"""Ablation: a network on folds as it is, then without one of its parts at a time; what each part brings is paired.

A plan is a TOML file:

    claim = "Telling the next transaction makes the fused network need fewer labels."
    network = "fused"              # any network of [train] networks
    folds = 2                      # test weeks, the newest last
    seeds = [0]
    budget = "fold-week"           # or "all-matured"
    train_days = 7

    [base]                         # settings that differ from the network's defaults
    epochs = 12

    [parts."next event"]           # the settings that take the part away
    next_event = 0.0

A part is kept when leaving it out costs average precision, with an interval that does not reach 0; everything else is
dropped, for the simpler network is as good as far as anyone can tell.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from graphml.data_view import EvaluationData
from graphml.folds import Fold, FoldPlan, plan_folds
from graphml.fused_training import KINDS, FusedTraining, event_columns
from graphml.graph_training import GraphTraining
from graphml.ladder import TestWindow, window_amounts
from graphml.ladder_entries import NetworkModel
from graphml.own_models import Entry, OwnModel
from graphml.pooled import PooledRow, pool
from graphml.prequential import Prequential, Progress
from graphml.tasks import Task
from graphml.trainer_config import TrainerConfig
from ingestion.artifacts import short_hash
from ingestion.config import Network
from ingestion.errors import UsageError
from ingestion.snapshot import Snapshot

WHOLE = "whole"
#: Settings of the trainer that a plan may give beside the network's own.
OF_TRAINER = ("epochs", "batch_size", "learning_rate", "weight_decay", "average_decay", "final_share", "warmup_share")


class AblationPlan(BaseModel):
    """What is asked; see the module."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    claim: str = Field(min_length=1)
    network: Network
    folds: int = Field(2, ge=1)
    seeds: tuple[int, ...] = Field((0,), min_length=1)
    budget: Literal["fold-week", "all-matured"] = "fold-week"
    train_days: int = Field(7, ge=1)
    test_days: int = Field(7, ge=1)
    base: dict[str, Any] = {}
    parts: dict[str, dict[str, Any]] = Field(min_length=1)

    @classmethod
    def read(cls, path: Path) -> AblationPlan:
        """Read a plan. Raises `UsageError` naming the field, its value and what to give."""
        try:
            plan = cls.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise UsageError(f"{path} is not there.", remedy="Name a plan: see `graphml/ablation.py`.") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise UsageError(f"{path} is no TOML: {error}.", remedy="Mend the line that it names.") from None
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise UsageError(
                f"{path}: {where} is {first.get('input')!r}: {first['msg']}.",
                remedy="Mend it; see graphml/ablation.py.",
            ) from None
        for name, setting in {"base": plan.base, **plan.parts}.items():
            _require_known(path, name, setting, plan)
        if WHOLE in plan.parts:
            raise UsageError(f"{path}: a part is called {WHOLE!r}.", remedy="That is the network with all parts.")
        return plan


@dataclass(frozen=True, kw_only=True)
class Ablated:
    """The network as it is, and without each part: `rows` by `pool`, the whole first."""

    plan: AblationPlan
    folds: tuple[Fold, ...]
    rows: tuple[PooledRow, ...]
    num_frauds: int
    base_rate: float

    def verdict(self, row: PooledRow) -> str:
        """Keep or drop, of a part's row."""
        assert row.difference is not None, "the whole has no verdict"
        if row.difference.high < 0:
            return "keep"
        return "drop" if row.difference.low > 0 else "drop: nothing shown"

    @property
    def kept(self) -> tuple[str, ...]:
        """Parts that earn their place."""
        return tuple(row.name for row in self.rows[1:] if self.verdict(row) == "keep")

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "plan": self.plan.model_dump(),
            "folds": [fold.name for fold in self.folds],
            "num_frauds": self.num_frauds,
            "base_rate": self.base_rate,
            "rows": [row.as_dict() for row in self.rows],
            "verdicts": {row.name: self.verdict(row) for row in self.rows[1:]},
        }


def ablate(snapshot: Snapshot, plan: AblationPlan, folder: Path, *, progress: Progress | None = None) -> Ablated:
    """Fit and judge every row of a plan. Results are kept in `folder` by (row, fold, seed): a killed run, or one that
    is asked for more seeds on another day, computes only the rest."""
    data = EvaluationData.of(snapshot)
    delay_days = int(snapshot.manifest["label_maturity_days"])
    lie = FoldPlan(num_folds=plan.folds, delay_days=delay_days, train_days=plan.train_days, test_days=plan.test_days)
    folds = plan_folds(data.graph, lie)
    judged = Prequential.of(
        data,
        folds,
        budget=plan.budget,
        delay_days=delay_days,
        folder=folder,
        snapshot_id=snapshot.id,
        not_for_training=snapshot.not_for_training,
    )
    entries = [_entry(name, plan, without, snapshot) for name, without in {WHOLE: {}, **plan.parts}.items()]
    results = judged.run(entries, plan.seeds, progress=progress)
    windows = [_window(snapshot, data, tasks.test) for tasks in judged.tasks]
    rows = pool(windows, folds, results, reference=WHOLE, alert_budget=0.01)
    num = sum(len(window.is_fraud) for window in windows)
    num_frauds = int(sum(window.is_fraud.sum() for window in windows))
    return Ablated(plan=plan, folds=folds, rows=rows, num_frauds=num_frauds, base_rate=num_frauds / num)


def training_for(network: str, settings: Mapping[str, Any], columns: tuple[int, ...]) -> GraphTraining:
    """The training of a network under settings of its own and of its trainer (`OF_TRAINER`); `pretraining` is a number
    of epochs, 0 for none."""
    own: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()}
    of_trainer: dict[str, Any] = {name: own.pop(name) for name in OF_TRAINER if name in own}
    pretraining = own.pop("pretraining", 0)
    if network not in KINDS:
        plain = GraphTraining(network=network, **own)
        return replace(plain, trainer=replace(plain.trainer, **of_trainer))
    own = {"fanouts": FusedTraining.fanouts if network == "fused" else (0, 0)} | own
    made = FusedTraining(network=network, columns=columns, **own)
    made = replace(made, trainer=replace(made.trainer, **of_trainer))
    if not pretraining:
        return made
    return replace(made, pretraining=replace(made.trainer, epochs=pretraining, final_share=TrainerConfig.final_share))


def known_settings(network: str) -> tuple[str, ...]:
    """What `base` and a part of a plan may name."""
    kind = FusedTraining if network in KINDS else GraphTraining
    not_named = {"network", "columns", "loss", "trainer"}
    return (*sorted({field.name for field in fields(kind)} - not_named), *OF_TRAINER)


def _require_known(path: Path, where: str, setting: Mapping[str, Any], plan: AblationPlan) -> None:
    network = plan.network
    unknown = sorted(set(setting) - set(known_settings(network)))
    if unknown:
        raise UsageError(
            f"{path}: {where} names {unknown[0]!r}, which {network} has not.",
            remedy=f"It has {', '.join(known_settings(network))}.",
        )
    try:
        training_for(network, {**plan.base, **setting}, (0,))  # a part changes the whole, it is nothing by itself
    except (TypeError, ValueError) as error:
        raise UsageError(f"{path}: {where} is {dict(setting)}: {error}", remedy="Mend the value.") from None


def _entry(name: str, plan: AblationPlan, without: Mapping[str, Any], snapshot: Snapshot) -> Entry:
    columns = event_columns(snapshot.spec) if plan.network in KINDS else ()
    config = training_for(plan.network, {**plan.base, **without}, columns)

    def make(*, seed: int) -> OwnModel:
        return NetworkModel(config=replace(config, trainer=replace(config.trainer, seed=seed)))

    return Entry(name=name, make=make, fingerprint=short_hash(config.as_dict()))


def _window(snapshot: Snapshot, data: EvaluationData, task: Task) -> TestWindow:
    base = snapshot.manifest.get("base_currency")
    amount, unit = window_amounts(snapshot.feature_arrays, task.positions, base=base)
    role = snapshot.roles.index(snapshot.manifest["alert_party"])
    return TestWindow.of(data.graph, task, role=role, amount=amount, unit=unit)
