"""Settings of a workspace: command-line flag over `RINGFENCE_*` over `ringfence.toml` over default.

`RINGFENCE_GRAPH_URI=bolt://…` sets `[graph] uri`. An unknown key in the file is an error (exit 2).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from ingestion.errors import UsageError

FILE = "ringfence.toml"


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid")


class SourceSettings(_Section):
    """[source]: the table and its mapping, so that `ringfence nightly` needs no arguments."""

    path: str | None = None
    mapping: str | None = None
    max_bad_share: float = Field(0.01, ge=0, le=1, description="Ingest stops above this share of bad rows")


class GraphSettings(_Section):
    """[graph]: an external Neo4j; without `uri` the workspace runs its own server."""

    uri: str | None = None
    user: str = "neo4j"
    password: SecretStr | None = None
    database: str = "neo4j"
    heap: str = "1g"
    page_cache: str = "256m"


Embedding = Literal["outcomes", "contrastive", "next_event", "features"]
Network = Literal["graphsage", "gat", "relational_graphsage", "relational_gat", "decoder", "fused"]
Fanout = Annotated[int, Field(ge=1, le=1_000)]


class TrainSettings(_Section):
    """[train]: windows in days and the alert budget."""

    validation_days: int = Field(7, ge=1)
    test_days: int = Field(7, ge=1)
    alert_budget: float = Field(0.01, gt=0, lt=1, description="Share of transactions that may raise an alert")
    seed: int = 0
    networks: tuple[Network, ...] = Field(
        ("graphsage",), min_length=1, description="Networks of the ladder; the first one makes embeddings of outcomes"
    )
    stack: bool = Field(
        False,
        description="Rows of trees on the features and each network's out-of-fold logit; four more trainings a network",
    )
    embedding: Embedding = Field(
        "outcomes",
        description="How parties become vectors: states of the first network, contrastive, next_event or features",
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="Autocast of the networks; auto measures whether bf16 is faster here"
    )
    tracking: bool = Field(True, description="Record trainings in the workspace's mlflow.db")
    epochs: int = Field(8, ge=1, description="At most so many passes; training stops early")
    seeds_per_epoch: int = Field(
        8_192,
        ge=128,
        description="About so many transactions an epoch: all frauds as often as fit, at least once, and others",
    )
    fanouts: tuple[Fanout, Fanout] = Field(
        (16, 8),
        description="Of graph networks: newest transactions that a party's state is made of, and those of each behind",
    )

    @field_validator("networks")
    @classmethod
    def _each_once(cls, networks: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(networks)) < len(networks):
            raise ValueError(f"{', '.join(networks)}: name each network once")
        return networks


class ServeSettings(_Section):
    """[serve]: where the API listens."""

    host: str = "127.0.0.1"
    port: int = Field(8080, ge=1, le=65535)


class ApprovalSettings(_Section):
    """[approval]: `auto` is for development and the demo, and is recorded as such."""

    mode: Literal["auto", "four-eyes"] = "auto"


class ClockSettings(_Section):
    """[clock]: `data` makes now the end of the data (the demo); `wall` is the real clock."""

    mode: Literal["wall", "data"] = "wall"


class Settings(BaseSettings):
    """All settings of a workspace. Build it with `load_settings`."""

    model_config = SettingsConfigDict(
        env_prefix="RINGFENCE_", env_nested_delimiter="_", env_nested_max_split=1, extra="forbid"
    )
    source: SourceSettings = SourceSettings()
    graph: GraphSettings = GraphSettings()
    train: TrainSettings = TrainSettings()
    serve: ServeSettings = ServeSettings()
    approval: ApprovalSettings = ApprovalSettings()
    clock: ClockSettings = ClockSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags, then environment, then the file that `load_settings` put on the class."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)


def load_settings(workspace: Path, **flags: dict[str, Any]) -> Settings:
    """Settings of a workspace folder; `flags` are sections, e.g. `graph={"uri": "bolt://…"}`.

    Raises `UsageError` naming the key, the value and the remedy.
    """
    file = workspace / FILE

    class _Bound(Settings):
        model_config = SettingsConfigDict(toml_file=file)

    given = {
        section: {key: value for key, value in values.items() if value is not None} for section, values in flags.items()
    }
    try:
        return _Bound(**given)  # type: ignore[arg-type]  # sections come as dictionaries
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise UsageError(
            f"Setting {key} = {first.get('input')!r} is refused: {first['msg']}.",
            remedy=f"Mend it in {file}, in the environment (RINGFENCE_*) or in the flag.",
        ) from error
    except ValueError as error:  # broken TOML
        raise UsageError(f"{file} cannot be read: {error}.", remedy="Mend the file.") from error
