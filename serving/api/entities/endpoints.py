"""`GET /v1/entities/{type}/{id}` with `/neighborhood` and `/similar`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from ingestion.contracts import PartyRef
from serving.api.dependencies import ContextDependency
from serving.api.documentation import ok, read_errors
from serving.api.entities.schemas import NeighborhoodAnswer, ProfileAnswer, SimilarAnswer, SimilarBody
from serving.api.examples import NEIGHBORHOOD, PROFILE, SIMILAR
from serving.api.fields import AsOfParameter, EntityKeyParameter, EntityTypeParameter, PartyBody
from serving.api.problems import NOT_FOUND, ApiError
from serving.times import rfc3339

router = APIRouter(prefix="/v1/entities/{entity_type}", tags=["entities"])


@router.get(
    "/{entity_id:path}/neighborhood",
    operation_id="getEntityNeighborhood",
    summary="Read what is around an entity",
    responses=read_errors() | ok(NEIGHBORHOOD),
)
def neighborhood(
    context: ContextDependency,
    entity_type: EntityTypeParameter,
    entity_id: EntityKeyParameter,
    as_of: AsOfParameter = None,
    hops: Annotated[int, Query(ge=1, le=3)] = 1,
    limit: Annotated[int, Query(ge=1, le=200, description="Newest transactions and uses followed from a party")] = 50,
) -> NeighborhoodAnswer:
    """Parties within `hops`, from the graph server; while it is away, from the snapshot, marked `stale`."""
    ref = context.resolve(PartyRef(type=entity_type, key=entity_id))
    moment = context.as_of(as_of)
    found = context.store.neighborhood(ref, as_of=moment, hops=hops, limit=limit)
    if not found.nodes:
        raise _unknown(ref, moment)
    return NeighborhoodAnswer.of(found, release_id=context.release_id, hops=hops, limit=limit)


@router.get(
    "/{entity_id:path}/similar",
    operation_id="getSimilarEntities",
    summary="Find entities that behave alike",
    responses=read_errors() | ok(SIMILAR),
)
def similar(
    context: ContextDependency,
    entity_type: EntityTypeParameter,
    entity_id: EntityKeyParameter,
    as_of: AsOfParameter = None,
    k: Annotated[int, Query(ge=1, le=100, description="How many")] = 10,
) -> SimilarAnswer:
    """Entities of the same type with the nearest vectors, with reasons and outcomes as of then.

    409 when the release's index holds data from after `as_of`.
    """
    ref = context.resolve(PartyRef(type=entity_type, key=entity_id))
    moment = context.as_of(as_of)
    found = context.similar_to(ref, k=k, as_of=moment)
    return SimilarAnswer(
        release_id=context.release_id,
        entity=PartyBody.of(ref),
        as_of=rfc3339(moment),
        similar=[SimilarBody.of(item) for item in found],
    )


@router.get(
    "/{entity_id:path}",
    operation_id="getEntity",
    summary="Read an entity's profile",
    responses=read_errors() | ok(PROFILE),
)
def profile(
    context: ContextDependency,
    entity_type: EntityTypeParameter,
    entity_id: EntityKeyParameter,
    as_of: AsOfParameter = None,
) -> ProfileAnswer:
    """What the entity did, what is known about it and its risk, as of a time."""
    ref = context.resolve(PartyRef(type=entity_type, key=entity_id))
    moment = context.as_of(as_of)
    found = context.profile(ref, as_of=moment)
    if found is None:
        raise _unknown(ref, moment)
    return ProfileAnswer.of(found, context.release_id)


def _unknown(ref: PartyRef, moment: int) -> ApiError:
    return ApiError(NOT_FOUND, f"There was no such {ref.type} at {rfc3339(moment)}.")
