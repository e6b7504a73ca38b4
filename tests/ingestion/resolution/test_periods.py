"""When a link holds, against a walk through every moment."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ingestion.resolution.periods import Decision, Period, periods

TIMES = st.integers(0, 20)
ACTIONS = st.lists(st.tuples(TIMES, st.sampled_from(["revoke", "restore"])), max_size=6)


def decision(number: int, at: int, action: str) -> Decision:
    return Decision(
        number=number,
        action=action,
        at=at,
        entity="account",
        a="A",
        b="B",
        rule="r",
        who="ada",
        reason=f"because {number}",
        recorded_at=at,
    )


@given(TIMES, st.none() | TIMES, ACTIONS)
def test_it_holds_when_shared_no_hub_and_last_restored(
    shared_at: int, hub_at: int | None, actions: list[tuple[int, str]]
) -> None:
    about = [decision(number, at, action) for number, (at, action) in enumerate(actions)]
    found = periods(shared_at, hub_at, about)
    assert found
    for time in range(22):
        said = [item for item in sorted(about, key=lambda item: (item.at, item.number)) if item.at <= time]
        expected = (
            shared_at <= time and (hub_at is None or time < hub_at) and not (said and said[-1].action == "revoke")
        )
        held = [item for item in found if item.known_at <= time and (item.revoked_at is None or item.revoked_at > time)]
        assert len(held) == expected, time


def test_the_reason_of_each_end() -> None:
    about = [decision(1, 12, "revoke"), decision(2, 15, "restore")]
    assert periods(10, 20, about) == [Period(10, 12, "because 1"), Period(15, 20, "hub")]
    assert periods(10, 20, about[:1]) == [Period(10, 12, "because 1")]


def test_what_was_revoked_before_it_began_has_an_empty_period() -> None:
    assert periods(10, None, [decision(1, 5, "revoke")]) == [Period(10, 10, "because 1")]
