"""The context in force: one reference a request, the old one closed after its last."""

from __future__ import annotations

from dataclasses import dataclass, field

from ingestion.errors import ArtifactError
from serving.context_holder import ContextHolder


@dataclass
class Context:
    release_id: str
    closed: int = 0

    def close(self) -> None:
        self.closed += 1


@dataclass
class Pointer:
    release_id: str | None = "r1"
    opened: list[Context] = field(default_factory=list)
    is_damaged: bool = False

    def reopen(self) -> Context:
        if self.is_damaged:
            raise ArtifactError("It differs from its manifest.")
        self.opened.append(Context(str(self.release_id)))
        return self.opened[-1]


def make_holder() -> tuple[Pointer, Context, ContextHolder[Context]]:
    pointer, first = Pointer(), Context("r1")
    return pointer, first, ContextHolder(first, current_release=lambda: pointer.release_id, reopen=pointer.reopen)


def test_the_same_release_is_not_opened_again() -> None:
    pointer, first, holder = make_holder()
    assert not holder.refresh()
    pointer.release_id = None
    assert not holder.refresh()
    assert pointer.opened == [] and first.closed == 0


def test_a_request_keeps_its_release_through_a_swap_and_closes_it_at_the_end() -> None:
    pointer, first, holder = make_holder()
    with holder.use() as one, holder.use() as two:
        pointer.release_id = "r2"
        assert holder.refresh()
        with holder.use() as three:
            assert (one.release_id, two.release_id, three.release_id) == ("r1", "r1", "r2")
        assert first.closed == 0
    assert first.closed == 1
    assert pointer.opened[0].closed == 0


def test_an_unused_context_is_closed_at_once() -> None:
    pointer, first, holder = make_holder()
    pointer.release_id = "r2"
    assert holder.refresh()
    assert first.closed == 1
    holder.close()
    assert pointer.opened[0].closed == 1


def test_a_damaged_release_leaves_the_one_before_in_force_and_is_not_tried_again() -> None:
    pointer, first, holder = make_holder()
    pointer.release_id, pointer.is_damaged = "r2", True
    assert not holder.refresh()
    pointer.is_damaged = False
    assert not holder.refresh(), "a release never changes: it stays refused"
    with holder.use() as context:
        assert context is first and first.closed == 0
    pointer.release_id = "r3"
    assert holder.refresh()
