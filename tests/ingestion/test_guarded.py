"""Calls in a child: results and errors come back, crashes and hangs stay there."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import pytest

from ingestion.errors import DataContractError
from ingestion.guarded import CallDied, GuardedCalls


def own_pid(_: int = 0) -> int:
    return os.getpid()


def refuse() -> None:
    raise DataContractError("It is wrong.", remedy="Mend it.")


def die() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def hang() -> None:
    time.sleep(60)


@pytest.fixture(scope="module")
def guarded() -> Iterator[GuardedCalls]:
    calls = GuardedCalls()
    yield calls
    calls.end()


def test_results_come_back_from_one_child(guarded: GuardedCalls) -> None:
    assert guarded.call(own_pid) == guarded.call(own_pid, 1) != os.getpid()


def test_errors_come_back_whole(guarded: GuardedCalls) -> None:
    with pytest.raises(DataContractError, match=r"It is wrong\.") as caught:
        guarded.call(refuse)
    assert caught.value.remedy == "Mend it."


def test_a_crash_is_an_error_and_the_next_call_works(guarded: GuardedCalls) -> None:
    before = guarded.call(own_pid)
    with pytest.raises(CallDied, match="signal 11"):
        guarded.call(die)
    assert guarded.call(own_pid) != before


def test_a_hang_ends(guarded: GuardedCalls) -> None:
    begin = time.monotonic()
    with pytest.raises(CallDied, match=r"not read within 0\.2 seconds"):
        guarded.call(hang, seconds=0.2)
    assert time.monotonic() - begin < 20
    assert guarded.call(own_pid) != os.getpid()
