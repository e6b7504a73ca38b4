"""Bursts, fans, declines and refunds: telling on a day that stands out, silent on the usual."""

from pathlib import Path

from ingestion.contracts import PartyRef
from retrieval import tools
from retrieval.evidence import MemoFact, WindowStatistic
from tests.builders import DAY, HOUR, START, Row, transaction
from tests.retrieval.worlds import HIT_TIME, World

LIMITS = tools.Indicators()
A = PartyRef.parse("account:a")
BUSY = PartyRef.parse("merchant:busy")
NOW = START + 40 * DAY


def quiet_then(rows: list[Row]) -> list[Row]:
    """One payment every fifth day, then the given rows."""
    past = [transaction(f"q{day}", START + day * DAY, "account:a", "merchant:busy") for day in range(10, 40, 5)]
    return [*past, *rows]


def only(found: list, measure: str, width: int) -> WindowStatistic | None:
    return next((item for item in found if item.measure == measure and item.width == width), None)


def test_a_burst_is_told(tmp_path: Path) -> None:
    rows = [transaction(f"b{i}", NOW - i * HOUR // 10, "account:a", "merchant:m") for i in range(6)]
    found = tools.velocity(
        World(tmp_path, quiet_then(rows), []).reader(NOW), A, end=NOW, role="source", indicators=LIMITS
    )
    day, month, hour = (only(found, "count", width) for width in (DAY, 30 * DAY, HOUR))
    assert day is not None and (day.value, day.stance) == (6, "supporting")
    assert month is not None and (month.value, month.stance) == (11, "neutral")  # day 10 lies outside (10, 40]
    assert hour is not None and (hour.value, hour.stance) == (6, "supporting")


def test_the_usual_pace_is_not(tmp_path: Path) -> None:
    rows = [transaction(f"u{i}", START + i * DAY // 6, "account:a", "merchant:m") for i in range(6 * 40 + 1)]
    found = tools.velocity(World(tmp_path, rows, []).reader(NOW), A, end=NOW, role="source", indicators=LIMITS)
    assert [item.stance for item in found] == ["neutral", "neutral"]
    assert [item.value for item in found] == [6, 180]  # type: ignore[attr-defined]


def test_fan_out_and_fan_in(tmp_path: Path) -> None:
    out = [transaction(f"o{i}", NOW - i, "account:a", f"account:t{i}") for i in range(8)]
    into = [transaction(f"i{i}", NOW - i, f"account:s{i}", "account:sink") for i in range(8)]
    reader = World(tmp_path, quiet_then(out + into), []).reader(NOW)
    (fan_out,) = tools.fan(reader, A, end=NOW, role="source", indicators=LIMITS)
    assert isinstance(fan_out, WindowStatistic) and (fan_out.value, fan_out.role) == (8, "source")
    (fan_in,) = tools.fan(reader, PartyRef.parse("account:sink"), end=NOW, role="target", indicators=LIMITS)
    assert isinstance(fan_in, WindowStatistic) and (fan_in.value, fan_in.role) == (8, "target")
    assert tools.fan(reader, A, end=NOW - DAY, role="source", indicators=LIMITS) == []


def test_a_busy_merchant_is_no_fan_in(tmp_path: Path) -> None:
    rows = [
        transaction(f"m{i}", START + i * DAY // 12, f"account:c{i % 90}", "merchant:busy") for i in range(12 * 40 + 1)
    ]
    reader = World(tmp_path, rows, []).reader(NOW)
    assert tools.fan(reader, BUSY, end=NOW, role="target", indicators=LIMITS) == []


def test_a_history_too_long_to_read_is_never_called_a_burst(tmp_path: Path) -> None:
    rows = [transaction(f"m{i}", NOW - i, f"account:c{i}", "merchant:busy") for i in range(501)]
    reader = World(tmp_path, rows, []).reader(NOW)
    day, month = tools.velocity(reader, BUSY, end=NOW, role="target", indicators=LIMITS)[:2]
    assert isinstance(day, WindowStatistic) and isinstance(month, WindowStatistic)
    assert (day.value, day.is_complete, day.stance) == (500, False, "neutral")
    assert tools.fan(reader, BUSY, end=NOW, role="target", indicators=LIMITS) == []


def test_declines_and_zero_amounts_as_card_testing_makes_them(tmp_path: Path) -> None:
    tries = [
        transaction(f"z{i}", NOW - i, "account:a", "merchant:m", 0, kind="authorisation", outcome="declined")
        for i in range(3)
    ]
    found = tools.declines(World(tmp_path, quiet_then(tries), []).reader(NOW), A, end=NOW, indicators=LIMITS)
    assert [(item.measure, item.value, item.stance) for item in found] == [  # type: ignore[attr-defined]
        ("declined", 3, "supporting"),
        ("zero_amount", 3, "supporting"),
    ]


def test_refunds_received(tmp_path: Path) -> None:
    back = [transaction(f"r{i}", NOW - i * DAY, "merchant:busy", "account:a", kind="refund") for i in range(3)]
    reader = World(tmp_path, quiet_then(back), []).reader(NOW)
    (refunds,) = tools.refunds(reader, A, end=NOW, indicators=LIMITS)
    assert isinstance(refunds, WindowStatistic) and refunds.value == 3
    assert tools.refunds(reader, A, end=NOW - DAY, indicators=LIMITS) == []


def test_known_frauds_of_a_busy_place_weigh_little(tmp_path: Path) -> None:
    rows = [transaction(f"m{i:03d}", NOW - 9 * DAY - i, f"account:c{i}", "merchant:busy") for i in range(300)]
    from tests.builders import label

    one = World(tmp_path / "one", rows, [label("m000", NOW - DAY)]).reader(NOW)
    assert [item.stance for item in tools.known_frauds(one, BUSY, LIMITS)] == ["neutral"]
    many = World(tmp_path / "many", rows, [label(f"m{i:03d}", NOW - DAY) for i in range(4)]).reader(NOW)
    assert [item.stance for item in tools.known_frauds(many, BUSY, LIMITS)] == ["supporting"]


def test_memos(world: World, tmp_path: Path) -> None:
    reader = world.reader(HIT_TIME)
    hit, plain = reader.transaction("hit"), reader.transaction("p00")
    assert hit is not None and plain is not None
    (odd,) = tools.memo_facts(reader, hit)
    assert isinstance(odd, MemoFact) and odd.stance == "supporting" and odd.is_instruction_like
    assert tools.memo_facts(reader, plain) == []
    honest = World(tmp_path, [transaction("t", START, "account:a", "merchant:m", memo="rent May")], []).reader(NOW)
    rent = honest.transaction("t")
    assert rent is not None
    (memo,) = tools.memo_facts(honest, rent)
    assert isinstance(memo, MemoFact) and (memo.stance, memo.text) == ("neutral", "rent May")
